"""The contract suite of OpenAI's audio API: the unmodified `openai` package against a running Palabra.

    python -m venv venv && venv/bin/pip install -r tests/clients/requirements.txt
    venv/bin/python tests/clients/openai_contract.py --binary target/release/palabra

With --binary it starts services on ports that the system chooses, one of them with a key and tight limits, and ends them
when it is done. With --url it uses a service that runs already and leaves out what needs other settings. It prints one
line a check and exits with 1 when one fails. The recording (--audio: a 16-bit WAV of at least two people who speak
English) is the published sample of `palabra models path sample` where a binary is given.
"""

import argparse
import asyncio
import base64
import contextlib
import http.client
import io
import json
import logging
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import warnings
import wave

import openai
from openai.types import Model
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    TranslationVerbose,
)

KEY = "sesame-open"
START_SECONDS = 60
WORK_SECONDS = 300
ERROR_KEYS = {"message", "type", "param", "code"}
ALIASES = ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"]


class Service:
    """A Palabra on a port that the system chose; ends with the `with` block."""

    def __init__(self, binary, *flags, **environment):
        self.command = [binary, "serve", "--port", "0", *flags]
        self.environment = {**os.environ, **environment}

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment, text=True
        )
        timer = threading.Timer(START_SECONDS, self.process.kill)
        timer.start()
        try:
            for line in self.process.stdout:
                found = re.search(r"http://[\w.:\[\]]+", line)
                if found:
                    self.url = found.group()
                    return self
        finally:
            timer.cancel()
        raise RuntimeError(f"{' '.join(self.command)} told no address; it ended with {self.process.wait()}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Recording:
    """Pieces of a WAV file."""

    def __init__(self, path):
        with wave.open(str(path), "rb") as file:
            self.parameters = file.getparams()
            self.frames = file.readframes(file.getnframes())
        self.seconds = self.parameters.nframes / self.parameters.framerate

    def cut(self, start, end):
        """The bytes of a WAV file from `start` to `end` seconds."""
        width = self.parameters.sampwidth * self.parameters.nchannels
        first, last = (int(time * self.parameters.framerate) * width for time in (start, end))
        output = io.BytesIO()
        with wave.open(output, "wb") as file:
            file.setparams(self.parameters)
            file.writeframes(self.frames[first:last])
        return output.getvalue()

    def whole(self):
        return self.cut(0, self.seconds)

    def repeated(self, times):
        """The same again and again."""
        longer = Recording.__new__(Recording)
        longer.parameters, longer.frames, longer.seconds = self.parameters, self.frames * times, self.seconds * times
        return longer.whole()


class Suite:
    """Runs checks, a line each."""

    def __init__(self, url, recording):
        self.url, self.recording = url, recording
        self.short = recording.cut(0, min(10.0, recording.seconds))
        self.short_seconds = min(10.0, recording.seconds)
        self.sent = 0
        self.failed = []
        self.client = self.connect(url)

    def connect(self, url, key=KEY, **options):
        count = openai.DefaultHttpxClient(event_hooks={"request": [self.count]}, timeout=WORK_SECONDS)
        return openai.OpenAI(base_url=f"{url}/v1", api_key=key, http_client=count, **options)

    def count(self, _request):
        self.sent += 1

    def check(self, name, body):
        started = time.monotonic()
        try:
            note = body()
        except Exception as error:  # a check may fail in any way
            self.failed.append(name)
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} (line {where.lineno}: {where.line})"
            print(f"FAIL {name}: {' '.join(reason.split())[:400]}", flush=True)
        else:
            seconds = time.monotonic() - started
            print(f"ok   {name} [{seconds:.1f} s]{f': {note}' if note else ''}", flush=True)

    def file(self, data=None):
        return ("speech.wav", self.short if data is None else data)

    def create(self, client=None, **options):
        options = {"file": self.file(), "model": "whisper-1", **options}
        return (client or self.client).audio.transcriptions.create(**options)

    def raw(self, kind, **options):
        """The parsed answer, its JSON checked against the package's own type, member for member."""
        options = {"file": self.file(), "model": "whisper-1", **options}
        raw = self.client.audio.transcriptions.with_raw_response.create(**options)
        parsed = raw.parse()
        assert type(parsed) is kind, f"{type(parsed)} is not {kind}"
        kind.model_validate(json.loads(raw.text))
        return parsed

    def refuse(self, kind, status, act, param=None, code=None):
        """`act` fails with this kind of error, after one request, in the shape that clients read."""
        before = self.sent
        try:
            act()
        except openai.APIStatusError as error:
            assert type(error) is kind, f"{type(error).__name__}: {error}"
            assert error.status_code == status, error.status_code
            body = error.response.json()["error"]
            assert set(body) == ERROR_KEYS, body
            assert isinstance(body["message"], str) and isinstance(body["type"], str), body
            assert error.param == param, f"param {error.param}: {error}"
            assert error.code == code, f"code {error.code}: {error}"
            assert error.request_id, "no x-request-id"
            assert self.sent - before == 1, f"{self.sent - before} requests"
            return f"{status} {body['type']}: {body['message']}"
        raise AssertionError("nothing was refused")

    def inside(self):
        """Requests that the service counts as waiting or running."""
        address = urllib.parse.urlparse(self.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=WORK_SECONDS)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        return int(float(re.search(r"^palabra_queue_requests (\S+)$", page, re.M).group(1)))

    def conclude(self):
        self.client.close()
        print(f"{len(self.failed)} failed" + "".join(f"\n  {name}" for name in self.failed) if self.failed else "all passed")
        return 1 if self.failed else 0


