#!/usr/bin/env python3
"""What the service costs over the command line: the same file through both, in turn. Exit code 1 when it is 5% or more.

usage: overhead.py [--binary PATH] [--data FOLDER] [--seconds S,...] [--rounds N]

A service is started on loopback and a free port, and stopped. In each round `palabra transcribe` gets the file, then
`POST /transcribe/` of the warm service, or the other way round in every second round, with the same options. The command
line's time is that of its own JSON timings, `total` less `load`: the process's start and the models' loading are left out. The
service's time is what its client waits: upload, decoding, queue, transcription, JSON. The bound is on the median of the
rounds' ratios. Run it on a machine that does nothing else; ratios of a busy one are worth little. There the ratio of processor
seconds says more, which has no bound: it leaves out what either waits for (of the command line, what a silent file costs is
taken off, since that is start and loading).
Needs nothing but Python; with --data also `pip install -r requirements.txt`.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

import client
import server as service
from speech import Speech, silence

BOUND = 1.05


def command_line(arguments, path, folder):
    """(seconds without loading, text, processor seconds with loading) of `palabra transcribe`."""
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
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with open(os.path.join(folder, "speech.json"), encoding="utf-8") as file:
        result = json.load(file)
    seconds = result["timings"]["total"] - result["timings"].get("load", 0.0)
    return seconds, " ".join(segment["text"].strip() for segment in result["segments"]), cpu


def over_http(arguments, server, wav):
    """(seconds, text, processor seconds of the service) of `POST /transcribe/`."""
    before = server.cpu_seconds()
    reply = client.transcribe(server, wav, arguments.model)
    if reply.status != 200:
        sys.exit(f"POST /transcribe/ got {reply.status}: {reply.body[:300]!r}")
    return reply.seconds, reply.json()["full_text"], server.cpu_seconds() - before


def written(folder, wav):
    path = os.path.join(folder, "speech.wav")
    with open(path, "wb") as file:
        file.write(wav)
    return path


def rounds(arguments, server, wav, folder):
    """[(what the command line gives, what the service gives)], in turn."""
    path, results = written(folder, wav), []
    for turn in range(arguments.rounds):
        order = [lambda: command_line(arguments, path, folder), lambda: over_http(arguments, server, wav)]
        pair = [run() for run in (order if turn % 2 == 0 else order[::-1])]
        results.append(tuple(pair if turn % 2 == 0 else pair[::-1]))
        print(f"  round {turn + 1}: command line {results[-1][0][0]:.2f} s, service {results[-1][1][0]:.2f} s", flush=True)
    return results


def measure(arguments, server, speech, seconds, bounds):
    wav, name = speech.wav(seconds), f"{seconds:g} s of speech"
    with tempfile.TemporaryDirectory() as folder:
        # The first of each reads files and grows memory; it counts for neither.
        over_http(arguments, server, wav)
        command_line(arguments, written(folder, wav), folder)
        path = written(folder, silence(0.1))
        start = statistics.median(command_line(arguments, path, folder)[2] for _ in range(3))
        results = rounds(arguments, server, wav, folder)
    middle = [statistics.median(pair[side][0] for pair in results) for side in (0, 1)]
    bounds.note(f"{name}: command line, service, medians", f"{middle[0]:.2f} s, {middle[1]:.2f} s")
    cpu = statistics.median(http[2] / (cli[2] - start) for cli, http in results)
    bounds.note(f"{name}: service / command line in processor seconds, median", f"{cpu:.3f}")
    same = all(cli[1] == http[1] for cli, http in results)
    bounds.check(f"{name}: the same text", str(same), "True", same)
    ratios = [http[0] / cli[0] for cli, http in results]
    ratio = statistics.median(ratios)
    bounds.check(f"{name}: service / command line", f"{ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})", f"< {BOUND}", ratio < BOUND)


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
