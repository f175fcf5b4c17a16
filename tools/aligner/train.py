"""Trains Palabra's English aligner: from folders of recordings to one safetensors file.

    cargo build --release --example encoder_states
    pip install -r tools/aligner/requirements.txt          (and the system's flite with its headers, and a C compiler)
    python tools/aligner/train.py FOLDER... --work WORK --encoder target/release/examples/encoder_states \
        --out weights/aligner-en.safetensors

FOLDER is of LibriSpeech's layout; where it has no `.trans.txt`, Whisper base writes the text. Every stage keeps its
result under WORK, so that a second run goes on where the first stopped; WORK/inputs.json lists what was used.
"""

import argparse
import collections
import json
import random
import shutil
from pathlib import Path

import numpy

import synthesis
from corpora import RATE, Labeller, Utterance, read_folder
from evaluate import HEADER, encoded, errors, row
from features import encode
from fit import fit
from teacher import Teacher, measured_offset
from weights_file import save
from windows import energy_edges, packed, single_words

SPOKEN_COUNTS = {"phrases": 420, "dictionary": 120, "numbers": 120}
SINGLE_WORDS = 500
HELD_OUT_SPEAKERS = 16
MOST_OF_A_SPEAKER = 130
# Speakers with more than five recordings fill at most so many windows: many speakers teach more than much of one.
MUCH_OF_FEW_WINDOWS = 120


def minutes(utterances: list[Utterance]) -> float:
    return round(sum(len(utterance.samples) for utterance in utterances) / RATE / 60, 1)


def synthetic(folder: Path, texts, dictionary: list[str], seed: int, count) -> dict[str, list[Utterance]]:
    """Sentences and single words of the training voices, and of the voice that is held out."""
    rng = random.Random(seed)
    pieces = synthesis.phrases(texts, rng)
    held_out, pieces = pieces[:50], pieces[50:]
    kept, voices = [synthesis.HELD_OUT], synthesis.VOICES
    fewer = {"phrases": 50, "dictionary": 8, "numbers": 12}
    wanted = {
        "flite": synthesis.requests(pieces, dictionary, voices, SPOKEN_COUNTS, rng),
        "flite-single": synthesis.single_requests(dictionary, voices, SINGLE_WORDS, rng),
        "held-out-flite": synthesis.requests(held_out, dictionary, kept, fewer, rng),
        "held-out-single": synthesis.single_requests(dictionary, kept, 60, rng),
    }
    return {name: synthesis.synthesise(folder, name, asked, rng, count) for name, asked in wanted.items()}


def placed_by(teacher: Teacher, utterances: list[Utterance], cache: Path, count) -> list[Utterance]:
    """Those utterances that the teacher could place, with their times."""
    known = json.loads(cache.read_text()) if cache.exists() else {}
    for utterance in utterances:
        key = f"{utterance.name} {' '.join(utterance.words)}"
        if key not in known:
            known[key] = teacher.place(utterance)
        utterance.times = known[key] and [(start + teacher.offset, end + teacher.offset) for start, end in known[key]]
        count("placed by the teacher" if utterance.times else "dropped: not placed by the teacher")
    cache.write_text(json.dumps(known))
    return [utterance for utterance in utterances if utterance.times]


def balanced(utterances: list[Utterance], rng: random.Random) -> list[Utterance]:
    """At most so many utterances of one speaker."""
    by_speaker = collections.defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    return [item for group in by_speaker.values() for item in rng.sample(group, min(len(group), MOST_OF_A_SPEAKER))]


def training_windows(recorded, spoken, copies: int, seed: int):
    """Windows of sentences and of isolated words: one clean copy of the many speakers, `copies` changed ones of their
    sentences, and one more of the isolated words."""
    rng = random.Random(seed)
    wanted = set(synthesis.DIGITS + synthesis.NUMBERS + synthesis.DATES)
    cut = single_words(recorded, wanted, 1200, rng)
    alone = cut + spoken["flite-single"]
    few = {name for name, size in collections.Counter(item.speaker for item in recorded).items() if size > 5}
    many = [utterance for utterance in recorded if utterance.speaker not in few]
    much = [utterance for utterance in recorded if utterance.speaker in few]
    windows = packed("clean", many + spoken["flite"][::2], "speech", False, recorded, seed)
    windows += packed("clean-single", alone[::2], "single", False, recorded, seed)
    windows += packed("changed-few", much, "speech", True, recorded, seed)[:MUCH_OF_FEW_WINDOWS]
    for copy in range(copies):
        said = spoken["flite"][copy % 2 :: 2]
        windows += packed(f"changed-{copy}", many + said, "speech", True, recorded, seed + 1 + copy)
    for copy in range(copies + 1):
        windows += packed(f"changed-single-{copy}", alone, "single", True, recorded, seed + 1 + copy)
    return windows, cut


