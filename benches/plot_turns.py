#!/usr/bin/env python3
"""Draws who speaks when in one recording: the reference above, Palabra below, the same colour for the same person.

usage: plot_turns.py AUDIO REFERENCE.rttm HYPOTHESIS.rttm [--title TEXT] [--start SECONDS] [--end SECONDS] [--out FILE.svg]

HYPOTHESIS.rttm is what `palabra bench diarization --output-dir` or `cargo run --release --example diarize` writes. Each
speaker has a row, so that overlap is seen as bars above each other; a speaker of the hypothesis takes the colour and the
place of the one of the reference with whom they agree for longest, one to one, and those left over are hatched. The strip
between the two shows the errors: missed speech, false alarm, confusion (without a collar). Where people of the reference
speak at the same time the background is grey. The file's ending says what is written: .svg, .png or .pdf.
Needs (pip, in a virtual environment): matplotlib==3.10.7 numpy scipy soundfile pyannote.metrics==4.2.0
"""
import argparse
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plot
import numpy
import soundfile
from matplotlib.patches import Patch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

COLOURS = ["#1f77b4", "#e6802b", "#3a9a4a", "#c23b3b", "#8a63b8", "#7d5a4b", "#d673b5", "#9a9a2e", "#25a5b4", "#5b6f8f"]
OTHER = "#b0b0b0"
OVERLAP = "#e4e4e4"
ERRORS = {"missed": "#f2b134", "false alarm": "#4f4f4f", "confusion": "#d62728"}


def read_rttm(path):
    turns = Annotation()
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            part = line.split()
            if part and part[0] == "SPEAKER":
                turns[Segment(float(part[3]), float(part[3]) + float(part[4])), number] = part[7]
    return turns


def by_first_turn(turns):
    return sorted(turns.labels(), key=lambda label: turns.label_timeline(label).extent().start)


def errors(reference, hypothesis, names, seconds):
    """(start, end, kind) of every stretch with an error; confusion stands before missed speech and false alarm."""
    borders = {0.0, seconds}
    for turns in (reference, hypothesis):
        borders.update(border for segment in turns.itersegments() for border in segment if 0 <= border <= seconds)
    borders = sorted(borders)
    for start, end in zip(borders, borders[1:]):
        middle = Segment((start + end) / 2 - 1e-5, (start + end) / 2 + 1e-5)
        said = set(reference.crop(middle, mode="loose").labels())
        heard = {names.get(label, ("nobody", label)) for label in hypothesis.crop(middle, mode="loose").labels()}
        if end - start < 1e-4 or said == heard:
            continue
        kind = "confusion" if min(len(said), len(heard)) > len(said & heard) else "missed" if len(said) > len(heard) else "false alarm"
        yield start, end, kind


def waveform(axes, path, seconds):
    """The loudest samples of each of some thousand stretches."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(axis=1)
    stretch = max(1, len(samples) // 4000)
    rows = samples[: len(samples) // stretch * stretch].reshape(-1, stretch)
    times = (numpy.arange(len(rows)) + 0.5) * stretch / rate
    axes.fill_between(times, rows.min(axis=1), rows.max(axis=1), color="#5a5a5a", linewidth=0)
    loudest = max(1e-3, float(numpy.abs(samples[: int(seconds * rate)]).max()))
    axes.set_ylim(-1.05 * loudest, 1.05 * loudest)
    axes.set_yticks([])


def bars(axes, turns, rows, colours, name):
    """A row a speaker, named at the left."""
    for level, label in enumerate(rows):
        colour = colours.get(label)
        spans = [(segment.start, segment.duration) for segment in turns.label_timeline(label)]
        style = {"facecolor": colour, "edgecolor": "white"} if colour else {"facecolor": OTHER, "edgecolor": "#555555", "hatch": "////"}
        axes.broken_barh(spans, (level - 0.42, 0.84), linewidth=0.4, **style)
        axes.axhline(level + 0.5, color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.tick_params(axis="y", length=0)
    for tick, label in zip(axes.get_yticklabels(), rows):
        tick.set_color(colours.get(label) or "#555555")
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_ylabel(name, fontsize=10)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio"), parser.add_argument("reference"), parser.add_argument("hypothesis")
    parser.add_argument("--title")
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--end", type=float)
    parser.add_argument("--out", default="turns.svg")
    arguments = parser.parse_args()
    reference, hypothesis = read_rttm(arguments.reference), read_rttm(arguments.hypothesis)
    seconds = soundfile.info(arguments.audio).duration
    region = Timeline([Segment(0, seconds)])
    metric = DiarizationErrorRate()
    parts = metric(reference, hypothesis, uem=region, detailed=True)
    names = metric.optimal_mapping(reference, hypothesis, uem=region)

    said = by_first_turn(reference)
    colours = {label: COLOURS[index % len(COLOURS)] for index, label in enumerate(said)}
    heard = sorted(by_first_turn(hypothesis), key=lambda label: said.index(names[label]) if label in names else len(said))
    heard_colours = {label: colours[name] for label, name in names.items()}

    heights = [1.3, 0.3 * max(len(said), 1) + 0.15, 0.3, 0.3 * max(len(heard), 1) + 0.15]
    figure, (wave, above, strip, below) = plot.subplots(
        4, 1, sharex=True, figsize=(14, 1.3 + sum(heights)), height_ratios=heights, layout="constrained"
    )
    figure.get_layout_engine().set(h_pad=0.04, hspace=0)
    waveform(wave, arguments.audio, seconds)
    bars(above, reference, said, colours, "reference")
    bars(below, hypothesis, heard, heard_colours, "Palabra")
    for start, end in reference.get_overlap():
        for axes in (wave, above, below):
            axes.axvspan(start, end, color=OVERLAP, linewidth=0, zorder=-1)
    for start, end, kind in errors(reference, hypothesis, names, seconds):
        strip.axvspan(start, end, color=ERRORS[kind], linewidth=0)
    strip.set_yticks([])
    strip.set_ylabel("errors", rotation=0, ha="right", va="center", fontsize=8)
    shares = ", ".join(f"{name} {100 * parts[key] / parts['total']:.1f}" for name, key in (("missed", "missed detection"), ("false alarm", "false alarm"), ("confusion", "confusion"))) if parts["total"] else "no speech"
    title = arguments.title or os.path.splitext(os.path.basename(arguments.audio))[0]
    rates = f"DER {100 * parts['diarization error rate']:.1f} % ({shares}), JER {100 * JaccardErrorRate()(reference, hypothesis, uem=region):.1f} %"
    wave.set_title(f"{title}: {len(said)} speakers, {len(heard)} found, {rates}, no collar", fontsize=11)
    kinds = {**ERRORS, "overlap in the reference": OVERLAP}
    handles = [Patch(color=colour, label=kind) for kind, colour in kinds.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles), fontsize=8, frameon=False)
    below.set_xlabel("seconds")
    below.set_xlim(arguments.start, arguments.end or seconds)
    for axes in (wave, above, strip, below):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(arguments.out, dpi=110)
    print(arguments.out)


if __name__ == "__main__":
    main()
