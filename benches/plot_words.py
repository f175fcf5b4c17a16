#!/usr/bin/env python3
"""Draws one recording with where its words begin and end: the reference, Palabra's aligner, and cross-attention.

usage: plot_words.py DATA_DIR ID [--align PROGRAM] [--out FILE.svg]

DATA_DIR holds manifest.jsonl (its fields: scoring.py), ID names a recording there that has word times. --align is the
example `align`, built with --release. The file's ending says what is written: .svg, .png or .pdf.
Needs (pip, in a virtual environment): matplotlib==3.10.7 numpy scipy soundfile, and scoring.py's jiwer==4.0.0 whisper-normalizer==0.1.15 pyannote.metrics==4.2.0
"""
import argparse
import json
import os
import subprocess
import tempfile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plot
import numpy

import scoring
import words as bench


def aligned(arguments, path, text, flags):
    output = subprocess.run([arguments.align, *flags, path, text], check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in output.splitlines() if not line.startswith("#")]
    return [{"word": row[4], "start": float(row[0]), "end": float(row[1])} for row in rows]


def row(axes, name, spans, level, colour):
    for span in spans:
        axes.add_patch(plot.Rectangle((span["start"], level - 0.38), span["end"] - span["start"], 0.76, facecolor=colour, edgecolor="black", linewidth=0.6, alpha=0.75))
        axes.text((span["start"] + span["end"]) / 2, level, span["word"], ha="center", va="center", fontsize=8, clip_on=True)
    axes.text(-0.01, level, name, ha="right", va="center", transform=axes.get_yaxis_transform())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("id")
    parser.add_argument("--align", default="target/release/examples/align")
    parser.add_argument("--out", default="words.svg")
    arguments = parser.parse_args()
    recording = next((r for r in scoring.load_manifest(arguments.data) if r["id"] == arguments.id and r.get("words")), None)
    if recording is None:
        raise SystemExit(f"{arguments.data} has no recording {arguments.id} with word times")
    path = os.path.join(arguments.data, recording["path"])
    with open(os.path.join(arguments.data, recording["words"]), encoding="utf-8") as file:
        reference = json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.write(" ".join(word["word"] for word in reference))
        ours, attention = (aligned(arguments, path, text, flags) for flags in ([], ["--attention"]))
    samples = bench.load(path)
    seconds = numpy.arange(len(samples)) / bench.RATE
    figure, (wave, rows) = plot.subplots(2, 1, sharex=True, figsize=(max(9.0, 4 * seconds[-1]), 4.2), height_ratios=[1.2, 1])
    wave.plot(seconds, samples, linewidth=0.4, color="#444444")
    for word in reference:
        for edge in (word["start"], word["end"]):
            wave.axvline(edge, color="#2a7f3f", linewidth=0.8, alpha=0.7)
            rows.axvline(edge, color="#2a7f3f", linewidth=0.8, alpha=0.7)
    wave.set_yticks([])
    wave.set_title(f"{arguments.id}: word borders (lines: reference)")
    row(rows, "reference", reference, 2, "#8fce9f")
    row(rows, "Palabra", ours, 1, "#8fb7e8")
    row(rows, "cross-attention", attention, 0, "#f0b27a")
    rows.set_ylim(-0.5, 2.5)
    rows.set_yticks([])
    rows.set_xlim(0, seconds[-1])
    rows.set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(arguments.out, dpi=120)
    print(arguments.out)


if __name__ == "__main__":
    main()
