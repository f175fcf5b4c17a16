#!/usr/bin/env python3
"""Every route once as it is meant, then every kind of bad input to every route that takes audio. Exit code 1 when one answers wrongly.

usage: smoke.py [--binary PATH] [--data FOLDER] [--api PATH]

A service is started on loopback and a free port, and stopped. Good requests begin with the curl command that the replaced
service's README gives, word for word but for the port. Bad ones must get the right status, in the error shape of that API, as
one plain sentence; where a field is wrong, the error must name it. The table shows what each was told: read it.
At the end nothing that was said or given as a secret may stand in the service's log. Needs Python and curl; with --data also
`pip install -r requirements.txt`.
"""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import cases
import client
import server as service
from client import File
from speech import Speech

#: Uploads larger than this are refused here, so that an endless one need not be long.
LARGEST = 64 << 20
KEY, OLD_KEY = "palabra-test-key-1", "palabra-expired-key-2"
HUB_TOKEN = "hf_palabraTestToken3"
PROMPT = "Zanzibar prompt 4"
LEGACY_KEYS = {"language", "language_probability", "segments", "word_segments", "full_text", "options_used"}
OPTIONS_USED = {
    "model_name",
    "language_requested",
    "batch_size",
    "device",
    "compute_type",
    "alignment_performed",
    "diarization_performed",
    "alignment_requested_for_words",
    "alignment_performed_for_words",
    "diarization_requested",
    "diarization_speaker_turns_generated",
    "diarization_word_level_assigned",
    "word_level_timestamps_requested",
}
VERBOSE_SEGMENT = {"id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"}


def curl(server, path, model):
    """The command of the replaced service's README."""
    fields = [
        f"audio_file=@{path}",
        f"model_name={model}",
        "language=en",
        "align_audio=true",
        "diarize_audio=true",
        "min_speakers=1",
        "max_speakers=3",
    ]
    command = ["curl", "--silent", "--show-error", "--max-time", "300", "-X", "POST", f"http://localhost:{server.port}/transcribe/"]
    command += [word for field in fields for word in ("-F", field)]
    done = subprocess.run(command, capture_output=True, check=True)
    body = json.loads(done.stdout)
    missing = (LEGACY_KEYS | {"speaker_activity_segments"}) - set(body) | OPTIONS_USED - set(body.get("options_used", {}))
    words = [word for segment in body["segments"] for word in segment.get("words", [])]
    speakers = {word.get("speaker") for word in words} - {None}
    return (
        not missing and body["full_text"] and words and speakers,
        f"missing {sorted(missing)}" if missing else f"{len(words)} words, speakers {sorted(speakers)}: {body['full_text'][:60]}",
    )


