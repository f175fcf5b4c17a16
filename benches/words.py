#!/usr/bin/env python3
"""How exact word times are: Palabra's aligner beside cross-attention and other aligners, on words with reference times.

usage: words.py DATA_DIR [--palabra PROGRAM] [--align PROGRAM] [--ct2 FOLDER] [--out FOLDER] [--sets human,sppas,fsdd]

DATA_DIR holds manifest.jsonl (its fields: scoring.py). --palabra is the program, --align the example `align`, both built
with --release. Every recording is scored as it is and made worse: white noise at 10 dB, a telephone band, a reverberant
room. Systems are given the true text (forced alignment), or write their own, of which the words that are right are scored.
With --ct2 (a CTranslate2 Whisper base) faster-whisper's own word times stand beside; pocketsphinx where it is installed.
Needs (pip, in a virtual environment): jiwer==4.0.0 whisper-normalizer==0.1.15 pyannote.metrics==4.2.0 numpy scipy soundfile,
and for the peers faster-whisper==1.2.1 and pocketsphinx==5.1.1
"""
import argparse
import json
import os
import subprocess
import sys

import numpy
import scipy.signal
import soundfile

import scoring

#: Rows of the table: human word times, machine-made ones, spoken digits with silence between.
GROUPS = {"human": ("emu-ae", "timit-sample", "praatio"), "sppas": ("sppas",), "fsdd": ("fsdd",)}
RATE = 16000


def load(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(1)
    if rate != RATE:
        samples = scipy.signal.resample_poly(samples, RATE, rate)
    return samples.astype("float32")


def noisy(samples, random):
    level = numpy.sqrt(numpy.mean(samples ** 2))
    return samples + (random.standard_normal(len(samples)) * level * 10 ** (-10 / 20)).astype("float32")


def telephone(samples, _):
    return scipy.signal.sosfilt(scipy.signal.butter(4, [300, 3400], "band", fs=RATE, output="sos"), samples).astype("float32")


def reverberant(samples, random):
    length = int(0.4 * RATE)
    room = random.standard_normal(length) * numpy.exp(-6.9 * numpy.arange(length) / length) * 0.05
    room[0] = 1
    return scipy.signal.fftconvolve(samples, room)[: len(samples)].astype("float32")


CONDITIONS = {"clean": None, "noise 10 dB": noisy, "telephone": telephone, "reverb": reverberant}


def prepare(recordings, arguments):
    """Writes every recording in every condition, and its text."""
    for recording in recordings:
        samples = load(os.path.join(arguments.data, recording["path"]))
        with open(os.path.join(arguments.out, recording["id"] + ".txt"), "w", encoding="utf-8") as file:
            file.write(" ".join(word["word"] for word in recording["reference"]))
        for condition, worsen in CONDITIONS.items():
            # Of its own seed, so that a recording sounds the same whichever others are scored.
            random = numpy.random.default_rng(sum(recording["id"].encode()))
            made = worsen(samples, random) if worsen else samples
            soundfile.write(place(arguments, condition, recording, ".wav"), numpy.clip(made, -1, 1), RATE)


def place(arguments, condition, recording, suffix):
    folder = os.path.join(arguments.out, condition.replace(" ", "-"))
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, recording["id"] + suffix)


