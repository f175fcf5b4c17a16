"""Requests to the service, as plain as a client can make them: forms, replies, connections that break."""

import dataclasses
import http.client
import json
import select
import socket
import time
import uuid

#: Seconds after which a request counts as hanging, where a script says nothing else.
HANGS = 300


@dataclasses.dataclass
class File:
    """A file field of a form."""

    content: bytes
    name: str = "speech.wav"
    kind: str = "audio/wav"


@dataclasses.dataclass
class Reply:
    """What came back, and seconds from the start of the request to the end of the body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    def json(self):
        return json.loads(self.body)

    def is_refusal(self):
        """Whether it says in the agreed way that there is no room now."""
        return self.status in (429, 503) and str(self.headers.get("retry-after", "")).isdigit()


def form(fields):
    """(headers, body) of a multipart form; `fields` are (name, text or File) in order."""
    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, File):
            parts.append(f'{head}; filename="{value.name}"\r\nContent-Type: {value.kind}\r\n\r\n'.encode() + value.content + b"\r\n")
        else:
            parts.append(f"{head}\r\n\r\n{value}\r\n".encode())
    parts.append(f"--{boundary}--\r\n".encode())
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, b"".join(parts)


def send(server, method, path, fields=None, headers=None, body=None, timeout=HANGS):
    """One request on a connection of its own. Raises OSError or http.client.HTTPException when there is no whole answer."""
    headers = dict(headers or {})
    if fields is not None:
        kind, body = form(fields)
        headers = kind | headers
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    start = time.perf_counter()
    try:
        try:
            connection.request(method, path, body, headers)
        except BrokenPipeError:
            # The service may answer and close before it has read everything; the answer counts.
            pass
        response = connection.getresponse()
        content = response.read()
        return Reply(response.status, response.headers, content, time.perf_counter() - start)
    finally:
        connection.close()


def transcribe(server, wav, model, timeout=HANGS, **fields):
    """`POST /transcribe/` of a WAV file, in English where nothing else is said."""
    named = {"model_name": model, "language": "en"} | fields
    return send(server, "POST", "/transcribe/", [("audio_file", File(wav)), *named.items()], timeout=timeout)


def head(method, path, headers):
    """The bytes of a request's head."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def connect(server, timeout=HANGS):
    """A bare connection, for requests that no proper client would send."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=timeout)


def first_status(answer):
    """The status in the first line of raw bytes; None when there is no such line."""
    words = answer.split(b"\r\n", 1)[0].split(b" ")
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit() else None


def quantile(values, share):
    """The smallest value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def exchange(server, parts, finish=None, timeout=60):
    """Raw bytes out, one answer back, on a connection of its own. None: closed without an answer.

    With `finish` the service is told that no more will come when it has not begun to answer after so many seconds; it may take
    that for a client that has left. Bytes are kept back once it has answered, as a careful client does.
    """
    start = time.perf_counter()
    with connect(server, timeout) as line:
        try:
            for part in parts:
                if select.select([line], [], [], 0)[0]:
                    break
                line.sendall(part)
            if finish is not None and not select.select([line], [], [], finish)[0]:
                line.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            response = http.client.HTTPResponse(line)
            response.begin()
            return Reply(response.status, response.headers, response.read(), time.perf_counter() - start)
        except (http.client.HTTPException, ConnectionResetError):
            return None
