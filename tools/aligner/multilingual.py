"""Trains Palabra's aligner for German, Spanish, French, Italian and Portuguese: lists of recordings in, safetensors out.

    python tools/aligner/multilingual.py LIST... --work WORK --encoder target/release/examples/encoder_states \
        --english weights/aligner-en.safetensors --out weights/aligner-multilingual.safetensors

LIST is a JSON-lines file (recordings.py says what a line holds). No dictionary and no acoustic model is needed: the words
whose times a list gives teach the edges, the others only the path at first; a head trained so places them, and a second
training takes their times too. It starts from the English head and hears the English windows (`--english-windows`) as
well, so that the edges people's voices have in English stay known. Every stage keeps its result under WORK.
"""

import argparse
import collections
import json
import random
from pathlib import Path

import numpy
import torch

from evaluate import HEADER, errors, row
from features import Features, encode
from fit import CROP_SECONDS, crop, fit
from model import ACCENTED, LABELS, Head
from placing import place, place_long
from recordings import LANGUAGES, Recording, pieces, read_list
from weights_file import load, save
from windows import WINDOW, Window, packed


class Heard(Features):
    """A window of several recordings: its words, with times where the recording has some."""

    def __init__(self, path: Path, recordings: dict[str, Recording]):
        super().__init__(path)
        self.spans, self.recordings = [(recordings[name], start, end) for name, start, end in self.words], recordings
        self.refresh()

    def refresh(self):
        """Takes over the times that the recordings have got meanwhile."""
        self.groups = []
        for recording, start, end in self.spans:
            pace = (end - start) / recording.seconds
            times = recording.times or [(None, None)] * len(recording.words)
            placed = [(start + a * pace, start + b * pace) if a is not None else (a, b) for a, b in times]
            self.groups.append(([(word, *span) for word, span in zip(recording.words, placed)], start, end))
        self.words = [word for words, _, _ in self.groups for word in words]


def crop_recordings(features: Features, rng: random.Random):
    """A run of words where all have times, else a run of whole recordings."""
    if all(start is not None for _, start, _ in features.words):
        return crop(features, rng)
    groups, longest = features.groups, rng.uniform(*CROP_SECONDS)
    first = last = rng.randrange(len(groups))
    while last + 1 < len(groups) and groups[last + 1][2] - groups[first][1] < longest:
        last += 1
    frames = round(groups[first][1] * 50), min(1500, round(groups[last][2] * 50) + 1)
    return *frames, [word for words, _, _ in groups[first : last + 1] for word in words]


def as_units(recordings: list[Recording]) -> list[Recording]:
    """Each recording as if it were one word with its own name, which `packed` carries to its place in a window."""
    units = []
    for item in recordings:
        unit = Recording(item.name, item.speaker, item.source, [item.name], item.samples, [(0.0, item.seconds)])
        units.append(unit)
    return units


def windows_of(recordings: list[Recording], copies: int, seed: int) -> list[Window]:
    """Per source and language one clean window of every recording and `copies` changed ones."""
    groups, windows = collections.defaultdict(list), []
    for item in recordings:
        groups[f"{item.source}-{item.language}"].append(item)
    voices = random.Random(seed).sample(recordings, min(len(recordings), 60))
    for name, group in sorted(groups.items()):
        windows += packed(f"{name}-clean", as_units(group), "speech", False, voices, seed)
        for copy in range(copies):
            windows += packed(f"{name}-changed-{copy}", as_units(group), "speech", True, voices, seed + 1 + copy)
    return windows


def parts_of(recording: Recording) -> list[tuple[Window, float]]:
    """The windows of a long reading, and the seconds that each of them holds."""
    parts = []
    for index, (first, last) in enumerate(pieces(recording.samples)):
        samples = numpy.zeros(WINDOW, numpy.float32)
        samples[: last - first] = 0.7 * recording.samples[first:last] / (numpy.abs(recording.samples[first:last]).max() + 1e-6)
        parts.append((Window(f"{recording.name}-part-{index}", samples, []), (last - first) / 16_000))
    return parts


