#!/usr/bin/env python3
"""Palabra alone: an hour of audio, and how long a warm start takes to show the first word of a 30 s file.

usage: speed.py DATA_DIR [options]        the hour is made of clips of DATA_DIR (fields of its manifest: scoring.py)
       speed.py --audio FILE [options]    any file, over and over; what follows `--` goes to palabra

Beside other engines, on ten minutes: python benches/peers. Run it on a machine that does nothing else.
Needs (pip, in a virtual environment): soundfile numpy, and what scoring.py needs where DATA_DIR is given
"""
import argparse
import os
import statistics
import sys
import tempfile

from peers import audio
from peers.engines import Palabra, Setting, read_json
from peers.process import Failed, Process, split_arguments


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--audio", help="a file to use instead of DATA_DIR's clips")
    parser.add_argument("--set", default="ljspeech", help="the set whose clips are joined (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="how much of it is joined before it repeats (default: %(default)s)")
    parser.add_argument("--palabra", default="target/release/palabra", help="the program (default: %(default)s)")
    parser.add_argument("--model", default="base")
    parser.add_argument("--language", default="en", help="told to Palabra; empty: let it detect it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-hour", action="store_true", help="leave out the hour of audio")
    own, extra = split_arguments(sys.argv[1:])
    arguments = parser.parse_args(own)
    if bool(arguments.data) == bool(arguments.audio):
        parser.error("name either DATA_DIR or --audio")
    samples, rate = audio.one_channel(arguments.audio) if arguments.audio else audio.joined_clips(arguments.data, arguments.set, arguments.seconds)[:2]
    setting = Setting(arguments.palabra, arguments.model, "", sorted(os.sched_getaffinity(0))[:arguments.threads], extra)
    with tempfile.TemporaryDirectory() as folder:
        short, hour = (os.path.join(folder, name + ".wav") for name in ("short", "hour"))
        run = lambda file: Process(Palabra("").command(setting, [file], folder, arguments.language, words=True), setting.processors)
        audio.write(short, samples[:30 * rate], rate)
        # The first run reads the files of the model from disk.
        waits = [run(short).first_output for _ in range(6)][1:]
        print(f"First word of a 30 s file, from the start of the process: {statistics.median(waits):.2f} s (median of 5, most {max(waits):.2f} s)", flush=True)
        if not arguments.no_hour:
            audio.write_looped(hour, samples, rate, 3600)
            process = run(hour)
            timings = read_json(folder, hour)["timings"]
            seconds = timings["total"] - timings.get("load", 0.0)
            print(f"One hour of audio, with word times: {seconds:.0f} s ({3600 / seconds:.1f} times real time), peak memory {process.memory:.0f} MiB")
            print("By stage: " + ", ".join(f"{stage} {value:.2f} s" for stage, value in timings.items()))


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
