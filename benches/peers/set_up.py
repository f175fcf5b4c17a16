#!/usr/bin/env python3
"""Makes what the comparison needs under --prefix: an environment for the runner and one for each peer, and the peers' weights.

usage: set_up.py [--prefix target/peers] [--weights FOLDER] [--palabra target/release/palabra]

The weights are those that Palabra itself reads: a Whisper in the hub's layout, by default whisper-base in Palabra's cache (`palabra
models pull base`). whisper.cpp is built from source for this processor, which needs a C++ compiler; CMake comes from pip.
Needs Python 3.10 or newer with venv and nothing else. What is there already is kept; remove the folder to begin anew.
"""
import argparse
import os
import subprocess
import sys
import venv

HERE = os.path.dirname(os.path.abspath(__file__))
#: All that the processor has but AMX: ggml's products with it end in a segmentation fault, which is known upstream and open.
WHISPER_CPP = ("-DGGML_NATIVE=ON -DCMAKE_C_FLAGS=-U__AMX_INT8__ -DCMAKE_CXX_FLAGS=-U__AMX_INT8__ -DBUILD_SHARED_LIBS=OFF"
               " -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DWHISPER_BUILD_TESTS=OFF -DWHISPER_BUILD_EXAMPLES=OFF")


def environment(prefix, name):
    """A virtual environment with the pinned packages of requirements/NAME.txt."""
    folder, ready = os.path.join(prefix, name), os.path.join(prefix, name, "ready")
    if not os.path.exists(ready):
        print(f"environment {name}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        # A wheel from the cache might have been built for another processor.
        subprocess.run([python_of(prefix, name), "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-binary=pywhispercpp",
                        "--requirement", os.path.join(HERE, "requirements", name + ".txt")], check=True, env=dict(os.environ, CMAKE_ARGS=WHISPER_CPP))
        open(ready, "w").close()


def python_of(prefix, name):
    return os.path.join(prefix, name, "bin", "python")


def weights(prefix, source):
    folder = os.path.join(prefix, "weights")
    os.makedirs(folder, exist_ok=True)
    conversions = {"ctranslate2": ("faster-whisper", "to_ctranslate2.py", []), "ggml-f16.bin": ("whisper-cpp", "to_ggml.py", ["f16"]),
                   "ggml-q8_0.bin": ("whisper-cpp", "to_ggml.py", ["q8_0"])}
    for output, (name, script, options) in conversions.items():
        path = os.path.join(folder, output)
        if not os.path.exists(path):
            print(f"weights {output}", flush=True)
            subprocess.run([python_of(prefix, name), "-B", os.path.join(HERE, "convert", script), source, *options, path + ".partial"], check=True)
            os.replace(path + ".partial", path)


def default_weights(palabra):
    try:
        models = subprocess.run([palabra, "models", "path"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    except OSError:
        sys.exit(f"{palabra} is not there: build Palabra, name it with --palabra, or name a folder with --weights")
    return os.path.join(models, "models", "whisper-base")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", default="target/peers", help="(default: %(default)s)")
    parser.add_argument("--weights", help="a Whisper in the hub's layout")
    parser.add_argument("--palabra", default="target/release/palabra", help="(default: %(default)s)")
    arguments = parser.parse_args()
    source = arguments.weights or default_weights(arguments.palabra)
    if not os.path.exists(os.path.join(source, "model.safetensors")):
        sys.exit(f"{source} has no model.safetensors: fetch the model with `palabra models pull base`, or name a folder with --weights")
    for name in ("scoring", "faster-whisper", "whisper-cpp"):
        environment(arguments.prefix, name)
    weights(arguments.prefix, source)
    print(f"ready: {python_of(arguments.prefix, 'scoring')} benches/peers --help")


if __name__ == "__main__":
    main()
