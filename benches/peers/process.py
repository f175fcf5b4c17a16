"""A command that runs on some processors only, and what it took."""
import os
import subprocess
import tempfile
import time


def split_arguments(words):
    """What stands before `--` is for the script, what stands after it for palabra."""
    return (words[:words.index("--")], words[words.index("--") + 1:]) if "--" in words else (words, [])


class Failed(Exception):
    """A command ended with an error; the message is the error that it named, or else the last thing it said."""


class Process:
    """A finished process: its standard output, wall and CPU seconds, seconds to the first output, peak memory in MiB."""

    def __init__(self, command, processors):
        # Each engine takes its threads from an option; this is for the libraries beneath it.
        threads = str(len(processors))
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), threads)
        with tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **limits}, preexec_fn=lambda: os.sched_setaffinity(0, processors))
            first = os.read(child.stdout.fileno(), 1 << 16)
            self.first_output = time.perf_counter() - start
            self.output = first + child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)
            self.wall = time.perf_counter() - start
            self.cpu = usage.ru_utime + usage.ru_stime
            self.memory = usage.ru_maxrss / 1024
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                errors.seek(0)
                said = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
                raise Failed(f"exit code {child.returncode}: " + next((line for line in said if line.startswith("error")), said[-1] if said else "it said nothing"))
