"""Runs faster-whisper, the engine that Palabra is compared with, and writes what Palabra's JSON holds.

As a script it transcribes one file in a process of its own and prints its times, so that speed.py can measure it:
    peers.py FILE --ct2 FOLDER [--compute-type float32] [--threads 2] [--language en] [--words]
"""
import argparse
import json
import sys
import time


class FasterWhisper:
    """Batched by 8, greedy, with its own voice detection: its fast path."""

    def __init__(self, folder, compute_type="float32", threads=2):
        from faster_whisper import BatchedInferencePipeline, WhisperModel
        self.pipeline = BatchedInferencePipeline(WhisperModel(folder, device="cpu", compute_type=compute_type, cpu_threads=threads))

    def transcribe(self, path, language=None, words=True):
        segments, info = self.pipeline.transcribe(path, language=language, beam_size=1, temperature=0.0, batch_size=8, word_timestamps=words)
        as_word = lambda word: {"word": word.word.strip(), "start": word.start, "end": word.end, "score": word.probability}
        listed = [{"start": segment.start, "end": segment.end, "text": segment.text, "words": [as_word(word) for word in segment.words or []]} for segment in segments]
        return {"segments": listed, "language": info.language, "language_probability": info.language_probability}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--ct2", required=True, help="Whisper as a CTranslate2 folder")
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--language")
    parser.add_argument("--words", action="store_true", help="time words as well")
    arguments = parser.parse_args()
    start = time.perf_counter()
    engine = FasterWhisper(arguments.ct2, arguments.compute_type, arguments.threads)
    loaded = time.perf_counter()
    transcript = engine.transcribe(arguments.file, arguments.language, arguments.words)
    done = time.perf_counter()
    json.dump({"load": loaded - start, "seconds": done - loaded, "words": sum(len(segment["text"].split()) for segment in transcript["segments"])}, sys.stdout)


if __name__ == "__main__":
    main()
