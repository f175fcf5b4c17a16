#!/usr/bin/env python3
"""What the service costs over the command line: the same file through both, in turn. Exit code 1 when it is 5% or more.

usage: overhead.py [--binary PATH] [--data FOLDER] [--seconds S,...] [--rounds N]

A service is started on loopback and a free port, and stopped. In each round `palabra transcribe` gets the file, then
`POST /transcribe/` of the warm service, or the other way round in every second round, with the same options. The command
line's time is that of its own JSON timings, `total` less `load`: the process's start and the models' loading are left out. The
service's time is what its client waits: upload, decoding, queue, transcription, JSON. The bound is on the median of the
rounds' ratios. Run it on a machine that does nothing else; ratios of a busy one are worth little.
Needs nothing but Python; with --data also `pip install -r requirements.txt`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

import client
import server as service
from speech import Speech

BOUND = 1.05


def command_line(arguments, path, folder):
    """(seconds without loading, text) of `palabra transcribe`."""
    command = [
        arguments.binary,
        "transcribe",
        path,
        "--model",
        arguments.model,
        "--language",
        "en",
        "--quiet",
        "--format",
        "json",
        "--output-dir",
        folder,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(folder, "speech.json"), encoding="utf-8") as file:
        result = json.load(file)
    return result["timings"]["total"] - result["timings"].get("load", 0.0), " ".join(segment["text"].strip() for segment in result["segments"])


def over_http(arguments, server, wav):
    """(seconds, text) of `POST /transcribe/`."""
    reply = client.transcribe(server, wav, arguments.model)
    if reply.status != 200:
        sys.exit(f"POST /transcribe/ got {reply.status}: {reply.body[:300]!r}")
    return reply.seconds, reply.json()["full_text"]


def measure(arguments, server, speech, seconds, bounds):
    wav = speech.wav(seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "speech.wav")
        with open(path, "wb") as file:
            file.write(wav)
        # The first of each reads files and grows memory; it counts for neither.
        over_http(arguments, server, wav)
        command_line(arguments, path, folder)
        ratios, ours, theirs, same = [], [], [], True
        for turn in range(arguments.rounds):
            order = [lambda: command_line(arguments, path, folder), lambda: over_http(arguments, server, wav)]
            results = [run() for run in (order if turn % 2 == 0 else order[::-1])]
            cli, http = results if turn % 2 == 0 else results[::-1]
            ratios.append(http[0] / cli[0])
            theirs.append(cli[0])
            ours.append(http[0])
            same = same and cli[1] == http[1]
            print(f"  round {turn + 1}: command line {cli[0]:.2f} s, service {http[0]:.2f} s", flush=True)
    bounds.note(f"{seconds:g} s of speech: command line, service, medians", f"{statistics.median(theirs):.2f} s, {statistics.median(ours):.2f} s")
    bounds.check(f"{seconds:g} s of speech: the same text", str(same), "True", same)
    ratio = statistics.median(ratios)
    bounds.check(
        f"{seconds:g} s of speech: service / command line", f"{ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})", f"< {BOUND}", ratio < BOUND
    )


def main():
    parser = service.parser(__doc__)
    parser.add_argument("--seconds", default="60,600", help="lengths of the files (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    speech, bounds = Speech(arguments.binary, arguments.data), service.Bounds()
    with service.Server(arguments.binary) as server:
        for seconds in map(float, arguments.seconds.split(",")):
            measure(arguments, server, speech, seconds, bounds)
        service.check_end(server, bounds)
    return bounds.finish()


if __name__ == "__main__":
    sys.exit(main())
