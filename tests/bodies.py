"""Requests with bodies, and reading them: for the tests of faceid.web.forms."""

import asyncio
from collections.abc import Iterable

from starlette.requests import Request

from faceid.limits import LIMITS
from faceid.web.forms import read_body

BOUNDARY = "b0undary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MOST_VALUES = int(LIMITS["body_values"].high)
MOST_TEXT = int(LIMITS["body_text_bytes"].high)
DEEPEST = int(LIMITS["body_depth"].high)


def request(chunks: Iterable[bytes], content_type: str | None, **headers: str) -> Request:
    """A request as a server gives it to the app; its body ends with the chunks."""
    rest = iter(chunks)

    async def receive():
        chunk = next(rest, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    given = headers | ({"content-type": content_type} if content_type else {})
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in given.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}, receive)


def read(body: bytes | Iterable[bytes], content_type: str | None, **headers: str) -> dict:
    chunks = [body] if isinstance(body, bytes) else body
    return asyncio.run(read_body(request(chunks, content_type, **headers)))


def part(key: str, content: bytes | str = b"", *, filename: str | None = None, headers: str = "") -> bytes:
    name = "" if filename is None else f'; filename="{filename}"'
    content = content.encode() if isinstance(content, str) else content
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"{name}\r\n{headers}\r\n'.encode() + content


def multipart(*parts: bytes) -> bytes:
    return b"".join(p + b"\r\n" for p in parts) + f"--{BOUNDARY}--\r\n".encode()


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[i : i + size] for i in range(0, len(body), size)]
