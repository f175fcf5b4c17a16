"""What the head reads: the encoder's states of Palabra itself, made by `examples/encoder_states.rs`."""

import json
import subprocess
from pathlib import Path

import numpy
import soundfile
from safetensors import safe_open

from corpora import RATE
from windows import Window

FRAMES_PER_SECOND = 50
WINDOW_FRAMES = 1500


def encode(windows: list[Window], folder: Path, program: str, batch: int = 50) -> list["Features"]:
    """Writes each window as a wav and its words as JSON, has the program encode those that are new, in batches."""
    folder.mkdir(parents=True, exist_ok=True)
    for window in windows:
        write(window, folder / f"{window.name}.wav")
    missing = [window.name for window in windows if not (folder / f"{window.name}.safetensors").exists()]
    for first in range(0, len(missing), batch):
        paths = folder / "paths.txt"
        paths.write_text("".join(f"{folder / name}.wav\n" for name in missing[first : first + batch]))
        subprocess.run([program, "--out", folder, f"@{paths}"], check=True, stdout=subprocess.DEVNULL)
        print(f"encoded {min(first + batch, len(missing))} of {len(missing)} windows", flush=True)
    return [Features(folder / f"{window.name}.safetensors") for window in windows]


def write(window: Window, sound: Path):
    """The window as a wav with its words beside it; features of other samples under its name are removed."""
    samples = numpy.round(window.samples * 32767).astype(numpy.int16)
    if not sound.exists() or not numpy.array_equal(soundfile.read(sound, dtype="int16")[0], samples):
        sound.with_suffix(".safetensors").unlink(missing_ok=True)
        soundfile.write(sound, samples, RATE)
    sound.with_suffix(".json").write_text(json.dumps(window.words))


class Features:
    """The states of one window on disk and its words; slices are read when they are needed."""

    def __init__(self, path: Path):
        self.path = path
        self.words = [tuple(word) for word in json.loads(path.with_suffix(".json").read_text())]

    def frames(self, first: int, last: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Taps (3, frames, 512) and log-mel (2 frames, 80) of the frames `first..last`, half precision."""
        with safe_open(self.path, framework="numpy") as file:
            taps = file.get_slice("taps")[:, first:last]
            mel = file.get_slice("mel")[2 * first : 2 * last]
        return taps, mel