def good_requests(server, wav, model):
    """(name, action); an action gives (whether it is right, what came)."""

    def post(path, check, *fields, name="file"):
        def run():
            reply = client.send(server, "POST", path, [(name, File(wav)), *fields])
            return reply.status == 200 and check(reply), f"{reply.status} {reply.body[:90].decode(errors='replace')}"

        return run

    def get(path, check):
        def run():
            reply = client.send(server, "GET", path)
            return reply.status == 200 and check(reply), f"{reply.status} {reply.body[:90].decode(errors='replace')}"

        return run

    def verbose(reply):
        body = reply.json()
        return body["language"] == "english" and body["words"] and all(VERBOSE_SEGMENT <= set(segment) for segment in body["segments"])

    def events(reply):
        kinds = [json.loads(line[6:])["type"] for line in reply.body.decode().splitlines() if line.startswith("data: {")]
        return "text/event-stream" in reply.headers["content-type"] and kinds[-1] == "transcript.text.done" and "transcript.text.delta" in kinds

    openai, asked = "/v1/audio/transcriptions", ("model", model)
    text = ("text", client.transcribe(server, wav, model).json()["full_text"])
    return [
        ("POST /transcribe without the slash", post("/transcribe", lambda r: LEGACY_KEYS <= set(r.json()), ("model_name", model), name="audio_file")),
        (
            "POST /transcribe/, secrets in its fields",
            post("/transcribe/", lambda r: r.json()["full_text"], ("hf_token", HUB_TOKEN), ("model_name", model), name="audio_file"),
        ),
        (
            "GET /health",
            get(
                "/health",
                lambda r: r.json()["status"] == "ok" and {"device_available", "device_in_use", "torch_version", "cuda_available"} <= set(r.json()),
            ),
        ),
        ("GET /ready", get("/ready", lambda r: model in r.body.decode())),
        ("GET /metrics", get("/metrics", lambda r: r.body.decode().rstrip().endswith("# EOF"))),
        ("GET /openapi.json", get("/openapi.json", lambda r: {"/transcribe/", openai, "/asr"} <= set(r.json()["paths"]))),
        ("GET /docs", get("/docs/", lambda r: "swagger" in r.body.decode().lower())),
        ("GET /v1/models", get("/v1/models", lambda r: any(model in entry["id"] for entry in r.json()["data"]))),
        ("GET /v1/models/whisper-1", get("/v1/models/whisper-1", lambda r: r.json()["object"] == "model")),
        ("json, unknown field", post(openai, lambda r: r.json()["text"], asked, ("shoe_size", "44"))),
        ("json, prompt", post(openai, lambda r: r.json()["text"], asked, ("prompt", PROMPT))),
        ("text", post(openai, lambda r: r.headers["content-type"].startswith("text/plain"), asked, ("response_format", "text"))),
        ("srt", post(openai, lambda r: b" --> " in r.body, asked, ("response_format", "srt"))),
        ("vtt", post(openai, lambda r: r.body.startswith(b"WEBVTT"), asked, ("response_format", "vtt"))),
        (
            "verbose_json with words",
            post(
                openai,
                verbose,
                asked,
                ("response_format", "verbose_json"),
                ("timestamp_granularities[]", "word"),
                ("timestamp_granularities[]", "segment"),
            ),
        ),
        ("diarized_json", post(openai, lambda r: r.json()["segments"][0]["speaker"] == "A", asked, ("response_format", "diarized_json"))),
        ("stream", post(openai, events, asked, ("stream", "true"))),
        ("logprobs", post(openai, lambda r: r.json()["logprobs"][0]["logprob"] <= 0, asked, ("include[]", "logprobs"))),
        ("model gpt-4o-transcribe-diarize", post(openai, lambda r: r.json()["text"], ("model", "gpt-4o-transcribe-diarize"))),
        ("translations", post("/v1/audio/translations", lambda r: r.json()["text"], asked)),
        ("/asr, text", post("/asr", lambda r: r.headers["content-type"].startswith("text/plain"), name="audio_file")),
        (
            "/asr, json with words",
            post("/asr?output=json&word_timestamps=true&language=en", lambda r: r.json()["segments"][0]["words"], name="audio_file"),
        ),
        ("/asr, srt", post("/asr?output=srt", lambda r: b" --> " in r.body, name="audio_file")),
        ("/detect-language", post("/detect-language", lambda r: r.json()["language_code"] == "en", name="audio_file")),
        ("alignments", post("/v1/audio/alignments", lambda r: r.json()["words"], asked, ("language", "en"), text)),
        ("diarizations", post("/v1/audio/diarizations", lambda r: r.json()["segments"][0]["speaker"])),
        ("diarizations, rttm", post("/v1/audio/diarizations", lambda r: r.body.startswith(b"SPEAKER "), ("response_format", "rttm"))),
    ]


class Table:
    """One line a case, printed as it comes."""

    def __init__(self):
        self.wrong = 0
        self.lines = 0
        print("| API | case | status | verdict | what was said |\n|---|---|---|---|---|", flush=True)

    def add(self, api, case, status, fault, said):
        self.lines += 1
        self.wrong += bool(fault)
        said = re.sub(r"\s+", " ", said).replace("|", "\\|")
        print(f"| {api} | {case} | {status} | {'WRONG: ' + fault if fault else 'right'} | {said[:200]} |", flush=True)


def run_bad(table, server, api, case, allowed, action, field=None):
    """Sends one bad request and judges the answer."""
    try:
        reply = action(server)
    except (OSError, http.client.HTTPException) as reason:
        table.add(api.path, case, "-", "no answer", f"{type(reason).__name__}: {reason}")
        return
    if reply is None:
        table.add(api.path, case, "closed", None if 0 in allowed else "closed without an answer", "")
        return
    fault = None if reply.status in allowed else f"not {' or '.join(map(str, sorted(allowed)))}"
    if reply.status < 400:
        table.add(api.path, case, reply.status, fault, reply.body[:120].decode(errors="replace"))
        return
    shape, said = (None, "") if case.endswith(cases.NO_ROUTE) else cases.shape_fault(api, reply)
    fault = fault or shape
    if field and not fault and field not in cases.blamed(api, reply):
        fault = f"does not name {field}"
    if reply.status == 413 and reply.seconds > 2 and "announced" in case:
        fault = fault or f"only after {reply.seconds:.1f} s"
    table.add(api.path, case, reply.status, fault, said)