def formats(suite):
    def plain_json():
        found = suite.raw(Transcription)
        assert len(found.text.split()) > 5 and found.text == found.text.strip(), found.text
        assert found.usage.type == "duration" and found.usage.seconds == math.ceil(suite.short_seconds), found.usage
        assert found.logprobs is None
        suite.text = found.text
        return found.text

    def text():
        found = suite.create(response_format="text")
        assert type(found) is str and found == suite.text + "\n", found

    def srt():
        found = suite.create(response_format="srt")
        assert type(found) is str and found.startswith("1\n00:00:"), found[:40]
        times = re.findall(r"^(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})$", found, re.M)
        assert times and all(start < end for start, end in times), times

    def vtt():
        found = suite.create(response_format="vtt")
        assert type(found) is str and found.startswith("WEBVTT\n\n"), found[:40]
        assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} --> ", found, re.M), found

    suite.check("json", plain_json)
    suite.check("text", text)
    suite.check("srt", srt)
    suite.check("vtt", vtt)


def verbose(suite):
    def whole(found):
        assert found.language == "english" and abs(found.duration - suite.short_seconds) < 0.1, found
        assert found.text == suite.text, found.text

    def segments():
        found = suite.raw(TranscriptionVerbose, response_format="verbose_json", language="en")
        whole(found)
        assert found.words is None and found.segments, found
        assert [segment.id for segment in found.segments] == list(range(len(found.segments)))
        assert " ".join(segment.text for segment in found.segments) == found.text
        assert all(0 <= s.start < s.end <= found.duration + 0.01 and s.tokens and s.avg_logprob < 0 for s in found.segments)
        assert all(0 <= s.no_speech_prob <= 1 and s.compression_ratio > 0 and s.temperature == 0 for s in found.segments)
        assert found.usage.seconds == math.ceil(suite.short_seconds)

    def words():
        found = suite.raw(TranscriptionVerbose, response_format="verbose_json", timestamp_granularities=["word"])
        whole(found)
        assert found.segments is None and " ".join(word.word for word in found.words) == found.text, found.words
        assert all(0 <= word.start < word.end <= found.duration + 0.01 for word in found.words)
        assert all(a.start <= b.start for a, b in zip(found.words, found.words[1:]))
        return f"{len(found.words)} words"

    def both():
        wanted = ["word", "segment"]
        found = suite.raw(TranscriptionVerbose, response_format="verbose_json", timestamp_granularities=wanted)
        assert found.segments and found.words

    def repeated_name():
        # As curl and older clients write it: the bare name.
        extra = {"timestamp_granularities": "word"}
        found = suite.create(response_format="verbose_json", extra_body=extra)
        assert found.words and found.segments is None

    suite.check("verbose_json: segments by default", segments)
    suite.check("verbose_json: words", words)
    suite.check("verbose_json: words and segments", both)
    suite.check("verbose_json: granularity without brackets", repeated_name)


def tokens_spell(logprobs, text):
    """Whether the bytes of the tokens are the text and the probabilities are probabilities."""
    spelled = bytes(byte for entry in logprobs for byte in map(int, entry.bytes)).decode()
    assert " ".join(spelled.split()) == text, f"{spelled!r} is not {text!r}"
    assert all(entry.logprob <= 0 and isinstance(entry.token, str) for entry in logprobs)
    return f"{len(logprobs)} tokens"


