"""Recorded speech: folders of utterances, with their text where a `.trans.txt` gives it, else labelled by Whisper."""

import dataclasses
import json
import re
from pathlib import Path

import numpy
import soundfile
import soxr

RATE = 16_000
"""Samples per second of everything in this tool."""

# What Whisper writes shorter than it is spoken. Anything else with a digit or a symbol drops the utterance.
SPOKEN = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "messrs": "messieurs", "etc": "et cetera"}
# Confident enough to be trusted as a transcript: mean log-probability per token, and enough words to place.
LEAST_CONFIDENCE = -0.40
LEAST_WORDS = 4
LONGEST_SECONDS = 28.0


@dataclasses.dataclass
class Utterance:
    """One recording: its words in order and, once a teacher has placed them, their (start, end) in seconds."""

    name: str
    speaker: str
    source: str
    words: list[str]
    samples: numpy.ndarray
    times: list[tuple[float, float]] | None = None


def spoken_words(text: str) -> list[str] | None:
    """Lower-case words of letters and apostrophes; None where the text holds something that is not spelled out."""
    text = text.replace("’", "'").replace("‘", "'").replace("-", " ").replace("—", " ")
    if re.search(r"[^A-Za-z'\s.,;:!?\"()\[\]“”…]", text) or re.search(r"\b[IVXLC]{2,}\b", text) and not text.isupper():
        return None
    words = [re.sub(r"[^a-z']", "", word).strip("'") for word in text.lower().split()]
    words = [SPOKEN.get(word, word) for word in words if word]
    return [part for word in words for part in word.split()]


def read_audio(path: Path) -> numpy.ndarray:
    """Mono samples at 16 kHz, -1..1, float32."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(axis=1)
    return samples if rate == RATE else soxr.resample(samples, rate, RATE).astype(numpy.float32)


def transcripts_of(folder: Path) -> dict[str, str]:
    """Utterance name -> text, from every `*.trans.txt` below the folder (LibriSpeech's layout)."""
    lines = (line for path in sorted(folder.rglob("*.trans.txt")) for line in path.read_text().splitlines())
    return dict(line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2)


def read_folder(folder: Path, labeller, count) -> list[Utterance]:
    """Every flac or wav below the folder that has a trusted text; `count` is told what is kept or dropped, and why."""
    known = transcripts_of(folder)
    utterances = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".flac", ".wav")):
        samples = read_audio(path)
        if len(samples) > LONGEST_SECONDS * RATE:
            count("dropped: too long")
            continue
        text = known.get(path.stem) or labeller(path.stem, samples)
        words = spoken_words(text) if text else None
        if not words or len(words) < LEAST_WORDS:
            count("dropped: text not trusted")
            continue
        count("kept: own text" if path.stem in known else "kept: labelled by Whisper")
        speaker = path.stem.split("-")[0]
        utterances.append(Utterance(path.stem, speaker, folder.name, words, samples))
    return utterances


class Labeller:
    """Whisper base through faster-whisper, digits and symbols suppressed so that numbers come out spelled;
    its answers are kept in a JSON-lines file, one line an utterance."""

    def __init__(self, model: str, cache: Path):
        self.model_name, self.cache, self.model = model, cache, None
        lines = cache.read_text().splitlines() if cache.exists() else []
        self.known = {answer["name"]: answer for answer in map(json.loads, lines)}

    def load(self):
        """The model and the ids of all tokens that hold a digit or a symbol that is read aloud."""
        from faster_whisper import WhisperModel

        self.model = WhisperModel(self.model_name, device="cpu", compute_type="int8", cpu_threads=2)
        vocabulary = self.model.hf_tokenizer.get_vocab()
        texts = {token: self.model.hf_tokenizer.decode([token]) for token in vocabulary.values()}
        self.suppressed = [-1] + sorted(token for token, text in texts.items() if re.search(r"[0-9$%&€£@#+=*/]", text))

    def __call__(self, name: str, samples: numpy.ndarray) -> str | None:
        """The text, or None where Whisper is not confident of it."""
        if name not in self.known:
            if self.model is None:
                self.load()
            segments, _ = self.model.transcribe(
                samples, language="en", beam_size=5, temperature=0.0, without_timestamps=True,
                condition_on_previous_text=False, suppress_tokens=self.suppressed,
            )
            segments = list(segments)
            answer = {
                "name": name,
                "text": " ".join(segment.text.strip() for segment in segments),
                "confidence": min((segment.avg_logprob for segment in segments), default=-10.0),
            }
            self.known[name] = answer
            with self.cache.open("a") as cache:
                cache.write(json.dumps(answer) + "\n")
        answer = self.known[name]
        return answer["text"] if answer["confidence"] >= LEAST_CONFIDENCE else None
