"""Speech in German, Spanish, French, Italian and Portuguese: lists of recordings with their text, some with word times."""

import dataclasses
import json
import re
import unicodedata
from pathlib import Path

import numpy

from corpora import RATE, Utterance, read_audio
from model import ACCENTED, LABELS

LANGUAGES = ("de", "es", "fr", "it", "pt")
LETTERS = set(LABELS[2:] + ACCENTED)
LONGEST_SECONDS = 28.0
SHORTEST_PIECE, LONGEST_PIECE = 15.0, 26.0


@dataclasses.dataclass
class Recording(Utterance):
    """An utterance, or a reading of any length, and its language; `held_out` ones are only for the evaluation."""

    language: str = ""
    held_out: bool = False

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    @property
    def long(self) -> bool:
        return self.seconds > LONGEST_SECONDS


def spoken_words(text: str) -> list[str] | None:
    """Lower-case words of letters and apostrophes; None where a digit or a symbol is not spelled out."""
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'").replace("ÿ", "y")
    if re.search(r"[0-9$%&€£@#+=º°ª]", text):
        return None
    words = ["".join(letter for letter in word if letter in LETTERS) for word in re.sub(r"[-–—/_]", " ", text).split()]
    # The apostrophe of an elision (l', dell') stays, a quotation mark does not.
    words = [word.lstrip("'") if word.strip("'") else "" for word in words]
    return [word for word in words if word]


def read_list(path: Path) -> list[Recording]:
    """The recordings of a JSON-lines file: `path` (relative to the list), `language`, `speaker`, `source`, `text`, and
    where they are known `times`, (start, end) in seconds of every word of the text, and `held_out`."""
    found = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        words, times = spoken_words(entry["text"]), entry.get("times")
        if not words or (times and len(times) != len(words)):
            raise ValueError(f"{path}: {entry['path']}: the text must be spelled out and have a time for every word")
        samples = read_audio(path.parent / entry["path"])
        found.append(Recording(
            f"{entry['source']}-{Path(entry['path']).stem}", entry["speaker"], entry["source"], words, samples,
            times and [tuple(time) for time in times], entry["language"], entry.get("held_out", False),
        ))
    return found


def pieces(samples: numpy.ndarray) -> list[tuple[int, int]]:
    """(first, last) sample of the parts of a long reading, cut in the quietest 150 ms of every 15 to 26 s."""
    step = RATE // 100
    steps = len(samples) // step
    power = (samples[: steps * step].reshape(steps, step) ** 2).mean(axis=1)
    power = numpy.convolve(power, numpy.ones(15) / 15, mode="same")
    cuts, shortest, longest = [0], int(SHORTEST_PIECE * 100), int(LONGEST_PIECE * 100)
    while steps - cuts[-1] > longest:
        low = cuts[-1] + shortest
        cuts.append(low + int(numpy.argmin(power[low : min(cuts[-1] + longest, steps)])))
    edges = [cut * step for cut in cuts] + [len(samples)]
    return list(zip(edges[:-1], edges[1:]))
