"""Scores a multilingual head on recordings in its languages, beside the cross-attention times of Whisper base.

    python evaluate_languages.py WEIGHTS --references FOLDER --encoder PROGRAM --work FOLDER [--whisper MODEL]

FOLDER holds a `manifest.jsonl` whose lines give `id`, `set`, `language`, `path`, and for word times `words`, the path of a
JSON list of {word, start, end}, or for the edges of phrases `segments`, a list of {start, end, text}.
"""

import argparse
import dataclasses
import difflib
import json
from pathlib import Path

import numpy

from alignment import align
from corpora import RATE, read_audio
from evaluate import HEADER, row
from features import Features, encode
from model import BLANK, BETWEEN, Head, labels_of
from placing import outputs
from recordings import LANGUAGES, LONGEST_SECONDS, spoken_words
from weights_file import load
from windows import WINDOW, Window

DIGITS = {
    "de": "null eins zwei drei vier fünf sechs sieben acht neun", "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf", "it": "zero uno due tre quattro cinque sei sette otto nove",
    "pt": "zero um dois três quatro cinco seis sete oito nove",
}


@dataclasses.dataclass
class Reference:
    """At most 28 s of a recording: phrases of words, and the phrase's or every word's (start, end) in seconds."""

    name: str
    language: str
    group: str
    samples: numpy.ndarray
    phrases: list[list[str]]
    times: list[tuple[float, float]]

    @property
    def words(self) -> list[str]:
        return [word for phrase in self.phrases for word in phrase]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def spelled(text: str, language: str) -> list[str] | None:
    """The words of a text, single digits spelled out."""
    digits = DIGITS[language].split()
    return spoken_words(" ".join(digits[int(part)] if part.isdigit() and len(part) == 1 else part for part in tokens(text)))


def tokens(text: str) -> list[str]:
    """The text at its spaces, without the punctuation around its pieces."""
    return [token for token in (piece.strip(".,;:!?¿¡…()") for piece in text.replace("_", " ").split()) if token]


def references(folder: Path) -> list[Reference]:
    """What the manifest gives times for, in windows of whole phrases."""
    found = []
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        language = entry["language"]
        if language not in LANGUAGES or not (entry.get("words") or entry.get("segments")):
            continue
        samples = read_audio(folder / entry["path"])
        if entry.get("words"):
            placed = json.loads((folder / entry["words"]).read_text())
            phrases = [(spelled(item["word"], language), item["start"], item["end"]) for item in placed]
        else:
            phrases = [(spelled(item["text"], language), item["start"], item["end"]) for item in entry["segments"]]
        kind = "words" if entry.get("words") else "phrases"
        found += cut(entry["id"], language, f"{entry['set']} {language}, {kind}", samples, phrases)
    return found


def cut(name: str, language: str, group: str, samples: numpy.ndarray, phrases: list) -> list[Reference]:
    """Windows of at most 28 s, cut half-way between two phrases; those with a phrase that cannot be spelled are left out."""
    windows, first, limit = [], 0, len(samples) / RATE
    while first < len(phrases):
        begin = (phrases[first - 1][2] + phrases[first][1]) / 2 if first else 0.0
        last = first
        while last + 1 < len(phrases) and phrases[last + 1][2] - begin < LONGEST_SECONDS:
            last += 1
        end = (phrases[last][2] + phrases[last + 1][1]) / 2 if last + 1 < len(phrases) else limit
        end = min(end, begin + LONGEST_SECONDS + 1)
        chosen = phrases[first : last + 1]
        if all(words for words, _, _ in chosen):
            windows.append(Reference(
                f"{name}-{first}", language, group, samples[int(begin * RATE) : int(end * RATE)],
                [words for words, _, _ in chosen], [(a - begin, b - begin) for _, a, b in chosen],
            ))
        first = last + 1
    return windows


def by_head(head: Head, features: Features, reference: Reference, passes: int = 2):
    """(start, end) of every phrase as the head places its first and its last word."""
    ctc, frame = outputs(head, features, 0, min(1500, int(reference.seconds * 50) + 1))
    times = align(ctc, frame, reference.words, passes)
    edges, index = [], 0
    for phrase in reference.phrases:
        first, last = times[index], times[index + len(phrase) - 1]
        edges.append((first and first[0], last and last[1]))
        index += len(phrase)
    return edges


