"""Prints what rounds measured: medians, and ratios that were taken within a round."""
import statistics

from .engines import ENGINES, pairs


def spread(values, digits):
    """Median (least to most)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else f"{values[0]:.{digits}f}"


def engine_rows(results):
    minutes, rounds = results["seconds"] / 60, results["rounds"]
    heads = ["engine", "wall s per minute", "CPU s per minute", "times real time", "WER %", *(f"WER % on {name}" for name in results["accuracy"]), "peak MiB"]
    rows = []
    for name, runs in rounds.items():
        wall, cpu, memory = ([run[part] for run in runs] for part in ("wall", "cpu", "memory"))
        errors = [results["word_errors"].get(name), *(sets.get(name) for sets in results["accuracy"].values())]
        rows.append([ENGINES[name].label, spread([value / minutes for value in wall], 2), spread([value / minutes for value in cpu], 2),
                     f"{results['seconds'] / statistics.median(wall):.1f}", *("" if value is None else f"{value:.2f}" for value in errors), f"{max(memory):.0f}"])
    return heads, rows


def pair_rows(results):
    rounds = results["rounds"]
    rows = []
    for ours, theirs in pairs(list(rounds)):
        both = list(zip(rounds[ours], rounds[theirs]))
        ratios = {part: [peer[part] / palabra[part] for palabra, peer in both] for part in ("wall", "cpu", "memory")}
        rows.append([ENGINES[ours].label, ENGINES[theirs].label, spread(ratios["wall"], 2), spread(ratios["cpu"], 2), f"{statistics.median(ratios['memory']):.2f}"])
    return ["Palabra", "beside", "its wall time / Palabra's", "its CPU time / Palabra's", "its memory / Palabra's"], rows


def formatted(heads, rows, markdown):
    if markdown:
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows))
    widths = [max(len(cells[column]) for cells in (heads, *rows)) for column in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in (heads, *rows))


def print_results(results, markdown):
    count = max(map(len, results["rounds"].values()))
    print(f"{results['processor']}, {len(results['processors'])} threads on processors {', '.join(map(str, results['processors']))}; "
          f"{results['seconds']:.0f} s of audio, {count} round{'s' * (count > 1)} in turn; medians (least to most); loading of models left out\n")
    print(formatted(*engine_rows(results), markdown) + "\n")
    heads, rows = pair_rows(results)
    if rows:
        print(formatted(heads, rows, markdown) + "\n")
    for name, reason in results["left_out"].items():
        print(f"{ENGINES[name].label}: left out: {reason}")
    print("\n".join(sorted({version.strip(" |") for version in results["versions"].values()})) + "\n")
