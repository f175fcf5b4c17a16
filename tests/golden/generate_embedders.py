#!/usr/bin/env python3
"""Writes embedders.safetensors and embedders.json: features and embeddings of ResNet34 and ECAPA-TDNN with made-up weights.

usage: generate_embedders.py PYANNOTE_AUDIO_WHEEL

The networks have their true sizes (WeSpeaker ResNet34-LM as pyannote.audio has it, 6.6 M parameters; SpeechBrain's
spkrec-ecapa-voxceleb, 20.8 M), so their weights are not stored: a formula makes them of each tensor's name, here and in
the Rust test; embedders.json says the names and shapes, which are those of the checkpoints. ResNet34's module is read out
of the wheel pyannote-audio==4.0.7, which is not installed:

    pip download --no-deps --only-binary=:all: pyannote-audio==4.0.7

Needs torch, torchaudio, speechbrain==1.1.2, einops, safetensors and numpy. Features are those of each reference, of noise
that comes in bursts.
"""
import json
import os
import sys
import types
import zipfile

import numpy
import torch
import torchaudio.compliance.kaldi as kaldi
from safetensors.torch import save_file
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models import ECAPA_TDNN
from speechbrain.processing.features import InputNormalization

POOLING = "pyannote.audio.models.blocks.pooling"
RECEPTIVE_FIELD = "pyannote.audio.utils.receptive_field"
RESNET = "pyannote.audio.models.embedding.wespeaker.resnet"
# Samples of each window: 1 s.
LENGTH = 16000
# Which of the trunk's frames and channels are kept.
STEPS = {"resnet34": (1, 16), "ecapa": (5, 16)}


def read_resnet(wheel):
    """The module, with what it imports; none of it needs the rest of pyannote.audio."""
    with zipfile.ZipFile(wheel) as archive:
        for name in [POOLING, RECEPTIVE_FIELD, RESNET]:
            path = name.replace(".", "/") + ".py"
            module = types.ModuleType(name)
            exec(compile(archive.read(path), path, "exec"), module.__dict__)
            sys.modules[name] = module
    return sys.modules[RESNET]


