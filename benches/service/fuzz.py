#!/usr/bin/env python3
"""Requests that nobody should send, by the thousand: the service must answer each, and live. Exit code 1 when it does not.

usage: fuzz.py [--binary PATH] [--requests N] [--forms N] [--seed S]      the whole run
       fuzz.py --form I [--seed S]                                        one broken form again, with all of its answer

A service is started on loopback and a free port, and stopped. schemathesis reads /openapi.json and makes requests that fit it
and requests that do not; where a file is wanted it is given short real audio, or something that is none. Then valid forms are
broken: cut, boundaries and headers changed, lengths that lie, nested and duplicated parts, NULs, bytes that are no text, huge
headers, wrong types (all ways: mutations.py). No answer may be a 5xx but 503 and 504, nothing may hang, no connection may end
without an answer where the request was whole, and a valid request must get the same answer before and after.
Needs `pip install -r requirements.txt`.
"""

import collections
import concurrent.futures
import http.client
import sys

import cases
import client
import mutations
import server as service
from speech import Speech, silence

#: The documented answers of a service that is full or too late.
ALLOWED = {503, 504}
#: Fields without which no form is valid.
NEEDED = {"file", "audio_file", "model", "text"}
#: Seconds after which an answer counts as hanging.
HANGS = 60
#: Kinds of faults are shown, this many of each.
SHOWN = 5


class Tally:
    """Statuses that came, and what was wrong."""

    def __init__(self):
        self.statuses, self.faults, self.count = collections.Counter(), collections.defaultdict(list), 0

    def add(self, status, fault=None, how=""):
        self.count += 1
        self.statuses[status] += 1
        if fault:
            self.faults[fault].append(how)

    def print(self, name):
        print(f"\n{name}: {self.count} requests; " + ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items(), key=str)))
        for fault, hows in self.faults.items():
            print(f"  {fault}: {len(hows)}")
            print("".join(f"    {how}\n" for how in hows[:SHOWN]), end="", flush=True)


def nearly_valid(body, number, model):
    """The form with what it must have, a model that exists, and one more field: any text fits a document's `string`, but hardly any is
    a language or a format, and a form with many fields would never get past them."""
    others = sorted(set(body) - NEEDED)
    kept = NEEDED | ({others[number % len(others)]} if others else set())
    return {name: model if name == "model" else value for name, value in body.items() if name in kept}