def logprobs(suite):
    def listed():
        found = suite.raw(Transcription, include=["logprobs"], model="gpt-4o-transcribe")
        return tokens_spell(found.logprobs, found.text)

    def streamed():
        events = list(suite.create(include=["logprobs"], stream=True))
        deltas = [entry for event in events if event.type == "transcript.text.delta" for entry in event.logprobs]
        assert deltas == events[-1].logprobs or [d.token for d in deltas] == [d.token for d in events[-1].logprobs]
        return tokens_spell(events[-1].logprobs, events[-1].text)

    suite.check("include[]=logprobs", listed)
    suite.check("include[]=logprobs in a stream", streamed)


EVENTS = {
    "transcript.text.delta": TranscriptionTextDeltaEvent,
    "transcript.text.segment": TranscriptionTextSegmentEvent,
    "transcript.text.done": TranscriptionTextDoneEvent,
}


def read(events):
    """The events of a stream, each of the package's type for it, deltas and end in agreement."""
    events = list(events)
    for event in events:
        assert type(event) is EVENTS[event.type], event
        type(event).model_validate(event.model_dump())
    assert [event.type for event in events].count("transcript.text.done") == 1
    assert events[-1].type == "transcript.text.done", events[-1]
    said = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert said == events[-1].text, f"{said!r} is not {events[-1].text!r}"
    return events


def streams(suite):
    def plain():
        events = read(suite.create(stream=True))
        assert {event.type for event in events} == {"transcript.text.delta", "transcript.text.done"}
        usage = events[-1].usage
        assert events[-1].text == suite.text and usage.type == "tokens", events[-1]
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0, usage
        return f"{len(events)} events"

    def diarized():
        options = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "chunking_strategy": "auto"}
        events = read(suite.create(file=suite.file(suite.recording.whole()), stream=True, **options))
        segments = [event for event in events if event.type == "transcript.text.segment"]
        assert [segment.id for segment in segments] == [f"seg_{n + 1:03}" for n in range(len(segments))]
        assert " ".join(segment.text for segment in segments) == events[-1].text
        assert {segment.speaker for segment in segments} >= {"A", "B"}, segments
        ids = {event.segment_id for event in events if event.type == "transcript.text.delta"} - {None}
        assert ids <= {segment.id for segment in segments}, ids
        return f"{len(segments)} segments"

    def left():
        # A client that leaves early: the place in the queue comes back, and nothing else suffers.
        stream = suite.create(file=suite.file(suite.recording.whole()), stream=True)
        stream.close()
        suite.create()

    def lines():
        # The bytes themselves: `data:` lines and comments, each followed by an empty line.
        options = {"file": suite.file(), "model": "whisper-1", "stream": True}
        with suite.client.audio.transcriptions.with_streaming_response.create(**options) as response:
            assert response.headers["content-type"].startswith("text/event-stream"), response.headers
            assert response.headers["cache-control"] == "no-cache" and response.headers.get("x-request-id")
            events = [event for event in response.read().decode().split("\n\n") if event]
        assert all(event.startswith(("data: {", ":")) and "\n" not in event for event in events), events

    def failing():
        options = {"file": ("a.wav", b"no sound at all, only words"), "stream": True}
        return suite.refuse(openai.BadRequestError, 400, lambda: list(suite.create(**options)), param="file")

    suite.check("stream", plain)
    suite.check("stream: diarized_json", diarized)
    suite.check("stream: the client leaves", left)
    suite.check("stream: lines", lines)
    suite.check("stream: what fails at once has a status", failing)


