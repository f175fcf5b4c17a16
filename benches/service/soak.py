#!/usr/bin/env python3
"""An hour of clients that are right, wrong, or gone: nothing may leak. Exit code 1 when something does.

usage: soak.py [--binary PATH] [--minutes 60] [--every 5] [--clients 6] [--seed S]

A service is started on loopback and a free port, and stopped. Clients send, in random order and without a pause: recordings of
1 to 20 s to every route, streams, bad input of every kind (cases.py), and requests that they abandon at a random moment of the
upload, of the wait for an answer, or of the stream; connections end with a reset as often as properly. There is less room than
clients, so that some are refused. Every few minutes all of them pause, and memory, threads, open files and temporary files are
measured once the service has come to rest. The first of these measures, after the warm-up, is what the last one is compared
with. Answers may be anything but a 5xx other than 503 and 504. Needs nothing but Python; with --data also `pip install -r requirements.txt`.
"""

import collections
import http.client
import random
import socket
import struct
import sys
import threading
import time

import cases
import client
import server as service
from client import File
from speech import Speech

#: The documented answers of a service that is full or too late.
ALLOWED = {503, 504}
MEMORY_SHARE = 1.1
#: Threads and open files that may be there besides those of the first measure: idle connections, a resting pool.
SPARE = 2
OPENAI = "/v1/audio/transcriptions"


class Clients:
    """Threads that send one request after the other, and can be told to pause."""

    def __init__(self, server, arguments, speech):
        self.server, self.arguments, self.speech = server, arguments, speech
        self.apis = cases.apis(arguments.model)
        self.may_run, self.over, self.lock = threading.Event(), threading.Event(), threading.Lock()
        self.active, self.answers, self.faults = 0, collections.Counter(), []
        self.threads = [threading.Thread(target=self.run, args=(random.Random(f"{arguments.seed}/{number}"),)) for number in range(arguments.clients)]
        for thread in self.threads:
            thread.start()

    def run(self, dice):
        kinds = [
            self.valid,
            self.valid,
            self.stream,
            self.invalid,
            self.invalid,
            self.leave_upload,
            self.leave_wait,
            self.leave_wait,
            self.leave_stream,
            self.look,
        ]
        while not self.over.is_set():
            self.may_run.wait()
            with self.lock:
                self.active += 1
            action = dice.choice(kinds)
            try:
                what = action(dice)
            except (OSError, http.client.HTTPException) as reason:
                what = type(reason).__name__
                self.fault(f"{action.__name__}: {what}: {reason}")
            with self.lock:
                self.active -= 1
                self.answers[f"{action.__name__}: {what}"] += 1

    def fault(self, text):
        if self.server.alive():
            self.faults.append(text)

    def judged(self, reply, what):
        """The status, noted as a fault when the service may not answer so."""
        if reply.status >= 500 and reply.status not in ALLOWED or reply.status == 429 and not reply.is_refusal():
            self.fault(f"{reply.status} to {what}: {reply.body[:200]!r}")
        return reply.status

    def wav(self, dice):
        return self.speech.wav(dice.choice([1, 3, 5, 10, 20]), dice.randrange(1 << 20))

    def valid(self, dice):
        api = dice.choice(self.apis)
        return self.judged(api.send(self.server, [File(self.wav(dice))]), f"a valid request to {api.path}")

    def stream(self, dice):
        fields = [("file", File(self.wav(dice))), ("model", self.arguments.model), ("stream", "true")]
        reply = client.send(self.server, "POST", OPENAI, fields)
        if reply.status == 200 and b"transcript.text.done" not in reply.body:
            self.fault(f"a stream without an end: {reply.body[-200:]!r}")
        return self.judged(reply, "a stream")

    def invalid(self, dice):
        api, wav = dice.choice(self.apis), self.speech.wav(1)
        cases_of_api = (
            cases.bad_files(api, wav)
            + cases.bad_fields(api, wav)
            + [case for case in cases.bad_requests(api, wav) if "without a length" not in case[0]]
        )
        case = dice.choice(cases_of_api)
        reply = case[2](self.server)
        return "closed" if reply is None else self.judged(reply, f"{case[0]} at {api.path}")

    def look(self, dice):
        path = dice.choice(["/health", "/ready", "/metrics", "/openapi.json", "/v1/models", "/docs/", "/nowhere"])
        return self.judged(client.send(self.server, "GET", path), path)

    def opened(self, dice, share, path=None, more=()):
        """A connection over which this share of a valid request was sent."""
        api = dice.choice(self.apis)
        target, fields = (path, list(more)) if path else api.target({})
        headers, body = client.form([("file" if path else api.file, File(self.wav(dice))), *fields])
        line = client.connect(self.server)
        content = client.head("POST", target, headers | {"Content-Length": len(body), "Connection": "close"}) + body
        try:
            line.sendall(content[: int(len(content) * share)])
        except (BrokenPipeError, ConnectionResetError):
            pass  # It was refused before it was whole.
        return line

    def leave(self, dice, line):
        """Ends a connection, properly or with a reset."""
        if dice.random() < 0.5:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
        return "left"

    def leave_upload(self, dice):
        line = self.opened(dice, dice.random())
        time.sleep(dice.choice([0, 0.05, 0.5]))
        return self.leave(dice, line)

    def leave_wait(self, dice):
        line = self.opened(dice, 1)
        time.sleep(dice.choice([0, 0.01, 0.1, 0.5, 1, 2]) * dice.random())
        return self.leave(dice, line)

    def leave_stream(self, dice):
        line = self.opened(dice, 1, OPENAI, [("model", self.arguments.model), ("stream", "true")])
        try:
            for _ in range(dice.randint(1, 3)):
                if not line.recv(dice.choice([1, 50, 4000])):
                    break
        except ConnectionResetError:
            pass  # It was refused before it was whole.
        return self.leave(dice, line)

    def pause(self):
        """Waits until no client sends."""
        self.may_run.clear()
        while self.active:
            time.sleep(0.1)

    def end(self):
        self.over.set()
        self.may_run.set()
        for thread in self.threads:
            thread.join()


