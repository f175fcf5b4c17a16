#!/usr/bin/env python3
"""Writes wav2vec2.safetensors, wav2vec2.json and wav2vec2.bin: tiny random networks of every variant, and what transformers makes of them.

usage: generate_wav2vec2.py [FOLDER]

With a FOLDER (for PALABRA_TEST_WAV2VEC2) it writes networks of full size with random weights there instead: base (95 M
parameters, as pytorch_model.bin) and xlsr-300m (as model.safetensors), with 30 s of sound and what they make of it.

Needs torch, transformers, safetensors and numpy (written with torch 2.8 and transformers 4.57). Weights are rounded to
half precision before they are used, so that the stored ones are exactly those. A variant whose convolutions have layer
norms runs as one padded batch with its mask, the others clip by clip: their group norm would see the padding.
"""
import json
import os
import sys

import numpy
import torch
from safetensors.torch import save_file
from transformers import (HubertConfig, HubertForCTC, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, WavLMConfig,
                          WavLMForCTC)

RECEPTIVE_FIELD = 400
# Frames 103 (more than the Rust side computes at a time), 12, 38, and one: shorter than the receptive field.
LENGTHS = [33333, 4001, 12345, 250]
TINY = dict(vocab_size=12, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            conv_dim=[16, 16, 24, 16, 16, 16, 20])
STABLE = dict(feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True)
# Name: configuration, whether clips are normalised, whether the old names of weight norm are used.
VARIANTS = {
    "base": (Wav2Vec2Config(**TINY), True, False),
    "base_with_biases": (Wav2Vec2Config(**TINY, conv_bias=True, num_conv_pos_embeddings=15, num_conv_pos_embedding_groups=2), False, True),
    "large": (Wav2Vec2Config(**TINY, **STABLE), True, False),
    "layer_norm_post": (Wav2Vec2Config(**TINY, feat_extract_norm="layer", num_conv_pos_embeddings=16, layer_norm_eps=1e-3), True, True),
    "mms": (Wav2Vec2Config(**TINY, **STABLE, adapter_attn_dim=4, num_conv_pos_embeddings=16), True, False),
    "hubert": (HubertConfig(**TINY, feat_proj_layer_norm=False, num_conv_pos_embeddings=16), False, False),
    "hubert_large": (HubertConfig(**TINY, **STABLE, num_conv_pos_embeddings=16), True, True),
    "wavlm": (WavLMConfig(**TINY, num_buckets=32, max_bucket_distance=60, num_conv_pos_embeddings=16), False, False),
    "wavlm_large": (WavLMConfig(**TINY, **STABLE, num_conv_pos_embeddings=16), True, False),
}
CLASSES = {"wav2vec2": Wav2Vec2ForCTC, "hubert": HubertForCTC, "wavlm": WavLMForCTC}
# Every fourth frame of the boundaries inside is kept.
STEP = 4


def pseudo_noise(count, seed):
    """The noise that the Rust test makes too: a 32-bit linear congruential generator, every value exact in f32."""
    state, out = seed, numpy.empty(count, dtype=numpy.float32)
    for index in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out[index] = (state >> 16) / 65536 - 0.375
    return out