def run_keys(table, arguments, wav):
    """A service with keys: without one, with a wrong one, with one that is no longer valid, with a right one."""
    with service.Server(arguments.binary, environment={"PALABRA_API_KEYS": KEY}) as server:
        for api in cases.apis(arguments.model):
            for case, header in (
                ("no key", {}),
                ("a wrong key", {"Authorization": "Bearer wrong"}),
                ("an expired key", {"Authorization": f"Bearer {OLD_KEY}"}),
                ("not Bearer", {"Authorization": f"Basic {KEY}"}),
            ):
                run_bad(table, server, api, case, {401}, lambda server, api=api, header=header: api.send(server, [File(wav)], headers=header))
        reply = cases.apis(arguments.model)[0].send(server, [File(wav)], headers={"Authorization": f"Bearer {KEY}"})
        table.add("/transcribe/", "the right key", reply.status, None if reply.status == 200 else "not 200", "")
        for path in ("/health", "/ready"):
            status = client.send(server, "GET", path).status
            table.add(path, "no key", status, None if status in (200, 503) else "not open", "")
        logged = [name for name, secret in (("key", KEY), ("expired key", OLD_KEY)) if secret in server.log()]
        table.add("log", "keys in it", "-", f"the {', '.join(logged)} is in the log" if logged else None, "")


def run_log(table, server, spoken):
    """Nothing that was said, asked or given as a secret is logged."""
    log = server.log()
    secrets = {"a hub token": HUB_TOKEN, "a prompt": PROMPT, "text of a file": "not a recording"}
    # Four words in a row are no accident.
    words = re.findall(r"[\w']+", spoken.lower())
    runs = {" ".join(words[i : i + 4]) for i in range(len(words) - 3)}
    found = [name for name, secret in secrets.items() if secret in log]
    found += ["a transcript"] if any(run in " ".join(re.findall(r"[\w']+", log.lower())) for run in runs) else []
    table.add("log", "secrets, prompts, transcripts in it", "-", f"{', '.join(found)} in the log" if found else None, f"{len(log)} bytes")


def run_good(table, server, wav, model):
    if shutil.which("curl"):
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(wav)
            file.flush()
            right, what = curl(server, file.name, model)
        table.add("/transcribe/", "the replaced service's curl command", 200 if right else "-", None if right else "not as it was", what)
    else:
        table.add("/transcribe/", "the replaced service's curl command", "-", "curl is not installed", "")
    for case, action in good_requests(server, wav, model):
        try:
            right, what = action()
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as reason:
            right, what = False, f"{type(reason).__name__}: {reason}"
        table.add("good", case, what.split(" ")[0], None if right else "not as promised", what)


def main():
    parser = service.parser(__doc__)
    parser.add_argument("--api", help="only bad input to this route, for instance /asr")
    arguments = parser.parse_args()
    speech = Speech(arguments.binary, arguments.data)
    wav, table, bounds = speech.wav(10), Table(), service.Bounds()
    with service.Server(arguments.binary, "--max-upload-bytes", str(LARGEST)) as server:
        if not arguments.api:
            run_good(table, server, wav, arguments.model)
        spoken = client.transcribe(server, wav, arguments.model).json()["full_text"]
        for api in cases.apis(arguments.model):
            if arguments.api in (None, api.path):
                for case in cases.bad_files(api, wav) + cases.bad_fields(api, wav) + cases.bad_requests(api, wav):
                    run_bad(table, server, api, *case)
        same = client.transcribe(server, wav, arguments.model).json()["full_text"] == spoken
        table.add("/transcribe/", "the first clip again", 200, None if same else "another text than before", "")
        escaped = [
            path
            for path in ("/tmp/palabra-was-here.wav", os.path.join(server.folder.name, "palabra-was-here.wav"), "palabra-was-here.wav")
            if os.path.exists(path)
        ]
        table.add("files", "written outside the temporary folder", "-", f"{escaped}" if escaped else None, "")
        run_log(table, server, spoken)
        print()
        service.check_end(server, bounds)
    if not arguments.api:
        print()
        run_keys(table, arguments, wav)
    bounds.check("answers that are wrong", f"{table.wrong} of {table.lines}", "0", table.wrong == 0)
    return bounds.finish()


if __name__ == "__main__":
    sys.exit(main())
