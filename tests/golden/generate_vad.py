"""Golden values for voice detection: vad.safetensors and vad.json beside this file.

Needs Python with torch, onnxruntime, soundfile, numpy, safetensors and the packages silero-vad==6.2.3 and
pyannote-audio==4.0.7; both packages may also be plain folders with the unpacked wheels on PYTHONPATH. A folder with the
project's reference recordings is optional; without it the values of the long recording are left as they are.

    python tests/golden/generate_vad.py [--sample SAMPLE.WAV] [--recordings shared/data/dev]

vad.safetensors: `sample` (windows), the speech probabilities of pyannote-audio's sample.wav by silero_vad.onnx;
`long_ls_dev` (windows), those of the recording of this name.
vad.json: for several options, the speech that get_speech_timestamps finds in both, as [start, end] in samples.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.numpy import load_file, save_file
from silero_vad.utils_vad import OnnxWrapper, get_speech_timestamps_from_probs

HERE = Path(__file__).parent
OPTIONS = [
    {},
    {"threshold": 0.3},
    {"threshold": 0.7, "neg_threshold": 0.2},
    {"min_speech_duration_ms": 1000, "speech_pad_ms": 200},
    {"min_silence_duration_ms": 500, "speech_pad_ms": 0},
    {"min_silence_duration_ms": 0, "speech_pad_ms": 100, "min_speech_duration_ms": 0},
]


def probabilities(model: OnnxWrapper, path: Path) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16000 and samples.ndim == 1, path
    return model.audio_forward(torch.from_numpy(samples), 16000)[0].numpy(), len(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--recordings", type=Path)
    arguments = parser.parse_args()
    sample = arguments.sample
    if sample is None:
        (package,) = find_spec("pyannote.audio").submodule_search_locations
        sample = Path(package) / "sample/sample.wav"
    (package,) = find_spec("silero_vad").submodule_search_locations
    model = OnnxWrapper(str(Path(package) / "data/silero_vad.onnx"), force_onnx_cpu=True)

    tensors_path, spans_path = HERE / "vad.safetensors", HERE / "vad.json"
    tensors = load_file(tensors_path) if tensors_path.exists() else {}
    spans = json.loads(spans_path.read_text()) if spans_path.exists() else {}
    recordings = {"sample": sample}
    if arguments.recordings:
        recordings["long_ls_dev"] = arguments.recordings / "audio/long_ls_dev.flac"
    for name, path in recordings.items():
        tensors[name], samples = probabilities(model, path)
        spans[name] = {"samples": samples, "cases": []}
        for options in OPTIONS:
            found = get_speech_timestamps_from_probs(tensors[name].tolist(), audio_length_samples=samples, **options)
            spans[name]["cases"].append({"options": options, "speech": [[span["start"], span["end"]] for span in found]})
        print(name, tensors[name].shape, [len(case["speech"]) for case in spans[name]["cases"]])
    save_file(tensors, tensors_path)
    spans_path.write_text(json.dumps(spans, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