def rested(server, clients):
    """A measure with no client there."""
    clients.pause()
    measure = server.rested()
    clients.may_run.set()
    return measure


def soak(server, arguments, speech, bounds):
    wav = speech.wav(10)
    text = client.transcribe(server, wav, arguments.model).json()["full_text"]
    print(service.MEASURE_HEAD)
    print(server.settled().row("before any client"), flush=True)
    clients = Clients(server, arguments, speech)
    measures, start = [], time.monotonic()
    try:
        clients.may_run.set()
        # The warm-up: every kind of request has come some times.
        wait, minutes = min(arguments.every, arguments.minutes / 4), 0
        while minutes < arguments.minutes and server.alive():
            clients.over.wait(wait * 60)
            measures.append(rested(server, clients))
            minutes = (time.monotonic() - start) / 60
            print(measures[-1].row(f"after {minutes:.0f} min, {sum(clients.answers.values())} requests"), flush=True)
            wait = max(0.05, min(arguments.every, arguments.minutes - minutes))
    finally:
        clients.end()
    last = service.Measure(0, 0, 0, -1) if not server.alive() else server.rested()
    print(last.row("at the end"), flush=True)
    print("\nAnswers: " + ", ".join(f"{name} x {count}" for name, count in sorted(clients.answers.items())) + "\n")
    first = measures[0]
    bounds.note("requests", str(sum(clients.answers.values())))
    bounds.check("wrong answers", str(len(clients.faults)) + "".join(f"; {fault}" for fault in clients.faults[:5]), "0", not clients.faults)
    bounds.check("RSS at the end / after the warm-up", f"{last.rss / first.rss:.2f}", f"< {MEMORY_SHARE}", last.rss / first.rss < MEMORY_SHARE)
    bounds.check("threads more than after the warm-up", str(last.threads - first.threads), f"<= {SPARE}", last.threads - first.threads <= SPARE)
    bounds.check("open files more than after the warm-up", str(last.files - first.files), f"<= {SPARE}", last.files - first.files <= SPARE)
    same = client.transcribe(server, wav, arguments.model).json()["full_text"] == text
    bounds.check("the first request gets the same text as before", str(same), "True", same)


def main():
    parser = service.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: %(default)s)")
    parser.add_argument("--every", type=float, default=5, help="minutes between measures (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    speech, bounds = Speech(arguments.binary, arguments.data), service.Bounds()
    with service.Server(arguments.binary, "--max-requests", str(max(1, arguments.clients - 2))) as server:
        soak(server, arguments, speech, bounds)
        service.check_end(server, bounds)
    return bounds.finish()


if __name__ == "__main__":
    sys.exit(main())