def generated(server, arguments, files):
    """Requests by schemathesis, as many to each operation as it has variety for, until there are enough."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
    from schemathesis import GenerationMode
    from schemathesis.core.failures import FailureGroup
    from schemathesis.specs.openapi import checks as openapi

    chosen = strategies.sampled_from(files)
    schemathesis.openapi.format("binary", chosen)
    for kind in ("application/octet-stream", "audio/*", "audio/wav"):
        schemathesis.openapi.media_type(kind, chosen)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    conform = [openapi.status_code_conformance, openapi.content_type_conformance, openapi.response_schema_conformance]
    tally, conformance = Tally(), collections.defaultdict(list)

    def ask(case):
        if tally.count >= arguments.requests:
            return
        if tally.count % 2 and isinstance(case.body, dict):
            case.body = nearly_valid(case.body, tally.count // 2, arguments.model)
        try:
            answer = case.call(timeout=HANGS)
        except Exception as reason:  # Whatever the client library raises, there was no answer.
            tally.add("no answer", f"{type(reason).__name__} at {case.method} {case.path}", f"{case.as_curl_command()[:400]!r}")
            return
        bad = answer.status_code >= 500 and answer.status_code not in ALLOWED
        tally.add(
            answer.status_code,
            f"{answer.status_code} at {case.method} {case.path}" if bad else None,
            f"{case.as_curl_command()[:400]!r} -> {answer.content[:200]!r}",
        )
        try:
            case.validate_response(answer, checks=conform)
        except FailureGroup as failures:
            for failure in failures.exceptions:
                conformance[f"{case.method} {case.path}: {failure.title}"].append(f"{answer.status_code} {failure.message}"[:300])

    turn = 0
    while tally.count < arguments.requests:
        before = tally.count
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                options = settings(
                    max_examples=arguments.examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
                )
                try:
                    seed(arguments.seed + turn)(options(given(operation.as_strategy(generation_mode=mode))(ask)))()
                except Exception as reason:
                    if "Unsatisfiable" not in type(reason).__name__:
                        raise
                print(f"\r  {tally.count} of {arguments.requests} generated requests", end="", file=sys.stderr, flush=True)
        turn += 1
        if tally.count == before:
            sys.exit("schemathesis has nothing to send to this OpenAPI document")
    print(file=sys.stderr)
    return tally, conformance, len(operations)


def judge_form(server, apis, wavs, arguments, index):
    """(status, fault, how) of one broken form."""
    ways, request = mutations.mutated(apis, wavs, arguments.seed, index)
    how = f"{ways} at {request.path}: fuzz.py --seed {arguments.seed} --form {index}"
    try:
        reply = mutations.send(server, request, HANGS)
    except TimeoutError:
        return "hangs", "hangs", how
    except (OSError, http.client.HTTPException) as reason:
        return "no answer", type(reason).__name__, how
    if reply is None:
        # A request that ends before it is whole has nobody to answer to.
        return "closed", None, how
    bad = reply.status >= 500 and reply.status not in ALLOWED
    return reply.status, str(reply.status) if bad else None, f"{how} -> {reply.body[:160]!r}"


def broken_forms(server, apis, wavs, arguments):
    tally = Tally()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for status, fault, how in pool.map(lambda index: judge_form(server, apis, wavs, arguments, index), range(arguments.forms)):
            tally.add(status, fault, how)
            if tally.count % 100 == 0:
                print(f"\r  {tally.count} of {arguments.forms} broken forms", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return tally


def show_form(server, apis, wavs, arguments):
    ways, request = mutations.mutated(apis, wavs, arguments.seed, arguments.form)
    sent = request.bytes()
    print(f"{ways}, {len(sent)} bytes:\n{sent[:1500]!r}\n")
    reply = mutations.send(server, request, HANGS)
    print(
        "closed without an answer"
        if reply is None
        else f"{reply.status} after {reply.seconds:.2f} s\n{reply.headers}\n{reply.body.decode(errors='replace')}"
    )
    return 0


def main():
    parser = service.parser(__doc__)
    parser.add_argument("--requests", type=int, default=5000, help="requests by schemathesis (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=60, help="requests to one operation before the next one's turn (default: %(default)s)")
    parser.add_argument("--forms", type=int, default=2000, help="broken forms (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--form", type=int, help="send only this broken form and show the answer")
    arguments = parser.parse_args()
    speech, bounds = Speech(arguments.binary, arguments.data), service.Bounds()
    apis, wav = cases.apis(arguments.model), speech.wav(5)
    # Mostly short: what is tested is the door, not the model.
    wavs = [silence(0.3), silence(0.05), speech.wav(0.4), silence(0.2), speech.wav(1.5, 3)]
    with service.Server(arguments.binary) as server:
        if arguments.form is not None:
            return show_form(server, apis, wavs, arguments)
        before = client.transcribe(server, wav, arguments.model).json()
        if arguments.requests:
            tally, conformance, operations = generated(server, arguments, [*wavs, b"", b"no audio", bytes(range(256))])
            tally.print(f"schemathesis, {operations} operations")
            print("answers that the OpenAPI document does not foresee:" if conformance else "every answer is as the OpenAPI document says")
            for name, messages in conformance.items():
                print(f"  {name}: {len(messages)}, as {messages[0]!r}")
            bounds.check("generated requests sent", str(tally.count), str(arguments.requests), tally.count >= arguments.requests)
            bounds.check("generated requests answered wrongly", str(sum(map(len, tally.faults.values()))), "0", not tally.faults)
            wrong = sum(map(len, conformance.values()))
            bounds.check("answers that the OpenAPI document does not foresee", str(wrong), "0", wrong == 0)
        if arguments.forms:
            tally = broken_forms(server, apis, wavs, arguments)
            tally.print("broken forms")
            bounds.check("broken forms answered wrongly", f"{sum(map(len, tally.faults.values()))} of {tally.count}", "0", not tally.faults)
        after = client.transcribe(server, wav, arguments.model).json()
        bounds.check("a valid request gets the same answer as before", str(after == before), "True", after == before)
        service.check_end(server, bounds)
    return bounds.finish()


if __name__ == "__main__":
    sys.exit(main())
