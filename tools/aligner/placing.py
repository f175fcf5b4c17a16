"""Words placed by a head that is still in training, for the recordings whose times nobody knows."""

import numpy
import torch

from alignment import FRAME_SECONDS, align, best_path, spans, states_of
from features import Features
from model import BLANK, Head, labels_of

LEAST_SCORE = -1.6
"""Mean log-probability of a recording's characters below which its text is not taken for what is said."""
ELSEWHERE_PENALTY = 0.5
"""How much less likely than its likeliest label a frame is that lies before or behind the text of a long reading."""


@torch.inference_mode()
def outputs(head: Head, features: Features, first: int = 0, last: int = 1500) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The head's two outputs on some frames of a window."""
    taps, mel = (torch.from_numpy(part.astype(numpy.float32))[None] for part in features.frames(first, last))
    ctc, frame = head.eval()(taps, mel)
    return ctc[0].numpy(), frame[0].numpy()


def score(ctc: numpy.ndarray, words: list[str]) -> float:
    """Mean log-probability of the characters of the text on CTC's best path, at their likeliest frame."""
    labels, optional, owners = states_of(words, first_pass=True)
    emissions = ctc[:, labels].astype(numpy.float64)
    path = best_path(emissions, optional)
    best = {}
    for frame, state in enumerate(path):
        if owners[state] >= 0 and labels[state] != BLANK:
            best[state] = max(best.get(state, -numpy.inf), emissions[frame, state])
    return float(numpy.mean(list(best.values()))) if best else -numpy.inf


def place(head: Head, features: Features, words: list[str], start: float, end: float):
    """(start, end) in the window of every word of an utterance that fills this part of it; None if it does not fit."""
    first, last = int(start / FRAME_SECONDS), min(1500, int(end / FRAME_SECONDS) + 1)
    ctc, frame = outputs(head, features, first, last)
    if last - first < 2 * sum(map(len, words)) ** 0.5 or score(ctc, words) < LEAST_SCORE:
        return None
    times = align(ctc, frame, words)
    if None in times or any(b - a > 2.0 for a, b in times):
        return None
    return [(first * FRAME_SECONDS + a, first * FRAME_SECONDS + b) for a, b in times]


def place_long(head: Head, parts: list[tuple[Features, float]], words: list[str]):
    """The words of a long reading in its parts (window, seconds): for every part a list of (word, start, end).
    What is said before and behind the text, an announcement for instance, is passed over."""
    heard = [outputs(head, features, 0, int(seconds / FRAME_SECONDS)) for features, seconds in parts]
    ctc = numpy.concatenate([path for path, _ in heard]).astype(numpy.float64)
    labels, optional, owners = states_of(words, first_pass=True)
    elsewhere = ctc.max(axis=1, keepdims=True) - ELSEWHERE_PENALTY
    emissions = numpy.concatenate([elsewhere, ctc[:, labels], elsewhere], axis=1)
    path = best_path(emissions, numpy.concatenate([[True], optional, [True]]))
    states = numpy.concatenate([[BLANK], labels, [BLANK]])
    found = spans(path, states, numpy.concatenate([[-1], owners, [-1]]), len(words))
    placed, origin = [], 0.0
    for (path_output, frame), (_, _) in zip(heard, parts):
        end = origin + len(path_output) * FRAME_SECONDS
        inside = [index for index, span in enumerate(found) if span and origin - 0.01 <= span[0] and span[1] <= end + 0.01]
        text = [words[index] for index in inside]
        times = None
        if len(text) >= 4 and all(len(labels_of(word)) for word in text):
            low = max(0, int((found[inside[0]][0] - origin) / FRAME_SECONDS) - 5)
            high = min(len(path_output), int((found[inside[-1]][1] - origin) / FRAME_SECONDS) + 15)
            if score(path_output[low:high], text) >= LEAST_SCORE:
                times = align(path_output[low:high], frame[low:high], text)
        good = times and None not in times
        placed.append([(w, a + low * FRAME_SECONDS, b + low * FRAME_SECONDS) for w, (a, b) in zip(text, times)] if good else [])
        origin = end
    return placed
