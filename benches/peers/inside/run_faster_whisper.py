"""faster-whisper on some files, in its own environment: batched and with its own voice detection, its fast path."""
import argparse
import importlib.metadata

from faster_whisper import BatchedInferencePipeline, WhisperModel

from measured import transcribe_all


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--model", required=True, help="a CTranslate2 folder")
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--compute-type", required=True)
    parser.add_argument("--beam-size", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--language")
    parser.add_argument("--words", action="store_true", help="time words as well")
    arguments = parser.parse_args()
    pipeline = BatchedInferencePipeline(WhisperModel(arguments.model, device="cpu", compute_type=arguments.compute_type, cpu_threads=arguments.threads))
    as_word = lambda word: {"word": word.word.strip(), "start": word.start, "end": word.end, "score": word.probability}

    def transcribe(path):
        segments, info = pipeline.transcribe(path, language=arguments.language, beam_size=arguments.beam_size, temperature=0.0,
                                             batch_size=arguments.batch_size, word_timestamps=arguments.words)
        listed = [{"start": part.start, "end": part.end, "text": part.text, "words": [as_word(word) for word in part.words or []]} for part in segments]
        return {"segments": listed, "language": info.language, "language_probability": info.language_probability}

    version = "faster-whisper {} with ctranslate2 {}".format(*map(importlib.metadata.version, ("faster-whisper", "ctranslate2")))
    transcribe_all(arguments.files, arguments.output_dir, version, transcribe)


if __name__ == "__main__":
    main()
