#!/usr/bin/env python3
"""Speed and memory of `palabra transcribe` against faster-whisper, in turn on one machine; prints tables.

usage: speed.py DATA_DIR --ct2 FOLDER [options]        the file is made of clips of DATA_DIR (fields of its manifest: scoring.py)
       speed.py --audio FILE --ct2 FOLDER [options]    any file of one language; what follows `--` goes to palabra in the rounds

Rounds: every engine transcribes the same file once a round, in a process of its own, round after round, so that a machine
that gets slower or busier does so for all. Ratios are taken within a round; their median is printed. The time is that of the
transcription, loading of the model left out; CPU seconds and peak memory are those of the whole process.
Then, for Palabra alone: an hour of audio (the same file over and over), and how long a warm start takes to show the first
word of a 30 s file. Run it on a machine that does nothing else.
Needs (pip, in a virtual environment): faster-whisper==1.2.1 soundfile numpy, and what scoring.py needs where DATA_DIR is given
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import soundfile

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.py")
#: Silence between clips that are joined, in seconds.
GAP = 0.3


def joined_clips(folder, name, seconds):
    """Samples and rate of the clips of a set, one after the other, until there are `seconds` of them."""
    from scoring import load_manifest
    parts, length, rate = [], 0.0, None
    for recording in load_manifest(folder, {name}):
        samples, clip_rate = soundfile.read(os.path.join(folder, recording["path"]), dtype="float32")
        rate = rate or clip_rate
        if clip_rate != rate:
            sys.exit(f"the clips of {name} have several sample rates; name a set that has one")
        parts += [samples, np.zeros(int(GAP * rate), np.float32)]
        length += recording["seconds"] + GAP
        if length >= seconds:
            break
    if not parts:
        sys.exit(f"the manifest has no set {name}")
    return np.concatenate(parts), rate


class Process:
    """A finished process: its standard output, wall and CPU seconds, seconds to the first output, peak memory in MiB."""

    def __init__(self, command, threads):
        # Both engines may ask for threads by environment as well as by option.
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads))
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        first = os.read(child.stdout.fileno(), 1 << 16)
        self.first_output = time.perf_counter() - start
        self.output = first + child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        self.wall = time.perf_counter() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss / 1024
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"exit code {child.returncode} of {' '.join(command)}")


def palabra(arguments, audio, folder, *more):
    """(seconds of transcription, the timings that Palabra reports, the process)"""
    command = [arguments.palabra, "transcribe", audio, "--model", arguments.model, "--device", "cpu", "--threads", str(arguments.threads), "--quiet",
               "--format", "json", "--output-dir", folder, *more]
    command += ["--language", arguments.language] if arguments.language else []
    process = Process(command, arguments.threads)
    with open(os.path.join(folder, os.path.splitext(os.path.basename(audio))[0] + ".json"), encoding="utf-8") as file:
        timings = json.load(file)["timings"]
    return timings["total"] - timings.get("load", 0.0), timings, process


def faster_whisper(arguments, audio, compute_type):
    command = [sys.executable, PEERS, audio, "--ct2", arguments.ct2, "--compute-type", compute_type, "--threads", str(arguments.threads)]
    command += ["--language", arguments.language] if arguments.language else []
    command += ["--words"] if arguments.words else []
    process = Process(command, arguments.threads)
    return json.loads(process.output)["seconds"], None, process


def run_rounds(arguments, audio, folder):
    """{engine: [(seconds, timings, process)]}, one entry a round."""
    align = [] if arguments.words else ["--align", "off"]
    engines = {"palabra f32": lambda: palabra(arguments, audio, folder, *align, *arguments.extra)}
    for compute_type in arguments.compute_types.split(","):
        engines[f"faster-whisper {compute_type}"] = lambda kind=compute_type: faster_whisper(arguments, audio, kind)
    runs = {name: [] for name in engines}
    for number in range(arguments.rounds):
        for name, run in engines.items():
            runs[name].append(run())
            print(f"round {number + 1}: {name} {runs[name][-1][0]:.1f} s", file=sys.stderr, flush=True)
    return runs


def print_rounds(runs, seconds, words):
    ours = [run[0] for run in next(iter(runs.values()))]
    print(f"\n{seconds:.0f} s of audio, {len(ours)} rounds in turn, medians, {'with' if words else 'without'} word times\n")
    print("| engine | seconds (least to most) | times real time | Palabra's time / its time | CPU s | peak MiB |\n|---|---|---|---|---|---|")
    for name, rounds in runs.items():
        times = [run[0] for run in rounds]
        ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, times))
        cpu, memory = (statistics.median(getattr(run[2], part) for run in rounds) for part in ("cpu", "memory"))
        middle = statistics.median(times)
        print(f"| {name} | {middle:.1f} ({min(times):.1f} to {max(times):.1f}) | {seconds / middle:.1f} | {ratio:.2f} | {cpu:.1f} | {memory:.0f} |")
    timings = next(iter(runs.values()))[-1][1]
    print("\nPalabra's last round by stage: " + ", ".join(f"{stage} {value:.2f} s" for stage, value in timings.items()))


def write_looped(path, samples, rate, seconds):
    """Writes the samples over and over, without holding the whole in memory."""
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        left = int(seconds * rate)
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


def split_arguments(words):
    """What stands before `--` is for this script, what stands after it for palabra."""
    return (words[:words.index("--")], words[words.index("--") + 1:]) if "--" in words else (words, [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--audio", help="a file of some minutes to use instead of DATA_DIR's clips")
    parser.add_argument("--set", default="ljspeech", help="the set whose clips are joined (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="how much of it (default: %(default)s)")
    parser.add_argument("--ct2", required=True, help="the same Whisper as a CTranslate2 folder")
    parser.add_argument("--compute-types", default="float32,int8", help="number types of faster-whisper (default: %(default)s)")
    parser.add_argument("--palabra", default="target/release/palabra", help="the program (default: %(default)s)")
    parser.add_argument("--model", default="base")
    parser.add_argument("--language", default="en", help="told to all engines; empty: let them detect it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", action="store_true", help="time words as well, in all engines")
    parser.add_argument("--no-hour", action="store_true", help="leave out the hour of audio")
    own, more = split_arguments(sys.argv[1:])
    arguments = parser.parse_args(own)
    arguments.extra = more
    if bool(arguments.data) == bool(arguments.audio):
        parser.error("name either DATA_DIR or --audio")
    samples, rate = soundfile.read(arguments.audio, dtype="float32") if arguments.audio else joined_clips(arguments.data, arguments.set, arguments.seconds)
    samples = samples if samples.ndim == 1 else samples.mean(axis=1)
    with tempfile.TemporaryDirectory() as folder:
        audio, short, hour = (os.path.join(folder, name + ".wav") for name in ("minutes", "short", "hour"))
        soundfile.write(audio, samples, rate, "PCM_16")
        soundfile.write(short, samples[:30 * rate], rate, "PCM_16")
        # The first run reads the files of the model from disk; it counts for nobody.
        palabra(arguments, short, folder)
        print_rounds(run_rounds(arguments, audio, folder), len(samples) / rate, arguments.words)
        waits = [palabra(arguments, short, folder)[2].first_output for _ in range(5)]
        print(f"\nFirst word of a 30 s file, from the start of the process: {statistics.median(waits):.2f} s (median of 5, most {max(waits):.2f} s)")
        if not arguments.no_hour:
            write_looped(hour, samples, rate, 3600)
            seconds, _, process = palabra(arguments, hour, folder)
            print(f"\nOne hour of audio, with word times: {seconds:.0f} s ({3600 / seconds:.1f} times real time), peak memory {process.memory:.0f} MiB")


if __name__ == "__main__":
    main()
