"""The head as one safetensors file that says in its metadata what it reads and what its labels mean."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from alignment import AFTER, BEFORE
from model import ACCENTED, LABELS, TAPS, Head


LEAST_SCORE = {("en",): 0.45}
"""The mean score of a text's words below which it is not what is heard. 60 English recordings with their own text had 0.65
and more (but for one of four words), with the text of another 0.25 in the middle and 0.55 at most."""
ELSEWHERE = 0.3
"""The same for languages with less to go by: spontaneous French with its own text had 0.33 and more."""


def save(head: Head, path: Path, dtype: torch.dtype = torch.float16, languages: tuple[str, ...] = ("en",)):
    """Writes the weights and, as JSON under "palabra", what a reader has to know."""
    about = {
        "encoder": "whisper-base",
        "taps": TAPS,
        "labels": (LABELS + ACCENTED)[: head.ctc.out_features],
        "languages": list(languages),
        "start_offset": 0,
        "end_offset": 0,
        "before": BEFORE,
        "after": AFTER,
        "least_score": LEAST_SCORE.get(languages, ELSEWHERE),
    }
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in head.state_dict().items()}
    save_file(tensors, path, metadata={"palabra": json.dumps(about)})


def load(path: Path) -> Head:
    """The head of such a file; its widths are those of its tensors."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    blocks = {name.split(".")[1] for name in tensors if name.startswith("blocks.")}
    width, states = tensors["project.weight"].shape
    kernel = tensors["blocks.0.depthwise.weight"].shape[2]
    labels = tensors["ctc.weight"].shape[0]
    head = Head(width, tensors["mel.0.weight"].shape[0], len(blocks), kernel, states, labels)
    head.load_state_dict(tensors)
    return head.eval()
