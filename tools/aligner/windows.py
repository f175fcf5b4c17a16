"""Windows of 30 s to train on: sentences and single words joined with pauses, as rooms, lines and noise change them."""

import dataclasses
import random

import numpy
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from corpora import RATE, Utterance

WINDOW = 30 * RATE
LEAST_GAP = 0.06
EXPECTED_GAP = 0.4
ENERGY_STEP = RATE // 200
# A word next to a pause starts and ends where its energy rises above this much below its loudest 20 ms.
ENERGY_RANGE_DB = 36.0


@dataclasses.dataclass
class Window:
    """30 s of samples with the words in it: (word, start, end) in seconds, in order."""

    name: str
    samples: numpy.ndarray
    words: list[tuple[str, float, float]]


def energy_edges(samples: numpy.ndarray, start: float, end: float, reach: float) -> tuple[float, float]:
    """The edges of a word that stands alone, looked for up to `reach` seconds outside of the given ones."""
    first = max(0, int((start - reach) * RATE))
    region = samples[first : int((end + reach) * RATE)]
    steps = len(region) // ENERGY_STEP
    if steps < 8:
        return start, end
    power = (region[: steps * ENERGY_STEP].reshape(steps, ENERGY_STEP) ** 2).mean(axis=1)
    smooth = numpy.convolve(power, numpy.ones(4) / 4, mode="same")
    floor = 4 * numpy.percentile(smooth, 5)
    loud = numpy.flatnonzero(smooth > max(smooth.max() * 10 ** (-ENERGY_RANGE_DB / 10), min(floor, smooth.max() / 30)))
    step = ENERGY_STEP / RATE
    return first / RATE + loud[0] * step, first / RATE + (loud[-1] + 1) * step


