"""The bad input that smoke.py sends to every API, and the shape in which each API must answer it."""

import dataclasses

import client
from client import File
from speech import silence

#: Longer than any sensible limit.
TEN_GIGABYTES = 10 << 30
#: What a word means where a number, a truth value or a choice is asked for.
NONSENSE = "many"

#: Marks a request whose head is no HTTP: it belongs to no API, whose error shape could be used.
NO_ROUTE = " (no HTTP)"


@dataclasses.dataclass
class Api:
    """One route that takes audio."""

    path: str
    #: The name of the field that carries the audio, and the fields without which nothing works.
    file: str
    needed: tuple
    #: Whether it speaks OpenAI's error shape; FastAPI's otherwise.
    openai: bool
    #: Fields that are not text, each with a wrong value; then those that name a model, a language, and the bounds of speakers.
    wrong: dict
    model: str | None = None
    language: str | None = "language"
    speakers: bool = True
    #: Whether options travel in the query instead of the form.
    query: bool = False

    def target(self, options):
        """The path and the form fields of a request with these options."""
        options = dict(self.needed) | options
        if self.query and options:
            return self.path + "?" + "&".join(f"{name}={value}" for name, value in options.items()), []
        return self.path, list(options.items())

    def send(self, server, files, options=None, **more):
        path, fields = self.target(options or {})
        return client.send(server, "POST", path, [(self.file, file) for file in files] + fields, **more)

    def bytes(self, wav):
        """(path, headers, body) of a valid request, to be broken."""
        path, fields = self.target({})
        return path, *client.form([*fields, (self.file, File(wav))])


def apis(model):
    """Every route that takes audio. Options that several share are tried on each."""
    booleans = {"align_audio": NONSENSE, "diarize_audio": NONSENSE, "word_level_timestamps": NONSENSE}
    counts = {"min_speakers": NONSENSE, "max_speakers": "2.5"}
    shared = {
        "temperature": "warm",
        "response_format": "poem",
        "stream": NONSENSE,
        "timestamp_granularities[]": "letter",
        "include[]": "secrets",
        "chunking_strategy": "sometimes",
    }
    openai = (("model", model),)
    given = (("model", model), ("text", "Hello. Hello? Oh, hello. I didn't know you were there."))
    return [
        Api("/transcribe/", "audio_file", (("model_name", model),), False, booleans | counts | {"batch_size": NONSENSE}, "model_name"),
        Api("/v1/audio/transcriptions", "file", openai, True, shared | {"diarize_audio": NONSENSE} | counts, "model"),
        Api("/v1/audio/translations", "file", openai, True, {"temperature": "warm", "response_format": "poem"}, "model", None, False),
        Api(
            "/asr",
            "audio_file",
            (),
            False,
            {"task": "sing", "output": "poem", "word_timestamps": NONSENSE, "vad_filter": NONSENSE, "diarize": NONSENSE} | counts,
            None,
            query=True,
        ),
        Api("/detect-language", "audio_file", (), False, {}, None, None, False, query=True),
        Api("/v1/audio/alignments", "file", given, True, {"response_format": "poem"}, "model", "language", False),
        Api("/v1/audio/diarizations", "file", (), True, {"response_format": "poem"} | counts, None, None),
    ]


def shape_fault(api, reply):
    """What is wrong with an error's shape; None when it is as that API writes it. Then its sentence."""
    try:
        body = reply.json()
    except ValueError:
        return "no JSON", reply.body[:80].decode(errors="replace")
    if api.openai:
        error = body.get("error")
        if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
            return "not error{message,type,param,code}", str(body)[:80]
        message = error["message"]
        if 400 <= reply.status < 429 and reply.status != 408 and reply.headers.get("x-should-retry") != "false":
            return "no x-should-retry: false", message
    else:
        message = body.get("detail")
        if isinstance(message, list):
            if reply.status != 422 or not message or any(not {"loc", "msg", "type"} <= set(entry) for entry in message):
                return "not 422 with loc, msg, type", str(message)[:80]
            message = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in message)
    if not isinstance(message, str) or not message.strip():
        return "no sentence", str(body)[:80]
    if "\n" in message or len(message) > 400 or "/proc/" in message or "/tmp/" in message:
        return "not one plain sentence", message
    if not reply.headers.get("x-request-id"):
        return "no x-request-id", message
    return None, message


def blamed(api, reply):
    """The fields that an error names, in the place that this API has for it."""
    body = reply.json()
    if api.openai:
        return {body["error"]["param"]}
    detail = body["detail"]
    return {str(entry["loc"][-1]) for entry in detail} if isinstance(detail, list) else set()


