"""whisper.cpp on some files, in its own environment: greedy, one try for each window, its own way through long files."""
import argparse
import importlib.metadata

import av
import numpy
from pywhispercpp.model import Model

from measured import transcribe_all

RATE = 16000


def samples_of(path):
    """The file as whisper.cpp wants it: one channel, 16 kHz, float32."""
    with av.open(path) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)] + resampler.resample(None)
    return numpy.concatenate([frame.to_ndarray()[0] for frame in frames])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--model", required=True, help="a ggml file")
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("--no-timestamps", action="store_true", help="windows of 30 s one after the other, wherever they cut; else each begins where the last sentence ended")
    arguments = parser.parse_args()
    # A temperature that does not grow means no second try.
    model = Model(arguments.model, redirect_whispercpp_logs_to=None, context_params={"use_gpu": False}, n_threads=arguments.threads, print_progress=False,
                  language=arguments.language, no_timestamps=arguments.no_timestamps, temperature_inc=0.0, greedy={"best_of": 1})

    def transcribe(path):
        # Ten milliseconds are the unit of its times.
        listed = [{"start": part.t0 / 100, "end": part.t1 / 100, "text": part.text} for part in model.transcribe(samples_of(path))]
        return {"segments": listed, "language": arguments.language}

    version = f"whisper.cpp by pywhispercpp {importlib.metadata.version('pywhispercpp')}, {Model.system_info()}"
    transcribe_all(arguments.files, arguments.output_dir, version, transcribe)


if __name__ == "__main__":
    main()
