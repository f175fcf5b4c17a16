"""Forced alignment of words to the head's two outputs, and of characters to the frames of a word."""

import numba
import numpy

from model import BETWEEN, BLANK, labels_of

FRAME_SECONDS = 0.02
IMPOSSIBLE = -1e30
BEFORE, AFTER = 0.12, 0.25
"""How far outside of its first-pass span a word may lie in the second pass, in seconds."""


@numba.njit(cache=True)
def best_path(emissions, optional):
    """The likeliest state of every frame. States (columns) are passed in order; an optional one may be skipped."""
    frames, states = emissions.shape
    score = numpy.full(states, IMPOSSIBLE)
    came_from = numpy.zeros((frames, states), numpy.int32)
    for state in range(states):
        score[state] = emissions[0, state]
        if not optional[state]:
            break
    for frame in range(1, frames):
        following = numpy.full(states, IMPOSSIBLE)
        for state in range(states):
            best, origin = score[state], state
            earlier = state - 1
            while earlier >= 0:
                if score[earlier] > best:
                    best, origin = score[earlier], earlier
                if not optional[earlier]:
                    break
                earlier -= 1
            if best > IMPOSSIBLE:
                following[state] = best + emissions[frame, state]
            came_from[frame, state] = origin
        score = following
    state = states - 1
    last = state
    while last > 0 and optional[last]:
        last -= 1
        if score[last] > score[state]:
            state = last
    path = numpy.empty(frames, numpy.int32)
    path[frames - 1] = state
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path


def states_of(words: list[str], first_pass: bool):
    """(label, optional, word or -1) of every state. First pass: CTC with a "|" that must lie between two words.
    Second pass: silence that may lie between words and at both ends."""
    states = [(BLANK, True, -1)] if first_pass else [(BETWEEN, True, -1)]
    for index, word in enumerate(words):
        labels = labels_of(word)
        if index and first_pass:
            states += [(BETWEEN, False, -1), (BLANK, True, -1)]
        elif index:
            # Two equal letters that meet need something between them to be two.
            states.append((BETWEEN, labels_of(words[index - 1])[-1] != labels[0], -1))
        for position, label in enumerate(labels):
            if position:
                states.append((BLANK, labels[position - 1] != label, index))
            states.append((label, False, index))
        if first_pass:
            states.append((BLANK, True, -1))
    if not first_pass:
        states.append((BETWEEN, True, -1))
    labels, optional, owners = zip(*states)
    return numpy.array(labels), numpy.array(optional), numpy.array(owners)


def spans(path, labels, owners, count: int) -> list[tuple[float, float] | None]:
    """(start, end) in seconds of every word: from its first to behind its last frame on a character."""
    spoken = numpy.where(labels[path] > BETWEEN, owners[path], -1)
    found = [numpy.flatnonzero(spoken == word) for word in range(count)]
    return [(at[0] * FRAME_SECONDS, (at[-1] + 1) * FRAME_SECONDS) if len(at) else None for at in found]


def align(ctc: numpy.ndarray, frame: numpy.ndarray, words: list[str], passes: int = 2):
    """Word times from log-probabilities (frames, labels): the path by CTC, the edges by the frame labels near it."""
    ctc, frame = ctc.astype(numpy.float64), frame.astype(numpy.float64)
    labels, optional, owners = states_of(words, first_pass=True)
    first = spans(best_path(ctc[:, labels], optional), labels, owners, len(words))
    if passes == 1 or None in first:
        return first
    labels, optional, owners = states_of(words, first_pass=False)
    silence = numpy.logaddexp(frame[:, BETWEEN], frame[:, BLANK])
    emissions = frame[:, labels]
    emissions[:, labels == BETWEEN] = silence[:, None]
    centre = (numpy.arange(len(frame)) + 0.5) * FRAME_SECONDS
    starts = numpy.array([start for start, _ in first] + [0.0])[owners]
    ends = numpy.array([end for _, end in first] + [0.0])[owners]
    outside = (centre[:, None] < starts - BEFORE) | (centre[:, None] > ends + AFTER)
    emissions[outside & (owners >= 0)] -= 1000.0
    second = spans(best_path(emissions, optional), labels, owners, len(words))
    return [new or old for new, old in zip(second, first)]


@numba.njit(cache=True)
def split_word(frame, labels, first, last, targets):
    """Writes the likeliest character of every frame of a word into `targets[first..last]`: no blank but for one frame
    between two equal letters. False where the word has fewer frames than that takes."""
    tokens = numpy.empty(2 * len(labels), numpy.int64)
    count = 0
    for index in range(len(labels)):
        if index and labels[index] == labels[index - 1]:
            tokens[count] = 0
            count += 1
        tokens[count] = labels[index]
        count += 1
    frames = last - first
    if frames < count:
        return False
    score = numpy.full(count, IMPOSSIBLE)
    moved = numpy.zeros((frames, count), numpy.bool_)
    score[0] = frame[first, tokens[0]]
    for at in range(1, frames):
        for token in range(count - 1, -1, -1):
            stay = score[token] if tokens[token] else IMPOSSIBLE
            move = score[token - 1] if token else IMPOSSIBLE
            moved[at, token] = move > stay
            best = max(stay, move)
            score[token] = best + frame[first + at, tokens[token]] if best > IMPOSSIBLE else IMPOSSIBLE
    token = count - 1
    for at in range(frames - 1, -1, -1):
        targets[first + at] = tokens[token]
        if moved[at, token]:
            token -= 1
    return True
