"""Writes a Whisper of the hub's layout as CTranslate2 wants it: to_ctranslate2.py HUB_FOLDER OUTPUT_FOLDER

The tensors go in with the type that they are stored in; faster-whisper chooses its own when it loads them.
"""
import os
import shutil
import sys

import numpy
from ctranslate2.specs import whisper_spec

from hub import HubFolder, stacked


def set_linear(spec, hub, *names):
    """One linear layer, or several that CTranslate2 computes as one. Whisper's keys have no bias: theirs is zero."""
    weights = [hub.tensor(name + ".weight") for name in names]
    biases = [numpy.zeros(len(weight), weight.dtype) if name.endswith("k_proj") else hub.tensor(name + ".bias") for name, weight in zip(names, weights)]
    spec.weight, spec.bias = stacked(weights), stacked(biases)


def set_norm(spec, hub, name):
    spec.gamma, spec.beta = hub.tensor(name + ".weight"), hub.tensor(name + ".bias")


def set_self_attention(spec, hub, layer):
    set_norm(spec.layer_norm, hub, layer + ".self_attn_layer_norm")
    set_linear(spec.linear[0], hub, *(f"{layer}.self_attn.{part}_proj" for part in "qkv"))
    set_linear(spec.linear[1], hub, layer + ".self_attn.out_proj")


def set_cross_attention(spec, hub, layer):
    set_norm(spec.layer_norm, hub, layer + ".encoder_attn_layer_norm")
    set_linear(spec.linear[0], hub, layer + ".encoder_attn.q_proj")
    set_linear(spec.linear[1], hub, *(f"{layer}.encoder_attn.{part}_proj" for part in "kv"))
    set_linear(spec.linear[2], hub, layer + ".encoder_attn.out_proj")


def set_feed_forward(spec, hub, layer):
    set_norm(spec.layer_norm, hub, layer + ".final_layer_norm")
    set_linear(spec.linear_0, hub, layer + ".fc1")
    set_linear(spec.linear_1, hub, layer + ".fc2")


def converted(hub):
    config = hub.config
    spec = whisper_spec.WhisperSpec(config["encoder_layers"], config["encoder_attention_heads"], config["decoder_layers"], config["decoder_attention_heads"])
    for convolution in ("conv1", "conv2"):
        target = getattr(spec.encoder, convolution)
        target.weight, target.bias = hub.tensor(f"encoder.{convolution}.weight"), hub.tensor(f"encoder.{convolution}.bias")
    for part, target in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        target.position_encodings.encodings = hub.tensor(part + ".embed_positions.weight")
        set_norm(target.layer_norm, hub, part + ".layer_norm")
        for number, layer in enumerate(target.layer):
            name = f"{part}.layers.{number}"
            set_self_attention(layer.self_attention, hub, name)
            if part == "decoder":
                set_cross_attention(layer.attention, hub, name)
            set_feed_forward(layer.ffn, hub, name)
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = hub.tensor("decoder.embed_tokens.weight")
    spec.register_vocabulary(hub.tokens())
    spec.config.suppress_ids = hub.generation["suppress_tokens"]
    spec.config.suppress_ids_begin = hub.generation["begin_suppress_tokens"]
    spec.config.alignment_heads = hub.generation["alignment_heads"]
    spec.config.lang_ids = hub.language_tokens()
    return spec


def main():
    source, output = sys.argv[1:]
    hub = HubFolder(source)
    spec = converted(hub)
    spec.validate()
    spec.optimize()
    os.makedirs(output, exist_ok=True)
    spec.save(output)
    for name in ("tokenizer.json", "preprocessor_config.json"):
        if os.path.exists(hub.path(name)):
            shutil.copy(hub.path(name), output)


if __name__ == "__main__":
    main()
