"""Runs the engines in turn, round after round, and their accuracy on sets of recordings."""
import os
import platform
import sys

import accuracy
import scoring

from .engines import ENGINES
from .process import Failed


def say(text):
    print(text, file=sys.stderr, flush=True)


def processor_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def ready(names, setting, short, silence, folder, language):
    """Each engine on a short file: brings its files into memory, and finds what cannot run. ({name: version}, {name: why not})"""
    versions, left_out = {}, {}
    for name in names:
        try:
            _, transcript = ENGINES[name].run(setting, short, silence, folder, language)
            versions[name] = ENGINES[name].version(setting, transcript)
        except (Failed, OSError) as error:
            left_out[name] = str(error)
            say(f"{name} is left out: {error}")
    return versions, left_out


def run_rounds(names, setting, count, audio, silence, folder, language):
    """After each round ({name: [run of each round so far]}, {name: transcript of this round})."""
    runs, transcripts = {name: [] for name in names}, {}
    for number in range(count):
        for name in names:
            run, transcripts[name] = ENGINES[name].run(setting, audio, silence, folder, language)
            runs[name].append(vars(run))
            say(f"round {number + 1}: {name}: {run.wall:.1f} s, {run.cpu:.1f} CPU s, {run.memory:.0f} MiB")
        yield runs, transcripts


def word_error_rate(language, reference, transcript):
    errors, length = scoring.word_errors(language, reference, " ".join(segment["text"].strip() for segment in transcript["segments"]))
    return 100 * errors / length


def set_errors(names, setting, data, sets, folder):
    """{set: {name: word error rate in percent}} with the language told, without word times."""
    recordings = scoring.load_manifest(data, set(sets))
    missing = set(sets) - {recording["set"] for recording in recordings}
    if missing:
        sys.exit(f"the manifest has no set {', '.join(sorted(missing))}")
    table = {name: {} for name in sets}
    for engine in names:
        place = os.path.join(folder, engine)
        os.makedirs(place, exist_ok=True)
        accuracy.transcribe(engine, ENGINES[engine], recordings, setting, data, place, given=True, words=False)
        for name, score in accuracy.score(recordings, data, place)[0].items():
            if score.sums["length"]:
                table[name][engine] = 100 * score.sums["errors"] / score.sums["length"]
    return table
