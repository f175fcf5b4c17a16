#!/usr/bin/env python3
"""The service under load: does it stay quick, fair and whole? Prints numbers against their bounds; exit code 1 when one is missed.

usage: load.py [--binary PATH] [--data FOLDER] [--only PART,...]

It starts the service itself, on loopback and a free port, and stops it. The parts, each with a service of its own:

  health   GET /health while every core transcribes: the 99th percentile stays under 10 ms
  batch    8 short requests at once take well under 8 times one (under 0.8 of that)
  fair     a clip of 10 s sent while an hour is transcribed comes back within 3 times its time alone; the hour's client then
           leaves, and the work for it ends soon after
  flood    200 clips of 10 s at once where 32 requests fit: each gets its transcript or a clean refusal with Retry-After, no
           connection hangs or breaks, memory comes back once the service has rested. It is run twice: the first flood warms
           up, and memory after the second is compared with memory after the first (what an allocator keeps, it keeps once)

Run it on a machine that does nothing else. Needs nothing but Python; with --data also `pip install -r requirements.txt`.
"""

import collections
import select
import statistics
import sys
import threading
import time

import client
import server as service
from speech import Speech

CLIP = 10
FLOOD, ROOM = 200, 32
#: Bounds of the parts, in the order of the text above.
HEALTH_MS, BATCH_SHARE, FAIR_TIMES, MEMORY_SHARE = 10, 0.8, 3, 1.1
#: Seconds until work for a client that has left must have ended.
LEAVE_TIME = 10


def warm(server, arguments, speech):
    """Loads the models and shows that a transcript comes."""
    reply = client.transcribe(server, speech.wav(CLIP), arguments.model)
    if reply.status != 200 or not reply.json()["full_text"].strip():
        sys.exit(f"a clip of {CLIP} s got {reply.status}: {reply.body[:300]!r}")


def health(arguments, speech, bounds):
    with service.Server(arguments.binary) as server:
        warm(server, arguments, speech)
        alone = health_times(server, 5)
        over = threading.Event()
        wav = speech.wav(60)

        def work():
            while not over.is_set():
                client.transcribe(server, wav, arguments.model)

        workers = [threading.Thread(target=work) for _ in range(service.CORES + 1)]
        for worker in workers:
            worker.start()
        time.sleep(2)
        cpu, start = server.cpu_seconds(), time.monotonic()
        busy = health_times(server, arguments.seconds)
        share = (server.cpu_seconds() - cpu) / (time.monotonic() - start) / service.CORES
        over.set()
        for worker in workers:
            worker.join()
        for name, times in (("idle", alone), ("all cores busy", busy)):
            middle, high = client.quantile(times, 0.5), client.quantile(times, 0.99)
            bounds.note(f"/health {name}: p50, max of {len(times)}", f"{middle:.2f}, {max(times):.2f} ms")
            bounds.check(f"/health {name}: p99", f"{high:.2f} ms", f"< {HEALTH_MS} ms", high < HEALTH_MS)
        bounds.check("share of the cores that transcribed meanwhile", f"{share:.2f}", "> 0.8", share > 0.8)
        service.check_end(server, bounds)


