#!/usr/bin/env python3
"""Accuracy of `palabra transcribe` on a folder of reference recordings, beside a peer's on the same audio; prints a table.

usage: accuracy.py DATA_DIR [--peer faster-whisper --ct2 FOLDER] [options] [-- PALABRA OPTIONS]

DATA_DIR holds manifest.jsonl (its fields: scoring.py). Recordings with speaker references are run with --diarize. What both
engines wrote is kept in --out as <id>.json and taken from there when it is there already.
Needs (pip, in a virtual environment): jiwer==4.0.0 whisper-normalizer==0.1.15 pyannote.metrics==4.2.0, and for the peer faster-whisper==1.2.1
"""
import argparse
import collections
import json
import os
import subprocess
import sys
import time

import scoring

#: Recordings handed to one process: its start and the loading of models are shared by many, and a lost run loses little.
FILES_PER_PROCESS = 48


def read(folder, name):
    with open(os.path.join(folder, name + ".json"), encoding="utf-8") as file:
        return json.load(file)


def language_of(recording, arguments):
    known = arguments.given and recording["language"] not in ("und", None)
    return {"yue": "zh"}.get(recording["language"], recording["language"]) if known else None


def run_palabra(recordings, arguments, folder):
    """Writes <id>.json for each recording; one call of the program for many recordings that want the same options."""
    groups = collections.defaultdict(list)
    for recording in recordings:
        if not os.path.exists(os.path.join(folder, recording["id"] + ".json")):
            diarized = bool(recording.get("rttm") or recording.get("rttm_words"))
            groups[language_of(recording, arguments), diarized].append(recording)
    for (language, diarized), members in groups.items():
        for first in range(0, len(members), FILES_PER_PROCESS):
            part = members[first:first + FILES_PER_PROCESS]
            command = [arguments.palabra, "transcribe", *(os.path.join(arguments.data, recording["path"]) for recording in part), "--model", arguments.model,
                       "--format", "json", "--output-dir", folder, "--device", arguments.device, "--threads", str(arguments.threads), "--quiet"]
            command += ["--language", language] if language else []
            command += ["--diarize"] if diarized else []
            command += arguments.extra
            start = time.monotonic()
            done = subprocess.run(command, stdout=subprocess.DEVNULL)
            seconds = sum(recording["seconds"] for recording in part)
            print(f"palabra: {len(part)} files, {seconds:.0f} s of audio in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            if done.returncode:
                print(f"palabra: exit code {done.returncode}", file=sys.stderr, flush=True)


def run_peer(recordings, arguments, folder):
    from peers import FasterWhisper
    engine = None
    for recording in recordings:
        path = os.path.join(folder, recording["id"] + ".json")
        if os.path.exists(path):
            continue
        engine = engine or FasterWhisper(arguments.ct2, arguments.compute_type, arguments.threads)
        transcript = engine.transcribe(os.path.join(arguments.data, recording["path"]), language_of(recording, arguments))
        with open(path + ".partial", "w", encoding="utf-8") as file:
            json.dump(transcript, file, ensure_ascii=False)
        os.replace(path + ".partial", path)


def score(recordings, data, folder):
    """{set: Score}, and the recordings that have no transcript."""
    sets, lost = collections.OrderedDict(), []
    for recording in recordings:
        if not os.path.exists(os.path.join(folder, recording["id"] + ".json")):
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


def split_arguments(words):
    """What stands before `--` is for this script, what stands after it for palabra."""
    return (words[:words.index("--")], words[words.index("--") + 1:]) if "--" in words else (words, [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--palabra", default="target/release/palabra", help="the program (default: %(default)s)")
    parser.add_argument("--model", default="base")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--given", action="store_true", help="tell both engines the language instead of letting them detect it")
    parser.add_argument("--sets", default="", help="only these sets, separated by commas")
    parser.add_argument("--out", default="target/accuracy", help="where transcripts are kept (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="run Palabra even where its transcript is kept")
    parser.add_argument("--peer", choices=["faster-whisper"])
    parser.add_argument("--ct2", help="the peer's model: the same Whisper as a CTranslate2 folder")
    parser.add_argument("--compute-type", default="float32", help="the peer's number type (default: %(default)s)")
    parser.add_argument("--joined", default="long", help="sets made of others' recordings, not counted in the total (default: %(default)s)")
    own, more = split_arguments(sys.argv[1:])
    arguments = parser.parse_args(own)
    arguments.extra = more
    if arguments.peer and not arguments.ct2:
        parser.error("--peer needs --ct2")
    recordings = scoring.load_manifest(arguments.data, set(filter(None, arguments.sets.split(","))))
    if not recordings:
        parser.error("no recording of these sets is in the manifest")
    kind = "given" if arguments.given else "detected"
    engines = {"palabra": run_palabra}
    if arguments.peer:
        engines[f"{arguments.peer} {arguments.compute_type}"] = run_peer
    results = {}
    for engine, run in engines.items():
        folder = os.path.join(arguments.out, f"{engine.replace(' ', '-')}-{kind}")
        os.makedirs(folder, exist_ok=True)
        if arguments.again and engine == "palabra":
            for recording in recordings:
                path = os.path.join(folder, recording["id"] + ".json")
                if os.path.exists(path):
                    os.remove(path)
        run(recordings, arguments, folder)
        results[engine], lost = score(recordings, arguments.data, folder)
        if lost:
            print(f"{engine}: no transcript of {len(lost)} recordings: {', '.join(lost)}", file=sys.stderr)
    joined = arguments.joined.split(",")
    print_table(f"Language {kind}, all recordings", results, joined)
    if arguments.peer:
        peer_folder = os.path.join(arguments.out, f"{arguments.peer}-{arguments.compute_type}-{kind}")
        derailed = set()
        for recording in recordings:
            if os.path.exists(os.path.join(peer_folder, recording["id"] + ".json")) and scoring.derails(recording, read(peer_folder, recording["id"])):
                derailed.add(recording["id"])
        fair = [recording for recording in recordings if recording["id"] not in derailed]
        both = {engine: score(fair, arguments.data, os.path.join(arguments.out, f"{engine.replace(' ', '-')}-{kind}"))[0] for engine in engines}
        print_table(f"Without the {len(derailed)} recordings on which the peer repeats itself or takes another language", both, joined)
        print("\nLeft out: " + (", ".join(sorted(derailed)) or "none"))


if __name__ == "__main__":
    main()