def speakers(suite):
    whole = suite.file(suite.recording.whole())
    found = {}

    def diarized():
        body = suite.raw(TranscriptionDiarized, file=whole, response_format="diarized_json", model="gpt-4o-transcribe-diarize")
        found["segments"] = body.segments
        assert body.task == "transcribe" and abs(body.duration - suite.recording.seconds) < 0.1
        assert [segment.id for segment in body.segments] == [f"seg_{n + 1:03}" for n in range(len(body.segments))]
        assert all(segment.type == "transcript.text.segment" and segment.start < segment.end for segment in body.segments)
        names = list(dict.fromkeys(segment.speaker for segment in body.segments))
        assert len(names) >= 2 and names == sorted(names) and names[0] == "A", names
        return ", ".join(names)

    def references():
        """Two to ten seconds of each of the first two speakers: their longest segments."""
        urls = {}
        for speaker in ("A", "B"):
            own = (segment for segment in found["segments"] if segment.speaker == speaker)
            longest = max(own, key=lambda segment: segment.end - segment.start)
            end = min(longest.end, longest.start + 8)
            start = max(0, min(longest.start, end - 2.2))
            data = base64.b64encode(suite.recording.cut(start, end)).decode()
            urls[speaker] = f"data:audio/wav;base64,{data}"
        return urls

    def known():
        urls = references()
        # The second speaker's name first: names follow voices, not order.
        options = {"known_speaker_names": ["bea", "ada"], "known_speaker_references": [urls["B"], urls["A"]]}
        body = suite.raw(TranscriptionDiarized, file=whole, response_format="diarized_json", **options)
        names = {"A": "ada", "B": "bea"}
        assert len(body.segments) == len(found["segments"])
        for before, after in zip(found["segments"], body.segments):
            assert after.speaker == names.get(before.speaker, after.speaker), f"{before} became {after}"
        events = read(suite.create(file=whole, response_format="diarized_json", stream=True, **options))
        streamed = [event.speaker for event in events if event.type == "transcript.text.segment"]
        assert streamed == [segment.speaker for segment in body.segments], streamed
        return ", ".join(sorted({segment.speaker for segment in body.segments}))

    def stranger():
        options = {"known_speaker_names": ["bea"], "known_speaker_references": [references()["B"]]}
        body = suite.create(file=whole, response_format="diarized_json", **options)
        assert {segment.speaker for segment in body.segments} >= {"A", "bea"}, body.segments

    def refused():
        url = "data:audio/wav;base64," + base64.b64encode(suite.recording.cut(0, 1)).decode()
        options = {"response_format": "diarized_json", "known_speaker_names": ["ada"]}
        for reference in (url, "https://example.org/ada.wav", "data:audio/wav;base64,AAAA"):
            act = lambda: suite.create(known_speaker_references=[reference], **options)
            note = suite.refuse(openai.BadRequestError, 400, act, param="known_speaker_references")
        suite.refuse(openai.BadRequestError, 400, lambda: suite.create(**options), param="known_speaker_references")
        return note

    suite.check("diarized_json", diarized)
    if "segments" in found:
        suite.check("known speakers", known)
        suite.check("known speakers: the others keep letters", stranger)
    suite.check("known speakers: references that cannot be", refused)


def long_streams(suite):
    one_by_one = {"batch_size": 1}

    def as_written():
        started = time.monotonic()
        arrivals = []
        options = {"file": suite.file(suite.recording.repeated(6)), "language": "en", "extra_body": one_by_one}
        for event in suite.create(stream=True, **options):
            arrivals.append((time.monotonic() - started, event.type))
        (first, _), (last, end) = arrivals[0], arrivals[-1]
        assert end == "transcript.text.done" and first < last / 2, f"first event after {first:.1f} of {last:.1f} s"
        return f"first event after {first:.1f} of {last:.1f} s"

    def with_speakers():
        started = time.monotonic()
        options = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "extra_body": one_by_one}
        first = {}
        for event in read(suite.create(file=suite.file(suite.recording.repeated(2)), stream=True, **options)):
            first.setdefault(event.type, time.monotonic() - started)
        assert set(first) == set(EVENTS), first

    def leaving():
        stream = suite.create(file=suite.file(suite.recording.repeated(20)), stream=True, extra_body=one_by_one)
        next(iter(stream))
        stream.close()
        started = time.monotonic()
        while suite.inside():
            assert time.monotonic() - started < 10, "the work goes on"
            time.sleep(0.1)
        return f"over after {time.monotonic() - started:.1f} s"

    suite.check("stream: text comes as it is written", as_written)
    suite.check("stream: every kind of event", with_speakers)
    suite.check("stream: the work ends when the client leaves", leaving)