def health_times(server, seconds):
    """Milliseconds of one GET /health after another, each on a connection of its own, 50 a second."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        reply = client.send(server, "GET", "/health", timeout=10)
        if reply.status != 200:
            sys.exit(f"GET /health got {reply.status}: {reply.body[:300]!r}")
        times.append(reply.seconds * 1000)
        time.sleep(0.02)
    return times


def at_once(actions):
    """Results of the actions, all started together, each in a thread of its own."""
    results = [None] * len(actions)
    gate = threading.Barrier(len(actions))

    def run(index):
        gate.wait()
        results[index] = actions[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def batch(arguments, speech, bounds):
    with service.Server(arguments.binary) as server:
        warm(server, arguments, speech)
        shares, alone, together = [], [], []
        for turn in range(arguments.rounds):
            wavs = [speech.wav(CLIP, turn * 8 + number) for number in range(8)]
            # The same eight clips one after the other and at once, so that what is said in them does not matter.
            start = time.perf_counter()
            replies = [client.transcribe(server, wav, arguments.model) for wav in wavs]
            one_by_one = time.perf_counter() - start
            start = time.perf_counter()
            replies += at_once([lambda wav=wav: client.transcribe(server, wav, arguments.model) for wav in wavs])
            both = time.perf_counter() - start
            if any(reply.status != 200 for reply in replies):
                sys.exit(f"8 requests got {[reply.status for reply in replies]}")
            texts = [reply.json()["full_text"] for reply in replies]
            bounds.check(
                f"round {turn + 1}: texts that differ between alone and together",
                str(sum(a != b for a, b in zip(texts[:8], texts[8:]))),
                "0",
                texts[:8] == texts[8:],
            )
            alone.append(one_by_one)
            together.append(both)
            shares.append(both / one_by_one)
        bounds.note("8 clips of 10 s one after the other, median", f"{statistics.median(alone):.2f} s")
        bounds.note("8 clips of 10 s at once, median", f"{statistics.median(together):.2f} s")
        share = statistics.median(shares)
        bounds.check("at once / one after the other, median of rounds", f"{share:.2f}", f"< {BATCH_SHARE}", share < BATCH_SHARE)
        service.check_end(server, bounds)


def fair(arguments, speech, bounds):
    with service.Server(arguments.binary) as server:
        warm(server, arguments, speech)
        clips = [speech.wav(CLIP, number) for number in range(5)]
        alone = [client.transcribe(server, wav, arguments.model).seconds for wav in clips]
        headers, body = client.form([("audio_file", client.File(speech.wav(3600))), ("model_name", arguments.model), ("language", "en")])
        hour = client.connect(server)
        hour.sendall(client.head("POST", "/transcribe/", headers | {"Content-Length": len(body)}) + body)
        time.sleep(5)
        beside = []
        for wav in clips:
            beside.append(client.transcribe(server, wav, arguments.model).seconds)
        answered = bool(select.select([hour], [], [], 0)[0])
        bounds.check("the hour is still at work after the last clip", str(not answered), "True", not answered)
        hour.close()
        start = time.monotonic()
        while server.cpu_share(0.25) > 0.1 and time.monotonic() - start < 60:
            pass
        left = time.monotonic() - start
        bounds.note("10 s clip alone: median, max", f"{statistics.median(alone):.2f}, {max(alone):.2f} s")
        bounds.note("10 s clip beside an hour: median, max", f"{statistics.median(beside):.2f}, {max(beside):.2f} s")
        times = statistics.median(b / a for a, b in zip(alone, beside))
        worst = max(b / a for a, b in zip(alone, beside))
        bounds.check("beside the hour / alone, median of clips", f"{times:.2f}", f"< {FAIR_TIMES}", times < FAIR_TIMES)
        bounds.check("beside the hour / alone, worst clip", f"{worst:.2f}", f"< {FAIR_TIMES}", worst < FAIR_TIMES)
        bounds.check("seconds of work after the hour's client left", f"{left:.1f}", f"< {LEAVE_TIME}", left < LEAVE_TIME)
        service.check_end(server, bounds)


def one_of_flood(server, wav, model):
    """'200', '429', '503', or what is wrong with the answer."""
    try:
        reply = client.transcribe(server, wav, model)
    except (OSError, client.http.client.HTTPException) as reason:
        return f"{type(reason).__name__}: {reason}"
    if reply.status == 200:
        return "200" if "full_text" in reply.json() else "200 without a transcript"
    return str(reply.status) if reply.is_refusal() else f"{reply.status} Retry-After {reply.headers.get('retry-after')}"


def flood(arguments, speech, bounds):
    with service.Server(arguments.binary, "--max-requests", str(ROOM)) as server:
        warm(server, arguments, speech)
        measures = [("warm", server.rested())]
        for turn in ("first", "second"):
            wavs = [speech.wav(CLIP, number) for number in range(FLOOD)]
            start = time.perf_counter()
            results = collections.Counter(at_once([lambda wav=wav: one_of_flood(server, wav, arguments.model) for wav in wavs]))
            seconds = time.perf_counter() - start
            measures.append((f"after the {turn} flood", server.rested()))
            print(f"  {turn} flood, {seconds:.1f} s: " + ", ".join(f"{count} x {result}" for result, count in results.most_common()))
            clean = sum(results[result] for result in ("200", "429", "503"))
            bounds.check(
                f"{turn} flood: clean answers", f"{clean} of {FLOOD} ({results['200']} x 200)", str(FLOOD), clean == FLOOD and results["200"] >= ROOM
            )
        print("\n" + "\n".join([service.MEASURE_HEAD] + [measure.row(when) for when, measure in measures]) + "\n")
        share = measures[2][1].rss / measures[1][1].rss
        bounds.check("RSS after the second flood / after the first", f"{share:.2f}", f"< {MEMORY_SHARE}", share < MEMORY_SHARE)
        bounds.note("RSS after the second flood / before any", f"{measures[2][1].rss / measures[0][1].rss:.2f}")
        files = measures[2][1].files - measures[1][1].files
        bounds.check("open files more than after the first flood", str(files), "<= 0", files <= 0)
        warm(server, arguments, speech)
        service.check_end(server, bounds)


PARTS = {"health": health, "batch": batch, "fair": fair, "flood": flood}


def main():
    parser = service.parser(__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="how long /health is asked while all cores work (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the part batch (default: %(default)s)")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if not set(names) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    speech, bounds = Speech(arguments.binary, arguments.data), service.Bounds()
    for name in names:
        print(f"\n{name}", flush=True)
        PARTS[name](arguments, speech, bounds)
    return bounds.finish()


if __name__ == "__main__":
    sys.exit(main())
