"""Writes aligner.safetensors: a small aligner head with random weights, what it is given, and what torch makes of it.

usage: generate_aligner.py (in an environment with tools/aligner/requirements.txt)
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools" / "aligner"))
from model import LABELS, TAPS, Head  # noqa: E402

STATES, POSITIONS = 32, 60

torch.manual_seed(7)
head = Head(width=16, mel_width=8, states=STATES).eval()
for parameter in head.parameters():
    torch.nn.init.normal_(parameter, std=0.3)
taps = torch.randn(2, len(TAPS), POSITIONS, STATES)
mel = torch.randn(2, 2 * POSITIONS, 80) * 0.5
with torch.no_grad():
    ctc, frame = head(taps, mel)
about = {"encoder": "any", "taps": TAPS, "labels": LABELS, "languages": ["en"], "start_offset": 0.0, "end_offset": 0.0, "before": 0.12, "after": 0.25}
tensors = {f"weights.{name}": tensor for name, tensor in head.state_dict().items()}
tensors |= {"given.taps": taps, "given.mel": mel, "expected.ctc": ctc, "expected.frame": frame}
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "aligner.safetensors", metadata={"palabra": json.dumps(about)})
