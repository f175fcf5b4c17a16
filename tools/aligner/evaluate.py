"""Scores a head: errors of word starts and ends on references, clean and disturbed, and under rounded encoder states.

    python evaluate.py WEIGHTS --references FOLDER --encoder PROGRAM --work FOLDER

FOLDER holds a `manifest.jsonl` whose lines give `id`, `set`, `language`, `path` of the recording and `words`, the path
of a JSON list of {word, start, end}.
"""

import argparse
import json
import math
import re
from pathlib import Path

import numpy
import torch
from scipy.signal import butter, fftconvolve, sosfilt

from alignment import align
from corpora import RATE, Utterance, read_audio
from features import FRAMES_PER_SECOND, Features, encode
from fit import as_rounded
from model import Head
from weights_file import load
from windows import WINDOW, Window

GROUPS = {"emu-ae": "human", "timit-sample": "human", "praatio": "human"}
"""Sets that are too small alone and are counted together: words placed by people."""


def references(folder: Path) -> dict[str, list[Utterance]]:
    """Group -> recordings in English with their words and times."""
    groups = {}
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if not entry.get("words") or entry["language"] != "en":
            continue
        placed = json.loads((folder / entry["words"]).read_text())
        words = [re.sub(r"[^a-z']", "", item["word"].lower()) for item in placed]
        times = [(item["start"], item["end"]) for item in placed]
        kept = [index for index, word in enumerate(words) if word]
        utterance = Utterance(
            entry["id"], entry.get("speaker", ""), entry["set"], [words[index] for index in kept],
            read_audio(folder / entry["path"]), [times[index] for index in kept],
        )
        groups.setdefault(GROUPS.get(entry["set"], entry["set"]), []).append(utterance)
    return groups


def noisy(samples, noise):
    """White noise 10 dB below the recording."""
    return samples + noise.standard_normal(len(samples)) * math.sqrt((samples**2).mean() / 10)


def telephone(samples, noise):
    """300 to 3400 Hz."""
    return sosfilt(butter(4, [300, 3400], "band", fs=RATE, output="sos"), samples)


def reverberant(samples, noise):
    """A room of 0.4 s, direct to reverberant energy 3 dB."""
    length = int(0.4 * RATE)
    tail = noise.standard_normal(length) * 10 ** (-3 * numpy.arange(length) / length)
    tail *= math.sqrt(0.5 / (tail**2).sum())
    tail[0] += 1.0
    return fftconvolve(samples, tail)[: len(samples)]


CONDITIONS = {"clean": lambda samples, noise: samples, "noise": noisy, "telephone": telephone, "reverb": reverberant}


def as_windows(utterances: list[Utterance], condition: str) -> list[Window]:
    """One recording a window, as it is heard under the condition."""
    windows = []
    for index, utterance in enumerate(utterances):
        changed = CONDITIONS[condition](utterance.samples[:WINDOW], numpy.random.default_rng(index))
        peak = max(1.0, float(numpy.abs(changed).max()))
        placed = [(word, *times) for word, times in zip(utterance.words, utterance.times)]
        windows.append(Window(f"{utterance.name}-{condition}", (changed / peak).astype(numpy.float32), placed))
    return windows


def as_bfloat16(taps):
    return torch.from_numpy(taps).bfloat16().float().numpy()


ROUNDINGS = {"f16": lambda taps: taps, "bf16": as_bfloat16, "int8": as_rounded}


@torch.inference_mode()
def predictions(head: Head, features: Features, seconds: float, rounding: str = "f16"):
    """The head's two outputs on the frames of a recording."""
    taps, mel = features.frames(0, min(1500, math.ceil(seconds * FRAMES_PER_SECOND) + 1))
    taps = ROUNDINGS[rounding](taps.astype(numpy.float32)).astype(numpy.float32)
    ctc, frame = head(torch.from_numpy(taps)[None], torch.from_numpy(mel.astype(numpy.float32))[None])
    return ctc[0].numpy(), frame[0].numpy()


def errors(head: Head, encoded: list[tuple[Features, float]], rounding: str = "f16", passes: int = 2) -> numpy.ndarray:
    """(words, 2): start and end of every word, found minus true, in milliseconds."""
    found = []
    for features, seconds in encoded:
        words, starts, ends = zip(*features.words)
        placed = align(*predictions(head, features, seconds, rounding), list(words), passes)
        for span, start, end in zip(placed, starts, ends):
            span = span or (seconds, seconds)
            found.append((span[0] - start, span[1] - end))
    return numpy.array(found) * 1000


def summary(found: numpy.ndarray) -> str:
    """Median and 90th percentile of the absolute error, median error in brackets, share within 50 and 100 ms."""
    size = numpy.abs(found)
    return (
        f"{numpy.median(size):.0f}/{numpy.percentile(size, 90):.0f} ({numpy.median(found):+.0f}) "
        f"{(size <= 50).mean() * 100:.0f}/{(size <= 100).mean() * 100:.0f}"
    )


def row(name: str, found: numpy.ndarray) -> str:
    return f"| {name} | {len(found)} | {summary(found[:, 0])} | {summary(found[:, 1])} |"


HEADER = "| set | words | start: median/p90 (bias) ms, % within 50/100 ms | end |\n|---|---|---|---|"


def encoded(utterances: list[Utterance], condition: str, folder: Path, program: str) -> list[tuple[Features, float]]:
    """The features of every recording under the condition, and its length in seconds."""
    lengths = [len(utterance.samples) / RATE for utterance in utterances]
    return list(zip(encode(as_windows(utterances, condition), folder, program), lengths))


def table(head: Head, groups: dict[str, list[Utterance]], folder: Path, program: str, disturbed: set[str]):
    """Prints one line a group and condition, and one a rounding of the encoder's states."""
    print(HEADER)
    for group, utterances in groups.items():
        for condition in CONDITIONS if group in disturbed else ["clean"]:
            heard = encoded(utterances, condition, folder, program)
            print(row(f"{group}, {condition}", errors(head, heard)), flush=True)
            for rounding in ["bf16", "int8"] if condition == "clean" else []:
                print(row(f"{group}, states as {rounding}", errors(head, heard, rounding)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--encoder", required=True, help="the program built from examples/encoder_states.rs")
    parser.add_argument("--work", type=Path, required=True, help="where encoded recordings are kept")
    arguments = parser.parse_args()
    groups = references(arguments.references)
    table(load(arguments.weights), groups, arguments.work, arguments.encoder, {"human", "fsdd"})


if __name__ == "__main__":
    main()