def started_from(english: Path | None) -> Head:
    """A head with the labels of all languages; its trunk and its English labels are those of the English head."""
    head = Head(labels=len(LABELS + ACCENTED))
    if english:
        state, known = head.state_dict(), load(english).state_dict()
        for name, tensor in known.items():
            state[name][: len(tensor)] = tensor
        # A letter with an accent starts as the letter without one.
        for index, letter in enumerate(ACCENTED, len(LABELS)):
            plain = LABELS.index({"ß": "s", "œ": "o", "æ": "a"}.get(letter) or PLAIN[letter])
            for name in ("ctc.weight", "ctc.bias", "frame.weight", "frame.bias"):
                state[name][index] = state[name][plain] - (1.0 if name.endswith("bias") else 0.0)
        head.load_state_dict(state)
    return head


PLAIN = dict(zip("àáâãäçèéêëìíîïñòóôõöùúûü", "aaaaaceeeeiiiinooooouuuu"))


def place_all(head: Head, heard: list[Heard], long: dict[str, list[tuple[Features, float]]], readings: dict[str, Recording]):
    """Gives times to the recordings that have none, from their clean windows, and to the parts of long readings."""
    counts, placed_parts = collections.Counter(), []
    for features in heard:
        for recording, start, end in features.spans:
            if recording.times is None and "-changed-" not in features.path.stem:
                times = place(head, features, recording.words, start, end)
                pace = recording.seconds / (end - start)
                recording.times = times and [((a - start) * pace, (b - start) * pace) for a, b in times]
                counts[f"{recording.source} {'placed' if times else 'dropped'}"] += 1
    for name, parts in long.items():
        for (features, _), words in zip(parts, place_long(head, parts, readings[name].words)):
            features.words = words
            counts[f"{readings[name].source} words placed"] += len(words)
            if len(words) >= 4:
                placed_parts.append(features)
    for features in heard:
        features.spans = [span for span in features.spans if span[0].times]
        features.refresh()
    print(dict(counts), flush=True)
    return [features for features in heard if features.spans] + placed_parts


def training(recordings: list[Recording], arguments) -> Head:
    """Both trainings on the recordings that are not held out."""
    train = {item.name: item for item in recordings if not item.held_out and not item.long}
    readings = {item.name: item for item in recordings if not item.held_out and item.long}
    folder = arguments.work / "windows"
    windows = windows_of(list(train.values()), arguments.copies, arguments.seed)
    encode(windows, folder, arguments.encoder)
    heard = [Heard(folder / f"{window.name}.safetensors", train) for window in windows]
    parts = {name: parts_of(item) for name, item in readings.items()}
    encode([window for group in parts.values() for window, _ in group], folder, arguments.encoder)
    long = {
        name: [(Features(folder / f"{window.name}.safetensors"), seconds) for window, seconds in group]
        for name, group in parts.items()
    }
    english = [Features(path) for path in sorted(arguments.english_windows.glob("*.safetensors"))] if arguments.english_windows else []
    english = random.Random(arguments.seed).sample(english, min(len(english), len(heard) // 3))
    first = fit(heard + english, arguments.first_steps, arguments.seed, head=started_from(arguments.english), crop=crop_recordings)
    corpus = place_all(first, heard, long, readings)
    return fit(corpus + english, arguments.steps, arguments.seed + 1, head=first.train(), crop=crop_recordings)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", type=Path, nargs="+", help="JSON-lines files of recordings")
    parser.add_argument("--work", type=Path, required=True, help="where every stage keeps its result")
    parser.add_argument("--encoder", required=True, help="the program built from examples/encoder_states.rs")
    parser.add_argument("--english", type=Path, help="the English head to start from")
    parser.add_argument("--english-windows", type=Path, help="the windows it was trained on: WORK/windows of train.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=1, help="changed copies of every recording")
    parser.add_argument("--first-steps", type=int, default=400)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    recordings = [item for path in arguments.lists for item in read_list(path)]
    head = training(recordings, arguments)
    save(head, arguments.out, languages=LANGUAGES)
    print(HEADER)
    for language in LANGUAGES:
        for source in sorted({item.source for item in recordings}):
            held = {i.name: i for i in recordings if i.held_out and i.times and (i.source, i.language) == (source, language)}
            windows = packed(f"held-{source}-{language}", as_units(list(held.values())), "speech", False, [], 5)
            encode(windows, arguments.work / "held-out", arguments.encoder)
            found = [Heard(arguments.work / "held-out" / f"{window.name}.safetensors", held) for window in windows]
            if found:
                print(row(f"{source}, {language}", errors(head, [(features, 30.0) for features in found])), flush=True)


if __name__ == "__main__":
    main()