def forced(arguments, condition, recordings, flags):
    """Words of the true text by the example `align`."""
    pairs = [part for recording in recordings for part in (place(arguments, condition, recording, ".wav"), os.path.join(arguments.out, recording["id"] + ".txt"))]
    output = subprocess.run([arguments.align, *flags, *pairs], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    heard, words = {}, None
    for line in output.splitlines():
        if line.startswith("# "):
            words = heard.setdefault(os.path.splitext(os.path.basename(line[2:]))[0], [])
        else:
            start, end, score, source, word = line.split("\t")
            words.append({"word": word, "start": float(start), "end": float(end), "score": float(score), "source": source})
    return heard


def written(arguments, condition, recordings, align):
    """Words of Palabra's own text."""
    folder = os.path.join(arguments.out, "own-" + align, condition.replace(" ", "-"))
    files = [place(arguments, condition, recording, ".wav") for recording in recordings]
    command = [arguments.palabra, "transcribe", *files, "--language", "en", "--align", align, "--format", "json", "--output-dir", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    heard = {}
    for recording in recordings:
        with open(os.path.join(folder, recording["id"] + ".json"), encoding="utf-8") as file:
            heard[recording["id"]] = json.load(file)["word_segments"]
    return heard


def faster_whisper(arguments, condition, recordings):
    from faster_whisper import WhisperModel
    model = WhisperModel(arguments.ct2, device="cpu", compute_type="float32", cpu_threads=2)
    heard = {}
    for recording in recordings:
        segments, _ = model.transcribe(place(arguments, condition, recording, ".wav"), language="en", word_timestamps=True)
        heard[recording["id"]] = [{"word": w.word, "start": w.start, "end": w.end} for s in segments for w in s.words]
    return heard


def pocketsphinx(arguments, condition, recordings):
    """The true text by a Gaussian mixture model; a recording that it cannot align, or whose words it lacks, has no words."""
    from pocketsphinx import Decoder, get_model_path
    heard = {}
    for recording in recordings:
        heard[recording["id"]] = []
        decoder = Decoder(hmm=get_model_path("en-us/en-us"), dict=get_model_path("en-us/cmudict-en-us.dict"), lm=None, loglevel="FATAL", beam=1e-80, wbeam=1e-60, pbeam=1e-80, bestpath=False, fwdflat=False)
        words = [word["word"].lower().strip(".,?!") for word in recording["reference"]]
        pcm = (numpy.clip(load(place(arguments, condition, recording, ".wav")), -1, 1) * 32767).astype(numpy.int16).tobytes()
        try:
            # The first pass finds the words, the second one their phones and exact frames.
            if any(decoder.lookup_word(word) is None for word in words):
                raise ValueError("a word is not in the dictionary")
            decoder.set_align_text(" ".join(words))
            decode(decoder, pcm)
            if decoder.hyp() is None:
                raise ValueError("the text does not fit")
            decoder.set_alignment()
            decode(decoder, pcm)
            # The words live as long as the alignment does.
            alignment = decoder.get_alignment()
            spans = [(w.name.split("(")[0], w.start / 100, (w.start + w.duration) / 100) for w in alignment.words()]
        except (RuntimeError, ValueError):
            continue
        heard[recording["id"]] = [{"word": name, "start": start, "end": end} for name, start, end in spans if name[0] not in "<["]
    return heard


def decode(decoder, pcm):
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def errors(recordings, heard, by_place):
    """Absolute errors of starts and ends in seconds, and how many words have none."""
    starts, ends, lost = [], [], 0
    for recording in recordings:
        reference, words = recording["reference"], heard.get(recording["id"], [])
        if by_place and len(words) == len(reference):
            starts += [abs(word["start"] - true["start"]) for word, true in zip(words, reference)]
            ends += [abs(word["end"] - true["end"]) for word, true in zip(words, reference)]
        elif by_place:
            lost += len(reference)
        else:
            more = scoring.word_time_errors(reference, words)
            starts, ends, lost = starts + more[0], ends + more[1], lost + more[2]
    return starts, ends, lost


def cell(values):
    if not values:
        return "none"
    values = numpy.array(values) * 1000
    return f"{numpy.median(values):.0f} / {numpy.percentile(values, 90):.0f} / {(values <= 100).mean() * 100:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--palabra", default="target/release/palabra")
    parser.add_argument("--align", default="target/release/examples/align")
    parser.add_argument("--ct2")
    parser.add_argument("--out", default="target/words")
    parser.add_argument("--sets", default=",".join(GROUPS))
    arguments = parser.parse_args()
    groups = {name: GROUPS[name] for name in arguments.sets.split(",")}
    recordings = [r for r in scoring.load_manifest(arguments.data) if r.get("words") and r["language"] == "en" and any(r["set"] in sets for sets in groups.values())]
    for recording in recordings:
        with open(os.path.join(arguments.data, recording["words"]), encoding="utf-8") as file:
            # Marks of pauses and noises are nothing that is said.
            recording["reference"] = [word for word in json.load(file) if scoring.letters(word["word"])]
    os.makedirs(arguments.out, exist_ok=True)
    prepare(recordings, arguments)
    systems = {
        "Palabra, true text": (lambda condition: forced(arguments, condition, recordings, []), True),
        "Palabra, own text": (lambda condition: written(arguments, condition, recordings, "auto"), False),
        "cross-attention, true text": (lambda condition: forced(arguments, condition, recordings, ["--attention"]), True),
        "cross-attention, own text": (lambda condition: written(arguments, condition, recordings, "dtw"), False),
    }
    if arguments.ct2:
        systems["faster-whisper, own text"] = (lambda condition: faster_whisper(arguments, condition, recordings), False)
    try:
        import pocketsphinx as _
        systems["pocketsphinx, true text"] = (lambda condition: pocketsphinx(arguments, condition, recordings), True)
    except ImportError:
        print("pocketsphinx is not installed and left out", file=sys.stderr)
    print("Each cell: median / 90th percentile of the absolute error in ms / share within 100 ms in %.\n")
    print("| system | words | condition | starts | ends | words without a time |\n|---|---|---|---|---|---|")
    for system, (run, by_place) in systems.items():
        for condition in CONDITIONS:
            heard = run(condition)
            for group, sets in groups.items():
                chosen = [recording for recording in recordings if recording["set"] in sets]
                starts, ends, lost = errors(chosen, heard, by_place)
                print(f"| {system} | {group} | {condition} | {cell(starts)} | {cell(ends)} | {lost} |", flush=True)


if __name__ == "__main__":
    main()