def bursts(count, seed):
    """The sound that the Rust test makes too: a 32-bit linear congruential generator, louder and softer by powers of two."""
    state, out = seed, numpy.empty(count, dtype=numpy.float32)
    for index in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out[index] = ((state >> 16) / 65536 - 0.5) * 2.0 ** -((index // 1500 * seed) % 7)
    return torch.from_numpy(out)


def uniform(name, count):
    """Numbers in 0..1 with 24 bits, of the tensor's name (FNV-1a) and each element's index (the finish of MurmurHash3)."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(2654435761) + numpy.uint32(seed)
    x = (x ^ (x >> numpy.uint32(16))) * numpy.uint32(0x85EBCA6B)
    x = (x ^ (x >> numpy.uint32(13))) * numpy.uint32(0xC2B2AE35)
    x ^= x >> numpy.uint32(16)
    return (x >> numpy.uint32(8)).astype(numpy.float32) / numpy.float32(2**24)


def made_up(name, shape):
    """Weights of deviation 1 / sqrt(inputs); normalisations and biases that change what they see."""
    x = uniform(name, int(numpy.prod(shape)))
    if len(shape) > 1:
        x = (x - numpy.float32(0.5)) * numpy.float32(numpy.sqrt(12.0 / numpy.prod(shape[1:])))
    elif name.endswith("running_var"):
        x = x + numpy.float32(0.5)
    elif name.endswith("weight"):
        x = x * numpy.float32(0.5) + numpy.float32(0.75)
    else:
        x = (x - numpy.float32(0.5)) * numpy.float32(0.25)
    return torch.from_numpy(x.reshape(shape))


def fill(model, prefix=""):
    """Gives the model its weights; returns the names and shapes as a checkpoint has them."""
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    made = {name: made_up(prefix + name, tuple(tensor.shape)) for name, tensor in state.items()}
    model.load_state_dict(made, strict=False)
    model.eval()
    return {prefix + name: list(tensor.shape) for name, tensor in made.items()}


def masks(count):
    """For each of two windows, three speakers in `count` steps; the last speaker of the second window hears five steps."""
    step = torch.arange(count)
    of_first = [(step // 7) % 2 == 0, (step // 7) % 2 == 1, step > count // 2]
    of_second = [step < count // 3, (step * 5) % 11 < 6, (step >= 20) & (step < 25)]
    return torch.stack([torch.stack([row.float() for row in rows]) for rows in (of_first, of_second)])


def of_resnet(wheel, waves, tensors):
    model = read_resnet(wheel).ResNet34(80, 256, pooling_func="TSTP", two_emb_layer=False)
    names = fill(model, "resnet.")
    fbank = torch.vmap(lambda wave: kaldi.fbank(wave[None] * 2**15, num_mel_bins=80, frame_length=25, frame_shift=10,
                                                sample_frequency=16000, dither=0.0, window_type="hamming", use_energy=False))
    features = fbank(waves)
    features = features - features.mean(1, keepdim=True)
    trunk = model.forward_frames(features)  # (B, C, F, T)
    weights = masks(59)
    tensors.update({
        "resnet34.features": features,
        "resnet34.trunk": trunk.permute(0, 3, 2, 1).flatten(2),  # (B, T, F * C)
        "resnet34.embeddings": model(features)[1],
        "resnet34.masks": weights,
        "resnet34.masked": model(features, weights=weights)[1],
    })
    return names


def of_ecapa(waves, tensors):
    model = ECAPA_TDNN.ECAPA_TDNN(80, channels=[1024, 1024, 1024, 1024, 3072], kernel_sizes=[5, 3, 3, 3, 1],
                                  dilations=[1, 2, 3, 4, 1], attention_channels=128, lin_neurons=192)
    names = fill(model)
    features = Fbank(n_mels=80)(waves)
    features = InputNormalization(norm_type="sentence", std_norm=False)(features, torch.ones(len(waves)))
    inside = {}
    hook = model.mfa.register_forward_hook(lambda _, __, out: inside.update(trunk=out))
    whole = model(features)[:, 0]
    hook.remove()
    trunk, weights = inside["trunk"], masks(features.shape[1])

    def under(mask):
        """The pooling with `mask` where it would take the mask of lengths; the trunk hears everything."""
        original = ECAPA_TDNN.length_to_mask
        ECAPA_TDNN.length_to_mask = lambda *_, **__: mask
        pooled = model.asp(trunk, lengths=torch.ones(len(waves)))
        ECAPA_TDNN.length_to_mask = original
        return model.fc(model.asp_bn(pooled))[:, :, 0]

    tensors.update({
        "ecapa.features": features,
        "ecapa.trunk": trunk.transpose(1, 2),
        "ecapa.embeddings": whole,
        "ecapa.masks": weights,
        "ecapa.masked": torch.stack([under(weights[:, speaker]) for speaker in range(weights.shape[1])], 1),
    })
    return names


def main():
    torch.set_num_threads(1)
    waves = torch.stack([bursts(LENGTH, 1), bursts(LENGTH, 2)])
    tensors = {}
    with torch.no_grad():
        names = {"resnet34": of_resnet(sys.argv[1], waves, tensors), "ecapa": of_ecapa(waves, tensors)}
        # A click after silence: what lies 80 dB below it is raised.
        click = torch.zeros(4000)
        click[3000] = 0.5
        tensors["decibels.click"] = Fbank(n_mels=80)((click + bursts(4000, 3) * 2.0**-12)[None])[0]
        tensors["decibels.silence"] = Fbank(n_mels=80)(torch.zeros(1, 800))[0]
    for name, tensor in tensors.items():
        print(f"{name} {tuple(tensor.shape)}: mean {tensor.mean():.3f}, deviation {tensor.std():.3f}")
    for name, (frames, channels) in STEPS.items():
        tensors[f"{name}.trunk"] = tensors[f"{name}.trunk"][:, ::frames, ::channels]
    folder = os.path.dirname(os.path.abspath(__file__))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, os.path.join(folder, "embedders.safetensors"))
    with open(os.path.join(folder, "embedders.json"), "w") as file:
        json.dump(names, file, indent=0)
        file.write("\n")
    for name in ["embedders.safetensors", "embedders.json"]:
        print(name, os.path.getsize(os.path.join(folder, name)))


if __name__ == "__main__":
    main()
