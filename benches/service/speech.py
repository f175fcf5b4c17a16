"""Real speech to send: cut from reference recordings where there are any, else from the sample that Palabra fetches."""

import io
import json
import os
import subprocess
import sys
import wave

RATE = 16_000
#: Bytes of one sample.
WIDTH = 2


class Speech:
    """Some minutes of English speech, 16 kHz, mono, 16 bits, of which any length can be had."""

    def __init__(self, binary, data=None):
        self.samples = joined(data) if data else sample(binary)

    def wav(self, seconds, number=0):
        """A WAV file of `seconds`. Another `number` gives another cut, so that no two requests are the same."""
        start = (number * 12_347) % (len(self.samples) // WIDTH) * WIDTH
        length = int(seconds * RATE) * WIDTH
        turns = (start + length) // len(self.samples) + 1
        return wav((self.samples * turns)[start : start + length])


def wav(samples, rate=RATE):
    """A WAV file of raw samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, WIDTH, rate, 0, "NONE", ""))
        writer.writeframes(samples)
    return file.getvalue()


def silence(seconds):
    return wav(bytes(int(seconds * RATE) * WIDTH))


def joined(folder):
    """English clips of one speaker with a transcript, one after the other: ten minutes, or what there is."""
    import soundfile

    parts, length = [], 0
    with open(os.path.join(folder, "manifest.jsonl"), encoding="utf-8") as lines:
        for recording in map(json.loads, lines):
            fits = recording.get("language") == "en" and recording.get("transcript") and not recording.get("constructed")
            if fits and recording["sample_rate"] == RATE and length < 600 * RATE * WIDTH:
                samples, _ = soundfile.read(os.path.join(folder, recording["path"]), dtype="int16")
                parts.append(samples.tobytes())
                length += len(parts[-1])
    if not parts:
        sys.exit(f"{folder} has no English clip of {RATE} Hz with a transcript")
    return b"".join(parts)


def sample(binary):
    """The speech of the sample that comes with Palabra, without the silence at its start."""
    cache = subprocess.run([binary, "models", "path"], check=True, capture_output=True, text=True).stdout.strip()
    path = os.path.join(cache, "models", "sample", "sample.wav")
    if not os.path.exists(path):
        sys.exit(f"no {path}: run `{binary} transcribe --sample` once, or name recordings with --data")
    with wave.open(path) as reader:
        return reader.readframes(reader.getnframes())[int(6.5 * RATE) * WIDTH :]
