"""A running `palabra serve` for the scripts beside this file: started on a free port, measured from /proc, stopped."""

import argparse
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

#: The service says where it listens; only loopback is ever asked for here.
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
#: Seconds until the service listens, and until it has gone after SIGTERM.
START_TIME, STOP_TIME = 60, 60
#: What the service keeps for the next request, it keeps for ten seconds.
REST = 13
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))


@dataclasses.dataclass
class Measure:
    """What the process holds at one moment."""

    rss: float
    threads: int
    files: int
    temporary: int

    def row(self, name):
        return f"| {name} | {self.rss:.0f} | {self.threads} | {self.files} | {self.temporary} |"


#: Stands above rows of `Measure.row`.
MEASURE_HEAD = "| when | RSS MiB | threads | open files | temporary files |\n|---|---|---|---|---|"


class Server:
    """`palabra serve` with settings and a folder for temporary files of its own; leaving the `with` stops it."""

    def __init__(self, binary, *flags, environment=None, cores=None):
        self.folder = tempfile.TemporaryDirectory(prefix="palabra-service-")
        self.uploads = os.path.join(self.folder.name, "uploads")
        self.settings = os.path.join(self.folder.name, "palabra.toml")
        self.log_path = os.path.join(self.folder.name, "log")
        os.mkdir(self.uploads)
        open(self.settings, "w", encoding="utf-8").close()
        command = [os.path.abspath(binary), "serve", "--host", "127.0.0.1", "--port", "0", "--config", self.settings, *flags]
        # Nothing that the caller's shell has set may change what is measured; models come from the cache alone.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PALABRA_") or name == "PALABRA_CACHE"}
        kept |= {"TMPDIR": self.uploads, "PALABRA_OFFLINE": "1"} | (environment or {})
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=kept)
        self.stopped = None
        try:
            self.port = self.wait_for_port()
        except BaseException:
            self.process.kill()
            self.process.wait()
            self.folder.cleanup()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def wait_for_port(self):
        end = time.monotonic() + START_TIME
        while time.monotonic() < end:
            found = ADDRESS.search(self.log())
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                sys.exit(f"palabra serve ended with exit code {self.process.returncode} before it listened:\n{self.log()}")
            time.sleep(0.05)
        sys.exit(f"palabra serve named no address within {START_TIME} s:\n{self.log()}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def alive(self):
        return self.process.poll() is None

    def measure(self):
        folder = f"/proc/{self.process.pid}"
        with open(f"{folder}/status", encoding="ascii") as lines:
            status = dict(line.split(":", 1) for line in lines)
        links = []
        for number in os.listdir(f"{folder}/fd"):
            try:
                links.append(os.readlink(f"{folder}/fd/{number}"))
            except FileNotFoundError:
                pass
        # A temporary file may have no name any more while it is still open.
        unnamed = sum(link.endswith(" (deleted)") and link.startswith(self.uploads) for link in links)
        named = sum(len(files) for _, _, files in os.walk(self.uploads))
        return Measure(int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), len(links), named + unnamed)

    def settled(self, seconds=10):
        """A measure once nothing computes and nothing is open any more, after `seconds` at most."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            busy = self.cpu_share(0.5)
            measure = self.measure()
            if busy < 0.05 and measure.temporary == 0:
                break
        return measure

    def rested(self):
        """A measure after a pause in which idle threads end and idle stages give their working memory back."""
        self.settled(30)
        time.sleep(REST)
        return self.measure()

    def cpu_seconds(self):
        """Processor seconds that it has used so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def cpu_share(self, seconds):
        """The share of all cores that it uses during the next `seconds`, 0 to 1."""
        before, start = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - start) / CORES

    def stop(self):
        """Asks it to end; its exit code, or None when it had to be killed."""
        if self.stopped is None:
            if self.alive():
                self.process.send_signal(signal.SIGTERM)
            try:
                self.stopped = (self.process.wait(STOP_TIME),)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                self.stopped = (None,)
        return self.stopped[0]


class Bounds:
    """Numbers against what they may be; the exit code says whether all held."""

    def __init__(self):
        self.rows, self.missed = [], []

    def check(self, name, value, bound, held):
        """Notes one number; `value` and `bound` are text."""
        self.rows.append(f"| {name} | {value} | {bound} | {'held' if held else 'MISSED'} |")
        if not held:
            self.missed.append(name)
        print(f"  {name}: {value} (bound: {bound}){'' if held else ' MISSED'}", flush=True)

    def note(self, name, value):
        """Notes one number that has no bound."""
        self.rows.append(f"| {name} | {value} | | |")
        print(f"  {name}: {value}", flush=True)

    def finish(self):
        print("\n| what | measured | bound | |\n|---|---|---|---|\n" + "\n".join(self.rows))
        print(f"\n{len(self.missed)} of the bounds missed: {', '.join(self.missed)}" if self.missed else "\nall bounds held", flush=True)
        return 1 if self.missed else 0


def check_end(server, bounds):
    """What holds at the end of every run: it lives, nothing panicked, nothing lies about, and it goes when it is asked to."""
    bounds.check("alive at the end", str(server.alive()), "True", server.alive())
    panics = server.log().count("panicked at")
    bounds.check("panics in the log", str(panics), "0", panics == 0)
    left = server.settled().temporary if server.alive() else -1
    bounds.check("temporary files at the end", str(left), "0", left == 0)
    code = server.stop()
    bounds.check("exit code after SIGTERM", str(code), "0", code == 0)


def parser(description):
    """The options that every script has."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--binary", default="target/release/palabra", help="the program (default: %(default)s)")
    result.add_argument("--data", help="a folder of reference recordings (manifest.jsonl); without it the sample of `palabra models` is used")
    result.add_argument("--model", default="base", help="the Whisper model of valid requests; it must be in the cache (default: %(default)s)")
    return result
