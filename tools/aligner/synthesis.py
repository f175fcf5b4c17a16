"""Synthetic speech with exact word times: flite's permissive voices read texts, numbers, dates and single words."""

import random
import re
import subprocess
from pathlib import Path

from corpora import Utterance, read_audio

VOICES = ["slt", "rms", "awb"]
"""The voices to train on; `HELD_OUT` is heard only by the evaluation."""
HELD_OUT = "kal16"

DIGITS = "zero one two three four five six seven eight nine oh".split()
NUMBERS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty "
    "seventy eighty ninety hundred thousand million first second third fourth fifth tenth half point percent dollars"
).split()
DATES = (
    "january february march april may june july august september october november december monday tuesday wednesday "
    "thursday friday saturday sunday today tomorrow morning evening o'clock year"
).split()


def build(folder: Path) -> Path:
    """Compiles speech.c beside this file into the folder."""
    program, source = folder / "speech", Path(__file__).with_name("speech.c")
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        voices = [f"-lflite_cmu_us_{voice}" for voice in [*VOICES, HELD_OUT]]
        libraries = [*voices, "-lflite_usenglish", "-lflite_cmulex", "-lflite", "-lm"]
        subprocess.run(["cc", "-O2", source, "-o", program, *libraries], check=True)
    return program


def phrases(texts: list[list[str]], rng: random.Random) -> list[list[str]]:
    """Pieces of 4 to 14 words of the texts, without apostrophes, which flite spells its own way."""
    pieces = []
    for words in texts:
        start = 0
        while start + 4 <= len(words):
            piece = words[start : start + rng.randint(4, 14)]
            start += len(piece)
            if not any("'" in word for word in piece):
                pieces.append(piece)
    rng.shuffle(pieces)
    return pieces


def with_commas(words: list[str], rng: random.Random) -> str:
    """The words as a sentence, half of the time with a comma, and so a pause, here and there."""
    pauses = rng.choice([0.0, 0.15])
    return " ".join(word + ("," if rng.random() < pauses else "") for word in words[:-1]) + f" {words[-1]}."


def synthesise(folder: Path, name: str, requests: list[tuple[str, list[str]]], rng, count) -> list[Utterance]:
    """One utterance for each (voice, words), at a random tempo and pitch; what flite says otherwise is dropped."""
    audio = folder / name
    audio.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{audio / f'{index:05}.wav'}\t{voice}\t{rng.uniform(0.75, 1.3):.2f}\t{rng.uniform(0.85, 1.2):.2f}\t"
        + with_commas(words, rng)
        for index, (voice, words) in enumerate(requests)
    ]
    spoken = subprocess.run([build(folder)], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    utterances = []
    for line, (voice, words) in zip(spoken.stdout.splitlines(), requests, strict=True):
        path, *placed = line.split("\t")
        placed = [re.fullmatch(r"(.*):([0-9.]+):([0-9.]+)", item).groups() for item in placed]
        if [word for word, _, _ in placed] != [word.replace("'", "") for word in words]:
            count(f"dropped: {name}, said otherwise")
            continue
        count(f"kept: {name}")
        times = [(float(start), float(end)) for _, start, end in placed]
        utterances.append(Utterance(f"{name}-{Path(path).stem}", voice, "flite", words, read_audio(Path(path)), times))
    return utterances


def requests(pieces: list[list[str]], dictionary: list[str], voices: list[str], counts: dict[str, int], rng) -> list:
    """(voice, words) to be said: pieces of texts, rows of dictionary words, rows of numbers and dates."""
    plain = [word for word in dictionary if re.fullmatch(r"[a-z]{2,12}", word)]
    rows = pieces[: counts["phrases"]]
    rows += [rng.sample(plain, rng.randint(4, 8)) for _ in range(counts["dictionary"])]
    numbers = [DIGITS, DIGITS, NUMBERS, DATES]
    rows += [[rng.choice(rng.choice(numbers)) for _ in range(rng.randint(4, 9))] for _ in range(counts["numbers"])]
    return [(voices[index % len(voices)], row) for index, row in enumerate(rows)]


def single_requests(dictionary: list[str], voices: list[str], count: int, rng) -> list:
    """(voice, [word]) to be said on its own: mostly digits, numbers and dates, and words of the dictionary."""
    plain = [word for word in dictionary if re.fullmatch(r"[a-z]{2,10}", word)]
    choices = [DIGITS, DIGITS, DIGITS, NUMBERS, DATES, plain, plain]
    return [(voices[index % len(voices)], [rng.choice(rng.choice(choices))]) for index in range(count)]