def deadlines(suite, url):
    """A service that gives a request a few seconds."""
    client = suite.connect(url)
    long = suite.recording.repeated(20)

    def in_a_stream():
        told = []
        try:
            options = {"file": suite.file(long), "language": "en", "extra_body": {"batch_size": 1}}
            for event in suite.create(client, stream=True, **options):
                told.append(event)
        except openai.APIStatusError as error:
            raise AssertionError("it failed before anything was told") from error
        except openai.APIError as error:
            assert set(error.body or {}) == ERROR_KEYS and error.type == "server_error", repr(error)
            return f"after {len(told)} events: {error.message}"
        raise AssertionError("it was in time")

    def in_one_piece():
        act = lambda: suite.create(client, file=suite.file(long))
        return suite.refuse(openai.InternalServerError, 504, act)

    suite.check("deadline: an error event ends a stream", in_a_stream)
    suite.check("deadline: no second try", in_one_piece)
    client.close()


def translations(suite):
    make = lambda **options: suite.client.audio.translations.create(file=suite.file(), model="whisper-1", **options)

    def plain():
        found = make()
        assert len(found.text.split()) > 5, found
        return found.text

    def texts():
        assert type(make(response_format="text")) is str
        assert " --> " in make(response_format="srt")
        assert make(response_format="vtt").startswith("WEBVTT")

    def verbose_json():
        create = suite.client.audio.translations.with_raw_response.create
        raw = create(file=suite.file(), model="whisper-1", response_format="verbose_json", temperature=0.2, prompt="Hello.")
        found = raw.parse()
        assert type(found) is TranslationVerbose
        TranslationVerbose.model_validate(json.loads(raw.text))
        assert found.language == "english" and found.segments and json.loads(raw.text)["task"] == "translate"

    def refused():
        act = lambda: make(response_format="diarized_json")
        return suite.refuse(openai.BadRequestError, 400, act, param="response_format")

    def english_only():
        create = suite.client.audio.translations.create
        return suite.refuse(openai.BadRequestError, 400, lambda: create(file=suite.file(), model="tiny.en"))

    suite.check("translation: json", plain)
    suite.check("translation: text, srt, vtt", texts)
    suite.check("translation: verbose_json", verbose_json)
    suite.check("translation: no diarized_json", refused)
    suite.check("translation: an English-only model cannot", english_only)


def models(suite):
    def listed():
        names = [model.id for model in suite.client.models.list()]
        assert set(ALIASES) <= set(names) and "whisper-base" in names and len(names) == len(set(names)), names
        return f"{len(names)} names"

    def one():
        for name in ("whisper-1", "whisper-base", "base", "openai/whisper-base"):
            found = suite.client.models.retrieve(name)
            assert type(found) is Model and found.id == name and found.object == "model" and found.created > 0, found

    def none():
        for name in ("whisper-9", "someone/whisper-9", "silero-vad"):
            act = lambda: suite.client.models.retrieve(name)
            note = suite.refuse(openai.NotFoundError, 404, act, param="model", code="model_not_found")
        return note

    def aliases():
        for name in ALIASES + ["gpt-transcribe", "gpt-4o-mini-transcribe-2025-12-15", "base", "openai/whisper-base"]:
            assert suite.create(model=name).text == suite.text, name
        assert [language.code for language in suite.create(model="gpt-transcribe").languages] == ["en"]

    suite.check("models: list", listed)
    suite.check("models: retrieve", one)
    suite.check("models: an unknown one", none)
    suite.check("models: every alias transcribes", aliases)