def single_words(utterances: list[Utterance], wanted: set[str], limit: int, rng: random.Random) -> list[Utterance]:
    """Words cut out where a pause stands on both sides or where they are wanted, edges by their energy, faded ends."""
    found = []
    for utterance in utterances:
        length = len(utterance.samples) / RATE
        for index, (word, (start, end)) in enumerate(zip(utterance.words, utterance.times)):
            before = start - (utterance.times[index - 1][1] if index else 0.0)
            after = (utterance.times[index + 1][0] if index + 1 < len(utterance.words) else length) - end
            alone = min(before, after) >= LEAST_GAP
            if not 0.15 <= end - start <= 1.2 or not (alone or word in wanted):
                continue
            left, right = min(before / 2, 0.15), min(after / 2, 0.15)
            first = max(0, int((start - left) * RATE))
            piece = utterance.samples[first : int((end + right) * RATE)].copy()
            fade = min(len(piece) // 4, int(0.008 * RATE))
            piece[:fade] *= numpy.linspace(0, 1, fade)
            piece[-fade:] *= numpy.linspace(1, 0, fade)
            edges = energy_edges(piece, 0.0, len(piece) / RATE, 0.0)
            name = f"{utterance.name}-word-{index}"
            found.append(Utterance(name, utterance.speaker, utterance.source, [word], piece, [edges]))
    rng.shuffle(found)
    return sorted(found, key=lambda item: item.words[0] not in wanted)[:limit]


def at_speed(utterance: Utterance, factor: float) -> Utterance:
    """The utterance played `factor` times as fast, pitch and all."""
    samples = soxr.resample(utterance.samples, RATE, RATE / factor).astype(numpy.float32)
    times = [(start / factor, end / factor) for start, end in utterance.times]
    return dataclasses.replace(utterance, samples=samples, times=times)


def reverberated(samples: numpy.ndarray, noise: numpy.random.Generator) -> numpy.ndarray:
    """A room: direct sound, a few early reflections and an exponential tail of 0.15 to 0.8 s."""
    decay = noise.uniform(0.15, 0.8)
    length = int(decay * RATE)
    response = noise.standard_normal(length) * 10 ** (-3 * numpy.arange(length) / length)
    response *= noise.uniform(0.1, 0.6) / numpy.sqrt((response**2).sum())
    for _ in range(6):
        response[int(noise.uniform(0.002, 0.05) * RATE)] += noise.uniform(-0.4, 0.4)
    response[0] = 1.0
    return fftconvolve(samples, response)[: len(samples)].astype(numpy.float32)


def band_limited(samples: numpy.ndarray, noise: numpy.random.Generator) -> numpy.ndarray:
    """A telephone line, or a recording at 8 kHz without its high-pass."""
    if noise.random() < 0.5:
        return soxr.resample(soxr.resample(samples, RATE, 8000), 8000, RATE).astype(numpy.float32)[: len(samples)]
    edges = [noise.uniform(150, 350), noise.uniform(3000, 3900)]
    return sosfilt(butter(4, edges, "band", fs=RATE, output="sos"), samples).astype(numpy.float32)


def disturbance(length: int, voices: list[Utterance], noise: numpy.random.Generator) -> numpy.ndarray:
    """White, coloured, humming, fluctuating noise or the babble of several voices, at unit power."""
    kind = noise.integers(5)
    if kind == 4:
        total = numpy.zeros(length, numpy.float32)
        for _ in range(noise.integers(3, 8)):
            voice = voices[noise.integers(len(voices))].samples
            total += numpy.roll(numpy.resize(voice, length), noise.integers(length))
        return total / (total.std() + 1e-9)
    spectrum = numpy.fft.rfft(noise.standard_normal(length))
    frequency = numpy.maximum(numpy.fft.rfftfreq(length, 1 / RATE), 20.0)
    total = numpy.fft.irfft(spectrum * frequency ** -noise.uniform(0.0, 1.0 if kind else 0.1), length)
    if kind == 2:
        base = noise.choice([50, 60, 100, 120]) * noise.uniform(0.98, 1.02)
        time = numpy.arange(length) / RATE
        tones = (noise.uniform(0, 2) * numpy.sin(2 * numpy.pi * base * k * time) for k in range(1, 6))
        total = total / total.std() + sum(tones)
    if kind == 3:
        steps = noise.uniform(0.1, 1.0, 32)
        total *= numpy.interp(numpy.arange(length), numpy.linspace(0, length, 32), steps)
    return (total / (total.std() + 1e-9)).astype(numpy.float32)


def changed(utterance: Utterance, noise: numpy.random.Generator) -> Utterance:
    """One speaker's own change: speed, room, line, level, overdriven input."""
    if noise.random() < 0.6:
        utterance = at_speed(utterance, noise.uniform(0.88, 1.15))
    samples = utterance.samples
    if noise.random() < 0.25:
        samples = reverberated(samples, noise)
    if noise.random() < 0.25:
        samples = band_limited(samples, noise)
    if noise.random() < 0.08:
        peak = numpy.quantile(numpy.abs(samples), 0.999) + 1e-6
        samples = numpy.clip(samples, -peak * 0.5, peak * 0.5)
    return dataclasses.replace(utterance, samples=samples)


def joined(name: str, utterances: list[Utterance], gaps, augment: bool, narrow: float, voices, noise) -> Window:
    """The utterances one after the other from a random offset, `gaps` seconds apart; then noise and, with the
    chance `narrow`, a telephone line over all of it."""
    samples, words = numpy.zeros(WINDOW, numpy.float32), []
    slack = WINDOW - sum(len(utterance.samples) for utterance in utterances)
    position, loudness = 0, noise.uniform(0.06, 1.0) if augment else 0.9
    for index, utterance in enumerate(utterances):
        gap = min(slack, int((gaps() if index else noise.uniform(0.0, 1.0)) * RATE))
        slack, position = slack - gap, position + gap
        piece = utterance.samples
        level = loudness * noise.uniform(1 / 3, 1.0)
        samples[position : position + len(piece)] += piece * level / (numpy.abs(piece).max() + 1e-6)
        start = position / RATE
        words += [(word, start + a, start + b) for word, (a, b) in zip(utterance.words, utterance.times)]
        position += len(piece)
    chance = noise.random()
    power = numpy.sqrt((samples**2).mean()) + 1e-6
    if augment and chance < 0.75:
        samples += disturbance(WINDOW, voices, noise) * power * 10 ** (-noise.uniform(3, 35) / 20)
    elif chance < 0.85:
        samples += noise.standard_normal(WINDOW).astype(numpy.float32) * power * 10 ** (-noise.uniform(35, 65) / 20)
    if augment and noise.random() < narrow:
        samples = band_limited(samples, noise)
    return Window(name, numpy.clip(samples, -1, 1), words)


def packed(name: str, utterances: list[Utterance], pauses: str, augment: bool, voices, seed: int) -> list[Window]:
    """All utterances, shuffled, in as many windows as they take; `pauses` is "speech" or "single" (isolated words)."""
    noise, order = numpy.random.default_rng(seed), random.Random(seed)
    pending = [changed(item, noise) if augment else item for item in utterances]
    order.shuffle(pending)

    def gaps() -> float:
        if pauses == "single":
            return noise.uniform(0.05, 0.9)
        return noise.uniform(0.0, 0.25) if noise.random() < 0.6 else noise.uniform(0.25, 1.5)

    narrow = 0.4 if pauses == "single" else 0.08
    windows = []
    while pending:
        # One window in eight is left half empty, as the last window of a recording is.
        full = noise.uniform(8.0, 20.0) if noise.random() < 0.125 else 28.5
        chosen, length = [], 1.0
        while pending and (not chosen or length + len(pending[-1].samples) / RATE <= full):
            length += len(pending[-1].samples) / RATE + EXPECTED_GAP
            chosen.append(pending.pop())
        windows.append(joined(f"{name}-{len(windows):04}", chosen, gaps, augment, narrow, voices, noise))
    return windows
