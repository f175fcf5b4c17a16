"""The head: three states of Whisper's encoder and its log-mel in, two rows of label probabilities a frame out."""

import torch
from torch import nn
from torch.nn import functional

LABELS = ["", "|", "'", *"abcdefghijklmnopqrstuvwxyz"]
"""Index = label; "" is CTC's blank, "|" what lies between words."""
ACCENTED = list("àáâãäçèéêëìíîïñòóôõöùúûüßœæ")
"""What German, Spanish, French, Italian and Portuguese write besides; a multilingual head has these labels behind."""
BLANK, BETWEEN = 0, 1
INDEX = {label: index for index, label in enumerate(LABELS + ACCENTED)}
TAPS = [2, 4, 6]


def labels_of(word: str) -> list[int]:
    """The labels of a word's characters."""
    return [INDEX[character] for character in word]


class Tap(nn.Module):
    """One encoder state, brought to a common scale."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, state):
        return self.norm(state)


class Block(nn.Module):
    """A depthwise convolution over time and a two-layer perceptron, added to what came in (ConvNeXt's order)."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, x):
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.contract(functional.gelu(self.expand(self.norm(y))))


class Head(nn.Module):
    """taps (batch, 3, frames, 512), mel (batch, 2 frames, 80) -> two log-probabilities (batch, frames, labels)."""

    def __init__(self, width: int = 192, mel_width: int = 96, blocks: int = 2, kernel: int = 9, states: int = 512,
                 labels: int = len(LABELS)):
        super().__init__()
        self.taps = nn.ModuleList(Tap(states) for _ in TAPS)
        self.mix = nn.Parameter(torch.zeros(len(TAPS)))
        self.project = nn.Linear(states, width)
        self.dropout = nn.Dropout(0.1)
        self.mel = nn.ModuleList(
            [nn.Conv1d(80, mel_width, 3, padding=1), nn.Conv1d(mel_width, width, 4, stride=2, padding=1)]
        )
        self.blocks = nn.ModuleList(Block(width, kernel) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.ctc = nn.Linear(width, labels)
        self.frame = nn.Linear(width, labels)

    def forward(self, taps, mel):
        weights = self.mix.softmax(0)
        mixed = sum(weight * tap(taps[:, index]) for index, (weight, tap) in enumerate(zip(weights, self.taps)))
        x = self.dropout(self.project(mixed))
        x = x + self.mel[1](functional.gelu(self.mel[0](mel.transpose(1, 2)))).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        x = self.dropout(self.norm(x))
        return self.ctc(x).log_softmax(-1), self.frame(x).log_softmax(-1)