def options(suite):
    def every():
        found = suite.create(
            language="en",
            prompt="A telephone call.",
            temperature=0.0,
            keywords=["telephone"],
            response_format="verbose_json",
            chunking_strategy={"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 300, "silence_duration_ms": 200},
            extra_body={"hotwords": "call", "batch_size": 4, "align_audio": True, "nobody_knows_this": "ignored"},
        )
        assert found.language == "english" and found.segments

    def several_languages():
        found = suite.create(languages=["de", "en"], response_format="verbose_json")
        assert found.language == "english", found.language

    def riding_along():
        extra = {"diarize_audio": True, "min_speakers": 2, "max_speakers": 2}
        whole = suite.file(suite.recording.whole())
        found = suite.create(file=whole, response_format="verbose_json", extra_body=extra)
        assert {segment.speaker for segment in found.segments} == {"A", "B"}, found.segments
        assert "[SPEAKER_01]" in suite.create(file=whole, response_format="text", extra_body=extra)

    def without_alignment():
        found = suite.create(response_format="verbose_json", extra_body={"align_audio": False})
        assert found.segments and all(segment.start < segment.end for segment in found.segments)

    def as_parts():
        # As other clients flatten the object: in JSON.
        strategy = json.dumps({"type": "server_vad", "threshold": 0.5})
        assert suite.create(extra_body={"chunking_strategy": strategy}).text
        assert suite.create(chunking_strategy="auto").text == suite.text

    suite.check("options: all of them", every)
    suite.check("options: one of several languages", several_languages)
    suite.check("options: speakers in verbose_json and text", riding_along)
    suite.check("options: without word times", without_alignment)
    suite.check("options: chunking_strategy in every form", as_parts)


def refusals(suite):
    bad = openai.BadRequestError

    def fields():
        cases = {
            "response_format": {"response_format": "docx"},
            "timestamp_granularities": {"timestamp_granularities": ["word"]},
            "temperature": {"temperature": 1.5},
            "language": {"language": "tlh"},
            "include": {"include": ["logprobs"], "response_format": "text"},
            "stream": {"stream": True, "response_format": "srt"},
            "chunking_strategy": {"chunking_strategy": {"type": "server_vad", "threshold": 7}},
            "diarize_audio": {"extra_body": {"min_speakers": 2}},
            "min_speakers": {"response_format": "diarized_json", "extra_body": {"min_speakers": 3, "max_speakers": 2}},
            "batch_size": {"extra_body": {"batch_size": "many"}},
        }
        for param, case in cases.items():
            suite.refuse(bad, 400, lambda: suite.create(**case), param=param)
        return f"{len(cases)} fields"

    def recordings():
        suite.refuse(bad, 400, lambda: suite.create(file=("empty.wav", b"")), param="file")
        return suite.refuse(bad, 400, lambda: suite.create(file=("text.mp3", b"These are words. " * 99)), param="file")

    def missing():
        address = urllib.parse.urlparse(suite.url)
        for body, param in (({"file": True}, "model"), ({"model": True}, "file")):
            parts = [("model", None, b"whisper-1")] if "model" in body else [("file", "a.wav", suite.short)]
            status, answer = post(address, parts)
            assert status == 400 and answer["error"]["param"] == param, answer
            assert set(answer["error"]) == ERROR_KEYS
        return answer["error"]["message"]

    def unknown_model():
        act = lambda: suite.create(model="whisper-9")
        return suite.refuse(openai.NotFoundError, 404, act, param="model", code="model_not_found")

    def unknown_path():
        act = lambda: suite.client.post("/audio/nothing", cast_to=object)
        return suite.refuse(openai.NotFoundError, 404, act)

    def silence():
        width = suite.recording.parameters.sampwidth * suite.recording.parameters.nchannels
        quiet = Recording.__new__(Recording)
        quiet.parameters = suite.recording.parameters
        quiet.frames = bytes(5 * suite.recording.parameters.framerate * width)
        found = suite.create(file=suite.file(quiet.cut(0, 5)), response_format="verbose_json")
        assert found.text == "" and found.segments == [], found

    suite.check("refused: fields", fields)
    suite.check("refused: recordings", recordings)
    suite.check("refused: a field is missing", missing)
    suite.check("refused: a model", unknown_model)
    suite.check("refused: a path", unknown_path)
    suite.check("silence is no error", silence)


def post(address, parts):
    """A form of parts (name, file name or None, bytes) as no client library would send it."""
    boundary = "palabra-contract"
    body = b""
    for name, file_name, data in parts:
        place = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
        body += f"--{boundary}\r\nContent-Disposition: {place}\r\n\r\n".encode() + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=WORK_SECONDS)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Authorization": f"Bearer {KEY}"}
    connection.request("POST", "/v1/audio/transcriptions", body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def transports(suite):
    def headers():
        raw = suite.client.audio.transcriptions.with_raw_response.create(file=suite.file(), model="whisper-1")
        assert raw.request_id and raw.parse()._request_id == raw.request_id
        assert int(raw.headers["x-inference-time"]) >= 0 and int(raw.headers["x-queue-time"]) >= 0, raw.headers
        return f"{raw.headers['x-inference-time']} ms"

    def asynchronous():
        async def both():
            async with openai.AsyncOpenAI(base_url=f"{suite.url}/v1", api_key=KEY, timeout=WORK_SECONDS) as client:
                plain = await client.audio.transcriptions.create(file=suite.file(), model="whisper-1")
                stream = await client.audio.transcriptions.create(file=suite.file(), model="whisper-1", stream=True)
                events = read([event async for event in stream])
                several = [client.audio.transcriptions.create(file=suite.file(), model="whisper-1") for _ in range(3)]
                return [plain.text, events[-1].text, *(answer.text for answer in await asyncio.gather(*several))]

        texts = asyncio.run(both())
        assert set(texts) == {suite.text}, texts

    def any_file():
        with io.BytesIO(suite.short) as file:
            file.name = "noname"
            assert suite.create(file=file).text == suite.text
        assert suite.create(file=("../../etc/passwd", suite.short, "application/octet-stream")).text == suite.text

    suite.check("raw response and its headers", headers)
    suite.check("AsyncOpenAI, also several at once", asynchronous)
    suite.check("files without a telling name", any_file)


@contextlib.contextmanager
def occupied(url):
    """The service busy with a request whose body does not come to an end."""
    address = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=WORK_SECONDS)
    connection.putrequest("POST", "/v1/audio/transcriptions")
    connection.putheader("Authorization", f"Bearer {KEY}")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b"--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n")
    time.sleep(0.5)
    try:
        yield
    finally:
        connection.close()


