#!/usr/bin/env python3
"""Accuracy of `palabra transcribe` on a folder of reference recordings, beside other engines on the same audio; prints a table.

usage: accuracy.py DATA_DIR [--engines palabra,faster-whisper-float32] [options] [-- PALABRA OPTIONS]

DATA_DIR holds manifest.jsonl (its fields: scoring.py). Recordings with speaker references are run with --diarize. What the
engines wrote is kept in --out as <id>.json and taken from there when it is there already.
Needs (pip, in a virtual environment): jiwer==4.0.0 whisper-normalizer==0.1.15 pyannote.metrics==4.2.0, and for the other engines
what peers/set_up.py makes
"""
import argparse
import collections
import json
import os
import sys
import time

import scoring
from peers.engines import ENGINES, Setting
from peers.process import Failed, Process, split_arguments

#: Recordings handed to one process: its start and the loading of models are shared by many, and a lost run loses little.
FILES_PER_PROCESS = 48


def read(folder, name):
    with open(os.path.join(folder, name + ".json"), encoding="utf-8") as file:
        return json.load(file)


def language_of(recording, given):
    known = given and recording["language"] not in ("und", None)
    return {"yue": "zh"}.get(recording["language"], recording["language"]) if known else None


def kept(folder, recording):
    return os.path.join(folder, recording["id"] + ".json")


def transcribe(name, engine, recordings, setting, data, folder, given, words=True):
    """Writes <id>.json for each recording that has none; one process for many recordings that want the same options."""
    groups = collections.defaultdict(list)
    for recording in recordings:
        if not os.path.exists(kept(folder, recording)):
            diarized = words and bool(recording.get("rttm") or recording.get("rttm_words"))
            groups[language_of(recording, given), diarized].append(recording)
    for (language, diarized), members in groups.items():
        for first in range(0, len(members), FILES_PER_PROCESS):
            part = members[first:first + FILES_PER_PROCESS]
            start = time.monotonic()
            try:
                Process(engine.command(setting, [os.path.join(data, recording["path"]) for recording in part], folder, language, words, diarized), setting.processors)
            except Failed as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
            seconds = sum(recording["seconds"] for recording in part)
            print(f"{name}: {len(part)} files, {seconds:.0f} s of audio in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def score(recordings, data, folder):
    """{set: Score}, and the recordings that have no transcript."""
    sets, lost = collections.OrderedDict(), []
    for recording in recordings:
        if not os.path.exists(kept(folder, recording)):
            lost.append(recording["id"])
            continue
        sets.setdefault(recording["set"], scoring.Score()).add(data, recording, read(folder, recording["id"]))
    return sets, lost


def print_table(title, results, joined):
    print(f"\n### {title}\n\n| set | engine | " + " | ".join(scoring.COLUMNS) + " |")
    print("|---|---|" + "---|" * len(scoring.COLUMNS))
    names = list(collections.OrderedDict.fromkeys(name for sets in results.values() for name in sets))
    for name in names:
        for engine, sets in results.items():
            if name in sets:
                print(f"| {name} | {engine} | " + " | ".join(sets[name].cells()) + " |")
    for engine, sets in results.items():
        pooled = scoring.Score()
        for name, part in sets.items():
            if name not in joined:
                pooled.merge(part)
        print(f"| **all but {', '.join(joined)}** | {engine} | " + " | ".join(pooled.cells()) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--engines", default="palabra", help=f"separated by commas, of {', '.join(ENGINES)} (default: %(default)s)")
    parser.add_argument("--palabra", default="target/release/palabra", help="the program (default: %(default)s)")
    parser.add_argument("--prefix", default="target/peers", help="what peers/set_up.py made (default: %(default)s)")
    parser.add_argument("--model", default="base")
    parser.add_argument("--device", default="cpu", help="Palabra's device (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--given", action="store_true", help="tell all engines the language instead of letting them detect it")
    parser.add_argument("--sets", default="", help="only these sets, separated by commas")
    parser.add_argument("--out", default="target/accuracy", help="where transcripts are kept (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="run Palabra even where its transcript is kept")
    parser.add_argument("--joined", default="long", help="sets made of others' recordings, not counted in the total (default: %(default)s)")
    own, more = split_arguments(sys.argv[1:])
    arguments = parser.parse_args(own)
    names = arguments.engines.split(",")
    if not set(names) <= set(ENGINES):
        parser.error(f"the engines are {', '.join(ENGINES)}")
    recordings = scoring.load_manifest(arguments.data, set(filter(None, arguments.sets.split(","))))
    if not recordings:
        parser.error("no recording of these sets is in the manifest")
    setting = Setting(arguments.palabra, arguments.model, arguments.prefix, sorted(os.sched_getaffinity(0))[:arguments.threads], more, arguments.device)
    kind = "given" if arguments.given else "detected"
    folders = {name: os.path.join(arguments.out, f"{name}-{kind}") for name in names}
    results = {}
    for name, folder in folders.items():
        os.makedirs(folder, exist_ok=True)
        if arguments.again and name.startswith("palabra"):
            for recording in recordings:
                if os.path.exists(kept(folder, recording)):
                    os.remove(kept(folder, recording))
        transcribe(name, ENGINES[name], recordings, setting, arguments.data, folder, arguments.given)
        results[name], lost = score(recordings, arguments.data, folder)
        if lost:
            print(f"{name}: no transcript of {len(lost)} recordings: {', '.join(lost)}", file=sys.stderr)
    joined = arguments.joined.split(",")
    print_table(f"Language {kind}, all recordings", results, joined)
    peers = [name for name in names if not name.startswith("palabra")]
    if peers:
        derailed = {recording["id"] for recording in recordings for name in peers
                    if os.path.exists(kept(folders[name], recording)) and scoring.derails(recording, read(folders[name], recording["id"]))}
        fair = [recording for recording in recordings if recording["id"] not in derailed]
        results = {name: score(fair, arguments.data, folder)[0] for name, folder in folders.items()}
        print_table(f"Without the {len(derailed)} recordings on which a peer repeats itself or takes another language", results, joined)
        print("\nLeft out: " + (", ".join(sorted(derailed)) or "none"))


if __name__ == "__main__":
    main()
