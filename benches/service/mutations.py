"""Forms that no proper client sends: a valid request, and the ways in which fuzz.py breaks it."""

import dataclasses
import random
import zlib

import client
from client import File


@dataclasses.dataclass
class Request:
    """The parts of a request, before they are put together."""

    path: str
    headers: list
    boundary: bytes
    #: (headers, content) of each part of the form.
    parts: list
    #: Put together from the parts when it is None.
    body: bytes | None = None
    #: Said instead of the true length when it is not None; empty: not said at all.
    length: str | None = None

    def content(self):
        if self.body is None:
            pieces = [b"--" + self.boundary + b"\r\n" + b"\r\n".join(head) + b"\r\n\r\n" + content + b"\r\n" for head, content in self.parts]
            self.body = b"".join(pieces) + b"--" + self.boundary + b"--\r\n"
        return self.body

    def bytes(self):
        content = self.content()
        length = str(len(content)) if self.length is None else self.length
        headers = [*self.headers, *([("Content-Length", length)] if length else []), ("Connection", "close")]
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
        lines = b"".join(as_bytes(name) + b": " + as_bytes(value) + b"\r\n" for name, value in headers)
        return head + lines + b"\r\n" + content


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def valid(api, wav):
    """A valid request to a route of cases.py."""
    path, fields = api.target({})
    boundary = b"palabra-fuzz-boundary"
    parts = [part(api.file, File(wav))] + [part(name, value) for name, value in fields]
    return Request(path, [("Content-Type", b"multipart/form-data; boundary=" + boundary)], boundary, parts)


def part(name, value):
    head = b'Content-Disposition: form-data; name="' + as_bytes(name) + b'"'
    if isinstance(value, File):
        return [head + f'; filename="{value.name}"'.encode(), f"Content-Type: {value.kind}".encode()], value.content
    return [head], as_bytes(value)


def typed(request, kind):
    request.headers = [("Content-Type", kind)]


def cut(request, dice):
    request.body = request.content()[: dice.randrange(len(request.content()))]


def cut_and_hang_up(request, dice):
    request.length = str(len(request.content()))
    cut(request, dice)


def boundary_of_header(request, dice):
    kinds = [
        b"",
        b"x",
        b'"',
        b'"palabra-fuzz-boundary',
        b"palabra-fuzz-boundar",
        b"b" * 5000,
        b"\xff\xfe",
        b"a b",
        b"--",
        b"palabra-fuzz-boundary; boundary=other",
    ]
    typed(request, b"multipart/form-data; boundary=" + dice.choice(kinds))


def boundary_of_body(request, dice):
    text = request.content()
    for _ in range(dice.randint(1, 3)):
        text = text.replace(request.boundary, dice.choice([b"", b"-", b"palabra", request.boundary[:-1], request.boundary * 2]), 1)
    request.body = text


def boundary_in_content(request, dice):
    index = dice.randrange(len(request.parts))
    head, content = request.parts[index]
    place = dice.randint(0, len(content))
    request.parts[index] = (
        head,
        content[:place] + dice.choice([b"\r\n--" + request.boundary, b"--" + request.boundary + b"--", b"\r\n--"]) + content[place:],
    )


def content_type(request, dice):
    kinds = [
        "text/plain",
        "application/json",
        "multipart/mixed; boundary=palabra-fuzz-boundary",
        "application/x-www-form-urlencoded",
        "audio/wav",
        "",
        "multipart/form-data",
        "multipart/form-data; charset=utf-16; boundary=palabra-fuzz-boundary",
        "MULTIPART/FORM-DATA; BOUNDARY=palabra-fuzz-boundary",
        "\x00",
        "multipart/",
        ";;;",
        "a" * 9000,
    ]
    typed(request, dice.choice(kinds))


