#!/usr/bin/env python3
"""Seconds that an aligner's network takes, beside transformers' on the same weights and sound: the two in turn, several rounds.

usage: wav2vec2.py EMISSIONS MODEL_FOLDER AUDIO [--rounds 5] [--threads 2]

EMISSIONS is target/release/examples/emissions; AUDIO is at 16 kHz. MODEL_FOLDER may be one that
tests/golden/generate_wav2vec2.py has written. Prints the fastest and the median round of both, and their ratio.
Needs (pip, in a virtual environment): torch==2.8.0 transformers==4.57.6 safetensors==0.6.2 soundfile==0.13.1
"""
import argparse
import os
import statistics
import subprocess
import time

import soundfile
import torch
from transformers import AutoModelForCTC


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("emissions")
    parser.add_argument("model")
    parser.add_argument("audio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = AutoModelForCTC.from_pretrained(arguments.model).eval()
    samples, rate = soundfile.read(arguments.audio, dtype="float32")
    assert rate == 16000 and samples.ndim == 1
    values = torch.from_numpy((samples - samples.mean()) / (samples.var() + 1e-7) ** 0.5)[None]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(arguments.threads)}
    ours, theirs = [], []
    with torch.inference_mode():
        model(values)
        for _ in range(arguments.rounds):
            start = time.perf_counter()
            model(values).logits.log_softmax(-1)
            theirs.append(time.perf_counter() - start)
            command = [arguments.emissions, arguments.model, arguments.audio, "1"]
            output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            ours.append(float(output.splitlines()[-1].split(" s for ")[0]))
    for name, seconds in [("palabra", ours), ("transformers", theirs)]:
        print(f"{name}: fastest {min(seconds):.2f} s, median {statistics.median(seconds):.2f} s of {len(seconds)}")
    print(f"{len(samples) / rate:.1f} s of sound; transformers / palabra: {min(theirs) / min(ours):.2f} (fastest), "
          f"{statistics.median(theirs) / statistics.median(ours):.2f} (median)")


if __name__ == "__main__":
    main()