def by_attention(whisper, reference: Reference):
    """(start, end) of every phrase by Whisper's cross-attention on its own text; None where it hears another word."""
    segments, _ = whisper.transcribe(
        reference.samples, language=reference.language, beam_size=5, word_timestamps=True, condition_on_previous_text=False
    )
    heard = [
        (part, word.start, word.end)
        for segment in segments for word in segment.words for part in (spelled(word.word, reference.language) or ["?"])
    ]
    matcher = difflib.SequenceMatcher(None, [word for word, _, _ in heard], reference.words, autojunk=False)
    known = {b + k: heard[a + k] for a, b, size in matcher.get_matching_blocks() for k in range(size)}
    edges, index = [], 0
    for phrase in reference.phrases:
        first, last = known.get(index), known.get(index + len(phrase) - 1)
        edges.append((first and first[1], last and last[2]))
        index += len(phrase)
    return edges


def letters_heard(head: Head, features: Features, reference: Reference) -> tuple[int, int]:
    """Letters that differ between the text and CTC's likeliest path, and the letters of the text."""
    ctc, _ = outputs(head, features, 0, min(1500, int(reference.seconds * 50) + 1))
    likeliest = ctc.argmax(-1)
    heard = [label for label, before in zip(likeliest, [-1, *likeliest[:-1]]) if label != before and label not in (BLANK, BETWEEN)]
    text = [label for word in reference.words for label in labels_of(word)]
    row_before = list(range(len(text) + 1))
    for index, label in enumerate(heard, 1):
        row_now = [index]
        for at, expected in enumerate(text, 1):
            row_now.append(min(row_before[at] + 1, row_now[-1] + 1, row_before[at - 1] + (label != expected)))
        row_before = row_now
    return row_before[-1], len(text)


def compared(name: str, found: list, wanted: list[Reference]) -> str:
    """A row of the table: the phrases that were found, their errors in milliseconds."""
    pairs = [(edge, time) for edges, reference in zip(found, wanted) for edge, time in zip(edges, reference.times)]
    whole = [((a - s) * 1000, (b - e) * 1000) for (a, b), (s, e) in pairs if a is not None and b is not None]
    return row(f"{name} ({len(whole)} of {len(pairs)})", numpy.array(whole)) if whole else f"| {name} | 0 | | |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--encoder", required=True, help="the program built from examples/encoder_states.rs")
    parser.add_argument("--work", type=Path, required=True, help="where encoded recordings are kept")
    parser.add_argument("--whisper", help="faster-whisper's name or folder of Whisper base, for its cross-attention's times")
    arguments = parser.parse_args()
    head, wanted = load(arguments.weights), references(arguments.references)
    windows = []
    for reference in wanted:
        samples = numpy.zeros(WINDOW, numpy.float32)
        samples[: len(reference.samples)] = reference.samples[:WINDOW]
        windows.append(Window(reference.name, samples, []))
    heard = encode(windows, arguments.work, arguments.encoder)
    whisper = None
    if arguments.whisper:
        from faster_whisper import WhisperModel

        whisper = WhisperModel(arguments.whisper, device="cpu", compute_type="int8")
    print(HEADER)
    for group in sorted({reference.group for reference in wanted}):
        chosen = [(features, reference) for features, reference in zip(heard, wanted) if reference.group == group]
        only = [reference for _, reference in chosen]
        wrong, letters = zip(*(letters_heard(head, *pair) for pair in chosen))
        error = f"letters wrong {sum(wrong) / sum(letters) * 100:.0f}%"
        print(compared(f"{group}, head, {error}", [by_head(head, *pair) for pair in chosen], only), flush=True)
        print(compared(f"{group}, head, first pass", [by_head(head, *pair, 1) for pair in chosen], only), flush=True)
        if whisper:
            print(compared(f"{group}, cross-attention", [by_attention(whisper, item) for item in only], only), flush=True)


if __name__ == "__main__":
    main()