def part_headers(request, dice):
    index = dice.randrange(len(request.parts))
    head, content = request.parts[index]
    changes = [
        [],
        head * 2,
        head[1:] or [b"X: y"],
        [b"Content-Disposition: form-data"],
        [b"Content-Disposition: attachment; name=file"],
        [b"no colon here"],
        [b": no name"],
        [b"Content-Disposition: form-data; name=file"],
        [b'Content-Disposition: form-data; name="file'],
        [b'Content-Disposition: form-data; name=""'],
        head + [b"Content-Type: multipart/form-data; boundary=" + request.boundary],
        head + [b"Content-Type: \xff"],
        head + [b"Content-Transfer-Encoding: base64"],
        head + [b"Content-Length: 99999999999999999999"],
        head + [b"X-Long: " + b"h" * dice.choice([4000, 70_000, 300_000])],
        head + [b"X: y"] * 500,
        [line.replace(b'"', b"'") for line in head],
        [line.replace(b": ", b":\r\n ") for line in head],
        [line.lower() for line in head],
        [line.upper() for line in head],
        [head[0] + b"; filename*=UTF-8''%ff%fe.wav"],
        [head[0] + b'; filename="' + bytes(dice.randrange(256) for _ in range(40)).replace(b"\r", b"").replace(b"\n", b"") + b'"'],
    ]
    request.parts[index] = dice.choice(changes), content


