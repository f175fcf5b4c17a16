"""The file that all engines transcribe, made of recordings with a reference."""
import os
import sys

import numpy
import soundfile

#: Silence between clips that are joined, in seconds.
GAP = 0.3


def joined_clips(folder, name, seconds):
    """(samples, rate, reference text) of the clips of a set, one after the other, until there are `seconds` of them."""
    from scoring import load_manifest
    parts, texts, length, rate = [], [], 0.0, None
    for recording in load_manifest(folder, {name}):
        samples, clip_rate = soundfile.read(os.path.join(folder, recording["path"]), dtype="float32")
        rate = rate or clip_rate
        if clip_rate != rate:
            sys.exit(f"the clips of {name} have several sample rates; name a set that has one")
        parts += [samples, numpy.zeros(int(GAP * rate), numpy.float32)]
        texts.append(recording.get("transcript") or "")
        length += recording["seconds"] + GAP
        if length >= seconds:
            break
    if not parts:
        sys.exit(f"the manifest has no set {name}")
    return numpy.concatenate(parts), rate, " ".join(texts) if all(texts) else None


def one_channel(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate


def write(path, samples, rate):
    soundfile.write(path, samples, rate, "PCM_16")


def write_looped(path, samples, rate, seconds):
    """Writes the samples over and over, without holding the whole in memory."""
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        left = int(seconds * rate)
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)
