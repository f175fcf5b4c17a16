#!/usr/bin/env python3
"""Scores the diarization example against reference turns, and measures what it costs.

usage: diarization.py BINARY DATA_DIR [--sets a,b] [--collar 0.25] [--arguments "--vad-onset 0.3"] [--known-count]

BINARY is target/release/examples/diarize. DATA_DIR holds manifest.jsonl: one JSON object a line with id, path, seconds,
set and rttm (rttm_words, made of word times, is preferred where it is there). Overlapped speech is scored. Prints a row
a set: diarization error with its parts in percent of reference speech, how many speaker counts are right, and CPU seconds
per minute of audio, model load included. Needs (pip, in a virtual environment): pyannote.metrics
"""
import argparse
import collections
import json
import os
import resource
import shlex
import subprocess

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate


def read_rttm(lines):
    turns = Annotation()
    for number, line in enumerate(lines):
        part = line.split()
        if part and part[0] == "SPEAKER":
            turns[Segment(float(part[3]), float(part[3]) + float(part[4])), number] = part[7]
    return turns


def run(binary, path, arguments):
    """The turns found, and CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run([binary, path, *arguments], check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return read_rttm(output.splitlines()), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("binary"), parse.add_argument("data")
    parse.add_argument("--sets", default=""), parse.add_argument("--collar", type=float, default=0.25)
    parse.add_argument("--arguments", default="", help="passed on to BINARY")
    parse.add_argument("--known-count", action="store_true", help="tell BINARY the number of speakers")
    options = parse.parse_args()
    wanted = set(filter(None, options.sets.split(",")))
    with open(os.path.join(options.data, "manifest.jsonl"), encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    sets = collections.OrderedDict()
    for row in rows:
        if not row.get("rttm") or (wanted and row["set"] not in wanted):
            continue
        with open(os.path.join(options.data, row.get("rttm_words") or row["rttm"]), encoding="utf-8") as lines:
            reference = read_rttm(lines)
        arguments = shlex.split(options.arguments)
        if options.known_count:
            arguments += ["--num-speakers", str(len(reference.labels()))]
        turns, seconds = run(options.binary, os.path.join(options.data, row["path"]), arguments)
        metric = DiarizationErrorRate(collar=2 * options.collar, skip_overlap=False)
        parts = metric(reference, turns, uem=Timeline([Segment(0, row["seconds"])]), detailed=True)
        total = sets.setdefault(row["set"], collections.Counter())
        total.update({"files": 1, "minutes": row["seconds"] / 60, "cpu": seconds, "speech": parts["total"]})
        total.update({part: parts[part] for part in ("missed detection", "false alarm", "confusion")})
        total["count"] += len(reference.labels()) == len(turns.labels())
    print(f"{'set':16} {'files':>5} {'DER%':>6} {'miss':>6} {'false':>6} {'conf':>6} {'count':>6} {'CPU s/min':>9}")
    for name, total in sets.items():
        parts = [100 * total[part] / total["speech"] for part in ("missed detection", "false alarm", "confusion")]
        cells = " ".join(f"{value:6.1f}" for value in (sum(parts), *parts))
        right = f"{total['count']}/{total['files']}"
        print(f"{name:16} {total['files']:5d} {cells} {right:>6} {total['cpu'] / total['minutes']:9.2f}")


if __name__ == "__main__":
    main()
