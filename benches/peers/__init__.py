"""Palabra beside faster-whisper and whisper.cpp: the same weights, audio and cores; `python3 benches/peers --help`.

set_up.py makes the environments and the weights; `engines` says how each engine is called, `process` measures a call, `audio`
makes the file, `rounds` runs all in turn, `table` prints. What lies in `inside` and `convert` runs in the engines' own environments.
"""
