"""Training of the head: CTC for the path and frame labels for the edges, of one trunk."""

import copy
import math
import random
import time

import numpy
import torch
from torch.nn import functional

from alignment import FRAME_SECONDS, split_word
from features import Features
from model import BETWEEN, Head, labels_of

IGNORED = -1
CROP_SECONDS = (5.0, 12.0)
MARGIN = 0.5


def crop(features: Features, rng: random.Random) -> tuple[int, int, list]:
    """A random run of whole words: its first and last frame in the window, and the words relative to the first."""
    words, longest = features.words, rng.uniform(*CROP_SECONDS)
    first = rng.randrange(max(1, len(words) - 3))
    low = words[first - 1][2] if first else 0.0
    start = max(low, words[first][1] - rng.uniform(0, MARGIN)) if low < words[first][1] else words[first][1]
    last = first
    while last + 1 < len(words) and words[last + 1][2] - start < longest:
        last += 1
    high = words[last + 1][1] if last + 1 < len(words) else 29.96
    end = max(words[last][2], min(high, words[last][2] + rng.uniform(0, MARGIN)))
    first_frame, last_frame = round(start / FRAME_SECONDS), min(1500, max(round(end / FRAME_SECONDS), 1))
    origin = first_frame * FRAME_SECONDS
    return first_frame, last_frame, [(word, a - origin, b - origin) for word, a, b in words[first : last + 1]]


def frame_targets(words: list, frames: int, frame: numpy.ndarray, flat: bool) -> numpy.ndarray:
    """The label of every frame's centre. In a word the characters share the frames evenly while `flat`, later as the
    model itself places them best (hard expectation maximisation). Nothing is told of words that have no times."""
    if any(start is None for _, start, _ in words):
        return numpy.full(frames, IGNORED)
    targets = numpy.full(frames, BETWEEN, numpy.int64)
    for word, start, end in words:
        labels = numpy.array(labels_of(word))
        first, last = max(0, math.ceil(start / FRAME_SECONDS - 0.5)), min(frames, math.ceil(end / FRAME_SECONDS - 0.5))
        if last <= first:
            continue
        if flat:
            targets[first:last] = labels[numpy.arange(last - first) * len(labels) // (last - first)]
        elif not split_word(frame, labels, first, last, targets):
            targets[first:last] = IGNORED
    return targets


def as_rounded(taps: numpy.ndarray) -> numpy.ndarray:
    """Taps as symmetric 8-bit integers with one scale a tensor would hold them."""
    scale = numpy.abs(taps).max(axis=(1, 2), keepdims=True) / 127
    return numpy.round(taps / scale) * scale


def batch_of(chosen: list[Features], rng: random.Random, crop=crop):
    """Padded taps, mel, and (frames, words) of a crop of each."""
    crops = [crop(features, rng) for features in chosen]
    longest = max(last - first for first, last, _ in crops)
    taps = numpy.zeros((len(crops), 3, longest, 512), numpy.float32)
    mel = numpy.zeros((len(crops), 2 * longest, 80), numpy.float32)
    for row, (features, (first, last, _)) in enumerate(zip(chosen, crops)):
        states, spectrum = features.frames(first, last)
        states = states.astype(numpy.float32)
        taps[row, :, : last - first] = as_rounded(states) if rng.random() < 0.15 else states
        mel[row, : 2 * (last - first)] = spectrum
    return torch.from_numpy(taps), torch.from_numpy(mel), [(last - first, words) for first, last, words in crops]


def losses(head: Head, taps, mel, contents, flat: bool):
    """CTC loss per character, and cross-entropy of the frame labels."""
    ctc, frame = head(taps, mel)
    texts = []
    for _, words in contents:
        text = []
        for index, (word, _, _) in enumerate(words):
            text += ([BETWEEN] if index else []) + labels_of(word)
        texts.append(torch.tensor(text))
    lengths = torch.tensor([len(text) for text in texts])
    frames = torch.tensor([count for count, _ in contents])
    path = functional.ctc_loss(
        ctc.transpose(0, 1), torch.cat(texts), frames, lengths, reduction="none", zero_infinity=True
    )
    targets = torch.full(frame.shape[:2], IGNORED)
    for row, (count, words) in enumerate(contents):
        told = frame[row, :count].detach().double().numpy()
        targets[row, :count] = torch.from_numpy(frame_targets(words, count, told, flat))
    told = (targets != IGNORED).any()
    edges = functional.nll_loss(frame.flatten(0, 1), targets.flatten(), ignore_index=IGNORED) if told else 0 * frame.sum()
    return (path / lengths).mean(), edges


def schedule(done: float) -> float:
    """Share of the learning rate: linear warm-up over the first tenth, then half a cosine down to nil."""
    return 0.02 + done / 0.1 if done < 0.098 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.1) / 0.9)


def weight(features: Features) -> int:
    """How often a window is seen for one of the changed copies': edges are learned best from clean speech."""
    return 2 if features.path.name.startswith("clean") else 1


def fit(corpus: list[Features], steps: int, seed: int, batch: int = 8, rate: float = 2e-3, width: int = 192,
        head: Head | None = None, crop=crop) -> Head:
    """A trained head: AdamW, linear warm-up and cosine decay, and the running mean of the weights at the end."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    fresh, head = head is None, head or Head(width=width)
    mean = copy.deepcopy(head).eval()
    optimiser = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.01)
    usable = [features for features in corpus if len(features.words) >= 4 for _ in range(weight(features))]
    queue, seen, started = [], [], time.time()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step / steps)
        if len(queue) < batch:
            queue = rng.sample(usable, len(usable)) + queue
        chosen = [queue.pop() for _ in range(batch)]
        head.train()
        path, edges = losses(head, *batch_of(chosen, rng, crop), flat=fresh and step < 60)
        optimiser.zero_grad()
        (0.5 * path + edges).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        keep = min(0.998, step / (step + 20))
        with torch.no_grad():
            for averaged, parameter in zip(mean.parameters(), head.parameters()):
                averaged.lerp_(parameter, 1 - keep)
        seen.append((path.item(), edges.item()))
        if (step + 1) % 50 == 0:
            path_loss, edge_loss = numpy.mean(seen[-50:], axis=0)
            elapsed = time.time() - started
            print(f"step {step + 1}: ctc {path_loss:.3f}, frame {edge_loss:.3f}, {elapsed:.0f} s", flush=True)
    return mean
