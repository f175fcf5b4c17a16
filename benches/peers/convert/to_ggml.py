"""Writes a Whisper of the hub's layout as whisper.cpp wants it: to_ggml.py HUB_FOLDER f16|q8_0 OUTPUT_FILE

The file, all little-endian: magic, eleven numbers of the architecture, the mel filters, the tokens as bytes, then each tensor as
(dimensions, length of the name, type), its dimensions from the innermost outwards, its name, its numbers.
"""
import struct
import sys

import numpy

from hub import HubFolder

MAGIC = 0x67676D6C
#: ggml's numbers for the types of tensors.
F32, F16, Q8_0 = 0, 1, 8
#: ggml's numbers for files whose matrices have a type; quantized ones carry the version of the quantization in thousands.
FILE_TYPES = {"f16": 1, "q8_0": 2007}
RATE, WINDOW = 16000, 400
BLOCK = 32

#: Names inside a layer.
LAYER_NAMES = {
    "self_attn_layer_norm": "attn_ln", "encoder_attn_layer_norm": "cross_attn_ln", "final_layer_norm": "mlp_ln", "fc1": "mlp.0", "fc2": "mlp.2",
    **{f"{hub}.{part}_proj": f"{ggml}.{name}" for hub, ggml in (("self_attn", "attn"), ("encoder_attn", "cross_attn"))
       for part, name in (("q", "query"), ("k", "key"), ("v", "value"), ("out", "out"))},
}
#: Names outside the layers.
NAMES = {
    "encoder.embed_positions.weight": "encoder.positional_embedding", "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    **{f"{part}.layer_norm.{kind}": f"{part}.{norm}.{kind}" for part, norm in (("encoder", "ln_post"), ("decoder", "ln")) for kind in ("weight", "bias")},
}


def ggml_name(name):
    if ".layers." not in name:
        return NAMES.get(name, name)
    part, _, number, rest = name.split(".", 3)
    inner, kind = rest.rsplit(".", 1)
    return f"{part}.blocks.{number}.{LAYER_NAMES[inner]}.{kind}"


def mel_filters(bands):
    """Triangles on Slaney's mel scale (linear to 1 kHz, logarithmic above), each of unit area: (bands, frequencies), as Whisper was trained with."""
    step, knee = 200 / 3, 15.0
    to_mel = lambda hertz: hertz / step if hertz < 1000 else knee + 27 * numpy.log(hertz / 1000) / numpy.log(6.4)
    marks = numpy.linspace(0, to_mel(RATE / 2), bands + 2)
    edges = numpy.where(marks < knee, marks * step, 1000 * numpy.exp((marks - knee) * numpy.log(6.4) / 27))[:, None]
    frequencies = numpy.fft.rfftfreq(WINDOW, 1 / RATE)[None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return (numpy.maximum(0, numpy.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])).astype("<f4")


def byte_of_character():
    """Byte-level BPE spells bytes that do not print as characters from 256 upwards."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{chr(byte): byte for byte in plain}, **{chr(256 + place): byte for place, byte in enumerate(others)}}


def quantized(matrix):
    """Blocks of 32 neighbours: a float16 scale (the largest of them / 127), then 32 signed bytes."""
    blocks = matrix.astype(numpy.float32).reshape(-1, BLOCK)
    scales = numpy.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = numpy.divide(1, scales, out=numpy.zeros_like(scales), where=scales > 0)
    packed = numpy.empty(len(blocks), dtype=[("scale", "<f2"), ("bytes", "i1", BLOCK)])
    packed["scale"], packed["bytes"] = scales[:, 0], numpy.rint(blocks * inverse)
    return packed


def stored(name, tensor, kind):
    """(type, shape, numbers). Vectors and positions stay float32, convolutions float16; matrices are what the file is named after."""
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        return F32, (len(tensor), 1), tensor.astype("<f4")
    if tensor.ndim < 2 or name.endswith("positional_embedding"):
        return F32, tensor.shape, tensor.astype("<f4")
    if kind == "q8_0" and tensor.ndim == 2:
        return Q8_0, tensor.shape, quantized(tensor)
    return F16, tensor.shape, tensor.astype("<f2")


def write(hub, kind, file):
    config = hub.config
    sizes = [config["vocab_size"], config["max_source_positions"], config["d_model"], config["encoder_attention_heads"], config["encoder_layers"],
             config["max_target_positions"], config["d_model"], config["decoder_attention_heads"], config["decoder_layers"], config["num_mel_bins"]]
    file.write(struct.pack("<I11i", MAGIC, *sizes, FILE_TYPES[kind]))
    filters = mel_filters(config["num_mel_bins"])
    file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
    # whisper.cpp names the special tokens, which begin with the end of the text, itself.
    tokens = hub.tokens()
    tokens = tokens[:tokens.index("<|endoftext|>")]
    bytes_of = byte_of_character()
    file.write(struct.pack("<i", len(tokens)))
    for token in tokens:
        text = bytes(bytes_of[character] for character in token)
        file.write(struct.pack("<i", len(text)) + text)
    for name in hub.names():
        tensor, name = hub.tensor(name), ggml_name(name)
        number, shape, numbers = stored(name, tensor, kind)
        encoded = name.encode()
        file.write(struct.pack(f"<3i{len(shape)}i", len(shape), len(encoded), number, *reversed(shape)) + encoded + numbers.tobytes())


def main():
    source, kind, output = sys.argv[1:]
    with open(output, "wb") as file:
        write(HubFolder(source), kind, file)


if __name__ == "__main__":
    main()