def joined_singles(utterances: list[Utterance]) -> list[Utterance]:
    """The single words of the held-out voice, trimmed to their energy, ten to a recording, 0.1 to 0.8 s apart."""
    noise, recordings = numpy.random.default_rng(5), []
    for first in range(0, len(utterances), 10):
        samples, words, times = [], [], []
        position = 0.0
        for item in utterances[first : first + 10]:
            start, end = energy_edges(item.samples, *item.times[0], 0.1)
            gap = numpy.zeros(int(noise.uniform(0.1, 0.8) * RATE), numpy.float32)
            piece = item.samples[int(start * RATE) : int(end * RATE)]
            position += len(gap) / RATE
            times.append((position, position + len(piece) / RATE))
            position += len(piece) / RATE
            words += item.words
            samples += [gap, piece]
        samples.append(numpy.zeros(RATE // 2, numpy.float32))
        whole = numpy.concatenate(samples)
        recordings.append(Utterance(f"held-out-singles-{first}", synthesis.HELD_OUT, "flite", words, whole, times))
    return recordings


def check_tools(encoder: str):
    """Stops with a sentence that says what is missing, before any work is done."""
    for program, package in {"flite": "flite", "cc": "gcc"}.items():
        if not shutil.which(program):
            raise SystemExit(f"{program} is missing: install the system's package {package}")
    if not shutil.which(encoder):
        raise SystemExit(f"{encoder} is missing: build it with cargo build --release --example encoder_states")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="recorded speech in LibriSpeech's layout")
    parser.add_argument("--work", type=Path, required=True, help="where every stage keeps its result")
    parser.add_argument("--whisper", default="base", help="faster-whisper's name or folder of Whisper base")
    parser.add_argument("--encoder", required=True, help="the program built from examples/encoder_states.rs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=1, help="changed copies of the recordings of many speakers")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    check_tools(arguments.encoder)
    work, rng, counts = arguments.work, random.Random(arguments.seed), {}
    work.mkdir(parents=True, exist_ok=True)

    def counter(name):
        counts[name] = collections.Counter()
        return lambda what: counts[name].update([what])

    labeller = Labeller(arguments.whisper, work / "labels.jsonl")
    recorded = [item for folder in arguments.folders for item in read_folder(folder, labeller, counter(folder.name))]
    if not recorded:
        raise SystemExit("no recording with a trusted text: give folders of flac or wav files, of at most 28 s each")
    teacher = Teacher()
    texts = [item.words for item in recorded]
    spoken = synthetic(work / "flite", texts, sorted(teacher.known), arguments.seed, counter("flite"))
    teacher.offset = measured_offset(teacher, spoken["flite"][:120])
    recorded = placed_by(teacher, recorded, work / "teacher.json", counter("teacher"))
    singles = collections.Counter(item.speaker for item in recorded)
    speakers = sorted(name for name, size in singles.items() if size <= 5)
    kept_out = set(rng.sample(speakers, min(HELD_OUT_SPEAKERS, len(speakers) // 4)))
    held_out = {
        "held-out speakers (teacher's times)": [item for item in recorded if item.speaker in kept_out],
        "held-out flite voice": spoken["held-out-flite"],
        "held-out flite voice, single words": joined_singles(spoken["held-out-single"]),
    }
    recorded = balanced([item for item in recorded if item.speaker not in kept_out], rng)
    windows, cut = training_windows(recorded, spoken, arguments.copies, arguments.seed)
    inputs = {
        "counts": counts, "teacher_offset": teacher.offset, "windows": len(windows),
        "words": sum(len(window.words) for window in windows), "recorded_minutes": minutes(recorded),
        "recorded_speakers": len({item.speaker for item in recorded}), "single_words_cut": len(cut),
        "flite_minutes": minutes(spoken["flite"] + spoken["flite-single"]),
        "utterances": [f"{item.source}/{item.name}" for item in recorded], "held_out_speakers": sorted(kept_out),
    }
    (work / "inputs.json").write_text(json.dumps(inputs, indent=1))
    print({name: value for name, value in inputs.items() if name != "utterances"}, flush=True)
    head = fit(encode(windows, work / "windows", arguments.encoder), arguments.steps, arguments.seed)
    save(head, arguments.out)
    print(HEADER)
    for name, utterances in held_out.items():
        heard = encoded(utterances, "clean", work / "held-out", arguments.encoder)
        print(row(name, errors(head, heard)), flush=True)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