def lengths(request, dice):
    true = len(request.content())
    said = [
        str(true - 1),
        str(true + 1),
        str(true // 2),
        str(true * 2),
        "0",
        "-1",
        "+5",
        "0x10",
        "1e3",
        "18446744073709551616",
        "99999999999",
        "",
        " ",
        "1, 2",
        "ten",
    ]
    request.length = dice.choice(said)


def two_lengths(request, dice):
    request.headers.append(("Content-Length", str(dice.choice([0, 10, len(request.content())]))))
    if dice.random() < 0.5:
        request.headers.append(("Transfer-Encoding", dice.choice(["chunked", "gzip, chunked", "identity", "x"])))


def chunks(request, dice):
    content, request.length = request.content(), ""
    request.headers.append(("Transfer-Encoding", "chunked"))
    size = dice.randint(1, 4000)
    pieces = [content[start : start + size] for start in range(0, len(content), size)][:200]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    faults = [
        body,
        body[:-5],
        body.replace(b"%x\r\n" % size, b"zz\r\n", 1),
        b"ffffffffffffffff\r\n" + body,
        b"-1\r\n" + body,
        body[: dice.randrange(len(body))],
        content,
    ]
    request.body = dice.choice(faults)


def encodings(request, dice):
    request.headers.append(("Content-Encoding", dice.choice(["gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "x"])))
    if dice.random() < 0.5:
        # Small to send, large to unpack.
        request.body = zlib.compress(request.content() + bytes(dice.choice([0, 1 << 26])), 9)


def nested(request, dice):
    inside = request.content()
    request.body = None
    names = ["file", "audio_file", "a[b][c]", "file[]", "__proto__", "chunking_strategy[type][x]", "n" * 20_000, "a/../b", "file\\", "[]"]
    wrapped = [part(dice.choice(names), "x")[0] + [b"Content-Type: multipart/form-data; boundary=" + request.boundary]]
    request.parts.insert(dice.randint(0, len(request.parts)), (wrapped[0], dice.choice([inside, b"", b"text"])))


def nuls(request, dice):
    text = bytearray(request.content())
    for _ in range(dice.randint(1, 40)):
        text.insert(dice.randrange(min(len(text), dice.choice([300, len(text)]))), 0)
    request.body = bytes(text)


def flips(request, dice):
    text = bytearray(request.content())
    for _ in range(dice.choice([1, 3, 30, 300])):
        text[dice.randrange(min(len(text), dice.choice([200, 400, len(text)])))] = dice.randrange(256)
    request.body = bytes(text)


def broken_audio(request, dice):
    head, content = request.parts[0]
    text = bytearray(content)
    for _ in range(dice.choice([1, 4, 50])):
        text[dice.randrange(min(len(text), dice.choice([44, 60, len(text)])))] = dice.choice([0, 255, dice.randrange(256)])
    request.parts[0] = head, bytes(text)[: dice.choice([len(text), 44, 43, 12, 4, len(text) // 2])]


def request_headers(request, dice):
    kinds = [
        [("X-Long", "h" * 60_000)],
        [("X-Long", "h" * 1_000_000)],
        [(f"X-{number}", "y") for number in range(dice.choice([90, 150, 2000]))],
        [("X-Request-Id", b"\xff\xfe\x80")],
        [("X-Request-Id", "i" * 5000)],
        [("Idempotency-Key", "k" * 5000)],
        [("Authorization", b"Bearer \xff")],
        [("Expect", "100-continue")],
        [("Expect", "a miracle")],
        [("Accept-Language", "\x01")],
        [("Origin", "null")],
        [("Range", "bytes=5-1")],
        [("traceparent", "00-zz-zz-01")],
        [("Upgrade", "websocket"), ("Connection", "Upgrade")],
        [("bad header", "x")],
        [("X", "a\rb")],
    ]
    request.headers += dice.choice(kinds)


def duplicates(request, dice):
    chosen = dice.choice(request.parts)
    request.parts += [chosen] * dice.choice([1, 2, 40, 300])
    dice.shuffle(request.parts)


def not_utf8(request, dice):
    rubbish = bytes(dice.randrange(128, 256) for _ in range(dice.randint(1, 30)))
    place = dice.choice(["value", "name", "filename"])
    if place == "filename":
        head, content = request.parts[0]
        request.parts[0] = [line.replace(b"speech", rubbish) for line in head], content
    else:
        request.parts.append(part(rubbish, "x") if place == "name" else part(dice.choice(OPTIONS), rubbish))


#: Seconds without an answer after which the service is told that nothing more will come: what it has may be less than was announced.
QUIET = 3
#: Options of any of the routes; those that a route does not know it must ignore.
OPTIONS = [
    "language",
    "model",
    "model_name",
    "temperature",
    "prompt",
    "response_format",
    "stream",
    "min_speakers",
    "max_speakers",
    "batch_size",
    "beam_size",
    "patience",
    "length_penalty",
    "hf_token",
    "align_audio",
    "diarize_audio",
    "include[]",
    "hotwords",
    "timestamp_granularities[]",
    "chunking_strategy",
    "chunking_strategy[threshold]",
    "known_speaker_names[]",
    "known_speaker_references[]",
    "text",
    "url",
    "embeddings",
]


def values(request, dice):
    kinds = [
        "",
        " ",
        "-1",
        "0",
        "999999999999999999999999",
        "NaN",
        "inf",
        "1e999",
        "-0.0",
        "true",
        "null",
        "[]",
        "{}",
        '{"type":"server_vad","threshold":1e400}',
        "\u202e\U0001f5e3",
        "x" * 1_000_000,
        "../../etc/passwd",
        "data:audio/wav;base64,AAAA",
        "data:;base64,%%%",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "[" * 10_000,
        "'; DROP TABLE",
        "%s%n%x",
        "\r\nSet-Cookie: a=b",
        "en\x00",
    ]
    for _ in range(dice.randint(1, 5)):
        request.parts.append(part(dice.choice(OPTIONS), dice.choice(kinds)))


def structure(request, dice):
    text = request.content()
    lines = [
        text.replace(b"\r\n", b"\n"),
        text.replace(b"\r\n", b"\r"),
        b"preamble\r\n" * 1000 + text,
        text + b"epilogue" * 1000,
        text[:-4],
        text[:-2] + b"x",
        text.lstrip(b"-"),
        b"",
        b"--" + request.boundary + b"--\r\n",
        (b"--" + request.boundary + b"\r\n\r\n\r\n") * dice.choice([2, 2000]) + b"--" + request.boundary + b"--\r\n",
        bytes(dice.randrange(256) for _ in range(dice.randrange(3000))),
    ]
    request.body = dice.choice(lines)


WAYS = [
    cut,
    cut_and_hang_up,
    boundary_of_header,
    boundary_of_body,
    boundary_in_content,
    content_type,
    part_headers,
    lengths,
    two_lengths,
    chunks,
    encodings,
    nested,
    nuls,
    flips,
    broken_audio,
    request_headers,
    duplicates,
    not_utf8,
    values,
    structure,
]


def mutated(apis, wavs, seed, index):
    """(names of what was done, request): the same for the same seed and index."""
    dice = random.Random(f"{seed}/{index}")
    api = dice.choice(apis)
    request = valid(api, dice.choice(wavs))
    # What changes parts comes before what changes the body that is made of them.
    ways = sorted(dice.sample(WAYS, dice.choice([1, 1, 1, 2])), key=lambda way: way not in BEFORE)
    for way in ways:
        way(request, dice)
    return "+".join(way.__name__ for way in ways), request


BEFORE = (boundary_in_content, part_headers, broken_audio, duplicates, not_utf8, values)


def send(server, request, timeout):
    """The answer, or None when the connection was closed without one. Raises TimeoutError when it hangs."""
    return client.exchange(server, [request.bytes()], QUIET, timeout)