def build(config):
    """A network whose norms and biases are not those of a fresh one."""
    model = CLASSES[config.model_type](config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or "original0" in name or "gru_rel_pos_const" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif "conv_layers" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            parameter.copy_(parameter.half().float())
    return model


def normalised(clip, do_normalize):
    """As the feature extractor does, then padded to the receptive field."""
    extractor = Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    values = extractor(clip, sampling_rate=16000, return_tensors="pt").input_values
    return torch.nn.functional.pad(values, (0, max(0, RECEPTIVE_FIELD - values.shape[1])))


def boundaries(model, values, mask, lengths):
    """Every boundary's frames, those of all clips one after the other: (frames, channels)."""
    body, inside = getattr(model, model.base_model_prefix), {}
    hooks = [
        body.feature_extractor.register_forward_hook(lambda _, __, out: inside.update(features=out.transpose(1, 2))),
        body.feature_projection.register_forward_hook(
            lambda _, __, out: inside.update(projection=(out[0] if isinstance(out, tuple) else out).clone())),
    ]
    with torch.no_grad():
        out = model(values, attention_mask=mask, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    inside["positions"], *blocks = out.hidden_states
    inside.update({f"block{index}": block for index, block in enumerate(blocks)}, logits=out.logits)
    frames = [int(model._get_feat_extract_output_lengths(length)) for length in lengths]
    return {name: torch.cat([row[:count] for row, count in zip(tensor, frames)]) for name, tensor in inside.items()}


def run(model, do_normalize):
    clips = [normalised(pseudo_noise(length, seed + 1), do_normalize) for seed, length in enumerate(LENGTHS)]
    lengths = [clip.shape[1] for clip in clips]
    if model.config.feat_extract_norm == "group":
        parts = [boundaries(model, clip, None, [length]) for clip, length in zip(clips, lengths)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    longest = max(lengths)
    values = torch.cat([torch.nn.functional.pad(clip, (0, longest - length)) for clip, length in zip(clips, lengths)])
    mask = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
    return boundaries(model, values, mask.long(), lengths)


def old_names(state):
    rename = lambda name: name.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v")
    return {rename(name): tensor for name, tensor in state.items()}


def write_tiny(folder):
    tensors, described = {}, {}
    for seed, (variant, (config, do_normalize, old)) in enumerate(VARIANTS.items()):
        torch.manual_seed(seed)
        model = build(config)
        state = {name: tensor.half() for name, tensor in model.state_dict().items()}
        state = old_names(state) if old else state
        tensors.update({f"{variant}/{name}": tensor.contiguous() for name, tensor in state.items()})
        for name, tensor in run(model, do_normalize).items():
            tensors[f"{variant}.{name}"] = (tensor if name == "logits" else tensor[::STEP]).contiguous()
        # Only what is not a default, so that the Rust side's defaults are tested too.
        defaults = type(config)().to_dict()
        members = {name: value for name, value in config.to_dict().items() if value != defaults.get(name) or name == "model_type"}
        described[variant] = {"config": members, "do_normalize": do_normalize}
        if variant == "base":
            # As state dicts were written before safetensors.
            torch.save(old_names(model.half().state_dict()), os.path.join(folder, "wav2vec2.bin"))
    save_file(tensors, os.path.join(folder, "wav2vec2.safetensors"))
    with open(os.path.join(folder, "wav2vec2.json"), "w") as file:
        json.dump({"lengths": LENGTHS, "step": STEP, "variants": described}, file)
        file.write("\n")


def sound(seconds):
    """Harmonics of a gliding voice under a syllabic envelope, and noise."""
    random, time = numpy.random.default_rng(5), numpy.arange(int(seconds * 16000)) / 16000
    phase = 2 * numpy.pi * numpy.cumsum(120 + 40 * numpy.sin(2 * numpy.pi * 0.7 * time)) / 16000
    voice = sum(numpy.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    envelope = numpy.clip(numpy.sin(2 * numpy.pi * 3.1 * time), 0, None)
    return (0.1 * voice * envelope + 0.01 * random.standard_normal(len(time))).astype(numpy.float32)


def write_full(root):
    large = dict(STABLE, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    wave = sound(30)
    for name, config in [("base", Wav2Vec2Config()), ("xlsr-300m", Wav2Vec2Config(**large))]:
        torch.manual_seed(7)
        folder = os.path.join(root, name)
        os.makedirs(folder, exist_ok=True)
        model = Wav2Vec2ForCTC(config).eval()
        with torch.no_grad():
            # Scores as far apart as those of a trained head.
            model.lm_head.weight.mul_(10)
            logits = model(normalised(wave, True)).logits[0]
        golden = {"wave": torch.from_numpy(wave), "log_probabilities": logits.log_softmax(-1).contiguous()}
        save_file(golden, os.path.join(folder, "golden.safetensors"))
        config.to_json_file(os.path.join(folder, "config.json"))
        with open(os.path.join(folder, "vocab.json"), "w") as file:
            tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
            json.dump({token: label for label, token in enumerate(tokens)}, file)
        if name == "base":
            torch.save(old_names(model.state_dict()), os.path.join(folder, "pytorch_model.bin"))
        else:
            save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, os.path.join(folder, "model.safetensors"))
        print(folder, f"logits of deviation {logits.std():.2f}")


def main():
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        write_full(sys.argv[1])
        return
    folder = os.path.dirname(os.path.abspath(__file__))
    write_tiny(folder)
    for name in ["wav2vec2.safetensors", "wav2vec2.json", "wav2vec2.bin"]:
        print(name, os.path.getsize(os.path.join(folder, name)))


if __name__ == "__main__":
    main()