def limits(suite, url):
    """A service with one key, room for one request, and uploads of at most 4 MiB."""
    hasty = suite.connect(url, max_retries=0)
    patient = suite.connect(url, max_retries=3)

    def keys():
        stranger = suite.connect(url, key="wrong")
        act = lambda: suite.create(stranger)
        note = suite.refuse(openai.AuthenticationError, 401, act, code="invalid_api_key")
        suite.refuse(openai.AuthenticationError, 401, lambda: stranger.models.list(), code="invalid_api_key")
        assert suite.create(hasty).text == suite.text
        return note

    def busy():
        with occupied(url):
            try:
                suite.create(hasty)
            except openai.RateLimitError as error:
                assert error.status_code == 429 and error.type == "rate_limit_error", error.body
                assert int(error.response.headers["retry-after"]) >= 1 and "x-should-retry" not in error.response.headers
                return str(error.response.json()["error"]["message"])
        raise AssertionError("a full service took a request")

    def patience():
        before = suite.sent
        with occupied(url):
            answers = []
            thread = threading.Thread(target=lambda: answers.append(suite.create(patient).text))
            thread.start()
            time.sleep(0.5)
        thread.join(WORK_SECONDS)
        assert answers == [suite.text], answers
        assert suite.sent - before > 1, "it was not refused first"
        return f"{suite.sent - before} requests"

    def too_large():
        big = suite.recording.cut(0, 1) + bytes(5 << 20)
        return suite.refuse(openai.APIStatusError, 413, lambda: suite.create(patient, file=suite.file(big)))

    suite.check("limits: a wrong key", keys)
    suite.check("limits: a full service refuses", busy)
    suite.check("limits: the client comes again", patience)
    suite.check("limits: too large an upload", too_large)
    hasty.close()
    patient.close()


def sample(binary):
    folder = subprocess.run([binary, "models", "path", "sample"], capture_output=True, text=True, check=True).stdout
    return pathlib.Path(folder.strip()) / "sample.wav"


def main():
    # The suite drives what the package calls deprecated too, and asks for formats that it does not know.
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.getLogger("openai").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--binary", help="the palabra to start and end")
    where.add_argument("--url", help="a service that runs, such as http://127.0.0.1:8000, with the default model base")
    parser.add_argument("--audio", help="a 16-bit WAV of at least two people who speak English")
    given = parser.parse_args()
    if given.url and not given.audio:
        parser.error("--url needs --audio")
    recording = Recording(given.audio or sample(given.binary))
    groups = [formats, verbose, logprobs, streams, long_streams, speakers, translations, models, options, refusals, transports]
    with contextlib.ExitStack() as stack:
        if given.url:
            url = given.url.rstrip("/")
        else:
            url = stack.enter_context(Service(given.binary)).url
        suite = Suite(url, recording)
        for group in groups:
            group(suite)
        if given.binary:
            flags = ["--max-requests", "1", "--max-upload-bytes", "4MiB"]
            guarded = stack.enter_context(Service(given.binary, *flags, PALABRA_API_KEYS=f"{KEY},another"))
            limits(suite, guarded.url)
            hurried = stack.enter_context(Service(given.binary, "--preload", "base", "--request-timeout", "8s"))
            deadlines(suite, hurried.url)
        return suite.conclude()


if __name__ == "__main__":
    sys.exit(main())