def bad_files(api, wav):
    """(name, allowed statuses, action) of what may be wrong with the file itself."""
    missing = {400} if api.openai else {422}
    # An empty transcript is a right answer; a text that is given cannot be timed by silence.
    silent = {400} if "text" in dict(api.needed) else {200}
    text = File(b"This is a letter, not a recording.\n" * 20, "letter.txt", "text/plain")
    return [
        ("no file", missing, lambda server: api.send(server, [])),
        ("two files", {400, 422}, lambda server: api.send(server, [File(wav), File(wav)])),
        ("file field holds text", {400, 422}, lambda server: api.send(server, ["speech"])),
        ("empty file", {400, 422}, lambda server: api.send(server, [File(b"")])),
        ("text file", {400, 415}, lambda server: api.send(server, [text])),
        ("text named .wav", {400, 415}, lambda server: api.send(server, [File(text.content)])),
        ("0.05 s of audio", silent, lambda server: api.send(server, [File(silence(0.05))])),
        ("30 s of silence", silent, lambda server: api.send(server, [File(silence(30))])),
        ("path in the file name", {200}, lambda server: api.send(server, [File(wav, "../../../palabra-was-here.wav")])),
        ("absolute path in the file name", {200}, lambda server: api.send(server, [File(wav, "/tmp/palabra-was-here.wav")])),
    ]


def bad_fields(api, wav):
    """(name, allowed statuses, action) of what may be wrong with the options; a fourth value names the field to blame."""

    def ask(**options):
        return lambda server: api.send(server, [File(wav)], options)

    wrong = {400} if api.openai else {422}
    cases = [(f"{name}={value}", wrong, ask(**{name: value}), name.removesuffix("[]")) for name, value in api.wrong.items()]
    if api.model:
        cases.append((f"{api.model}=nobody", {400, 404, 422}, ask(**{api.model: "nobody"})))
    if api.language:
        cases.append((f"{api.language}=klingon", {400, 422}, ask(**{api.language: "klingon"})))
    if api.speakers:
        switch = {"/asr": "diarize", "/transcribe/": "diarize_audio", "/v1/audio/transcriptions": "diarize_audio"}.get(api.path)
        more = {switch: "true"} if switch else {}
        cases.append(("min_speakers=3, max_speakers=1", {400, 422}, ask(min_speakers="3", max_speakers="1", **more)))
        cases.append(("min_speakers=0", {400, 422}, ask(min_speakers="0", **more)))
        cases.append(("max_speakers=-1", {400, 422}, ask(max_speakers="-1", **more)))
    return cases


def bad_requests(api, wav):
    """(name, allowed statuses, action) of requests that are broken as HTTP; 0 stands for a connection closed without an answer."""
    path, headers, body = api.bytes(wav)

    def raw(changes, content, **more):
        sent = client.head("POST", path, {"Connection": "close"} | headers | changes)
        return lambda server: client.exchange(server, [sent, content], **more)

    malformed = {400, 415, 422}
    return [
        ("body cut half-way, length honest", malformed, raw({"Content-Length": len(body) // 2}, body[: len(body) // 2])),
        ("connection ends half-way", {0, 400}, raw({"Content-Length": len(body)}, body[: len(body) // 2], finish=0)),
        # What is sent beyond the length belongs to no request; the reset that it causes may overtake the answer.
        ("Content-Length too small", malformed | {0}, raw({"Content-Length": 1000}, body)),
        ("Content-Length no number" + NO_ROUTE, {400}, raw({"Content-Length": "lots"}, body)),
        ("application/json", malformed, raw({"Content-Type": "application/json", "Content-Length": 2}, b"{}")),
        ("no content type", malformed, lambda server: client.send(server, "POST", path, body=body)),
        ("no boundary", malformed, raw({"Content-Type": "multipart/form-data", "Content-Length": len(body)}, body)),
        ("another boundary", malformed, raw({"Content-Type": "multipart/form-data; boundary=other", "Content-Length": len(body)}, body)),
        ("empty body", malformed, raw({"Content-Length": 0}, b"")),
        ("GET", {404, 405}, lambda server: client.send(server, "GET", path)),
        ("10 GB announced", {413}, raw({"Content-Length": TEN_GIGABYTES}, body, timeout=5)),
        ("10 GB without a length", {413}, lambda server: endless(server, path, headers, body)),
    ]


def endless(server, path, headers, body):
    """A chunked upload that goes on until the service has enough."""
    start = client.head("POST", path, headers | {"Transfer-Encoding": "chunked"})
    block = bytes(1 << 20)
    # Without the boundary that ends the file, which comes last.
    opened = body[: body.rindex(b"\r\n--")]

    def parts():
        yield start
        yield b"%x\r\n%s\r\n" % (len(opened), opened)
        for _ in range(TEN_GIGABYTES >> 20):
            yield b"%x\r\n%s\r\n" % (len(block), block)

    return client.exchange(server, parts())
