"""Bodies of HTTP requests: JSON, a form or a multipart form becomes one nested plain value. Knows no field's meaning.

Length and pace are checked while the body arrives, its structure before it is built, and files wait on the disk until
all of it is known to be sound.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from faceid.errors import BadBody, BodyTooLarge, BodyTooSlow
from faceid.limits import LIMITS
from faceid.web.json_body import parse_json
from faceid.web.nesting import nest, parse_key, shorten
from faceid.web.parts import FilePart, MultipartReader

JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
MOST_ESCAPES = 1_000_000  # in a urlencoded body: each takes some hundred bytes while it is decoded


class Pace(NamedTuple):
    """How slowly a body may come: `grace` seconds, and one more for every `rate` bytes; `longest` seconds in all."""

    grace: float = 20.0
    rate: int = 32 * 2**10
    longest: float = 1800.0

    def allowed(self, received: int) -> float:
        """The seconds within which more than `received` bytes must have come."""
        return min(self.grace + received / self.rate, self.longest)


PACE = Pace()


async def read_body(request: Request) -> dict[str, Any]:
    """As `read_body_at`, at the pace that is asked of everybody: for FastAPI to depend on."""
    return await read_body_at(PACE, request)


async def read_body_at(pace: Pace, request: Request) -> dict[str, Any]:
    """The body as nested dicts and lists, by its Content-Type. Leaves of a form are str, Upload, and None where empty.

    JSON keeps its kinds of values. No body at all is {}. BadBody, BodyTooLarge, BodyTooSlow; InvalidRequest names a
    key. After BodyTooLarge and BodyTooSlow some of the body is unread: answer with `Connection: close`.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    kind = kind.decode("latin-1").strip()
    _check_encodings(request, kind, options)
    reader = _MultipartBody(options.get(b"boundary", b"")) if kind == MULTIPART else _PlainBody(kind)
    with closing(reader):
        async for chunk in arriving(request, reader.most, pace):
            await run_in_threadpool(reader.write, chunk)
        return await run_in_threadpool(reader.value)


class _PlainBody:
    """JSON or a urlencoded form, gathered in memory."""

    def __init__(self, kind: str):
        self.most = int(LIMITS["body_text_bytes"].high)
        self._kind = kind
        self._bytes = bytearray()

    def write(self, chunk: bytes) -> None:
        if self._kind not in (JSON, FORM):
            raise BadBody(f"Content-Type: {shorten(self._kind)!r} is not taken; use {JSON}, {MULTIPART} or {FORM}.")
        self._bytes += chunk

    def value(self) -> dict[str, Any]:
        if not self._bytes:
            return {}
        return parse_json(bytes(self._bytes)) if self._kind == JSON else _parse_form(bytes(self._bytes))

    def close(self) -> None:
        self._bytes.clear()


class _MultipartBody:
    """A multipart form, its files on the disk."""

    def __init__(self, boundary: bytes):
        self.most = int(LIMITS["body_bytes"].high)
        self._reader = MultipartReader(boundary)
        self.write, self.close = self._reader.write, self._reader.close

    def value(self) -> dict[str, Any]:
        upload = self._reader.upload
        return nest(self._reader.pairs(), lambda leaf: upload(leaf) if isinstance(leaf, FilePart) else leaf)


def _check_encodings(request: Request, kind: str, options: dict[bytes, bytes]) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BadBody(f"Content-Encoding: {shorten(encoding)!r} is not taken; send the body as it is.")
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if kind in (JSON, FORM, MULTIPART) and charset not in ("utf-8", "utf8", "us-ascii"):
        raise BadBody(f"charset={shorten(charset)!r} is not taken; send UTF-8.")


async def arriving(request: Request, most: int, pace: Pace) -> AsyncIterator[bytes]:
    """The body's chunks, as long as they are not too many bytes or too slow in coming."""
    announced = request.headers.get("content-length", "0").strip()
    if not (announced.isascii() and announced.isdecimal()):
        raise BadBody(f"Content-Length: {shorten(announced)!r} is not a number of bytes.")
    if len(announced.lstrip("0")) > 18 or int(announced) > most:
        raise _too_large(most)
    started, received = time.monotonic(), 0
    stream = request.stream()
    while True:
        remaining = pace.allowed(received) - (time.monotonic() - started)
        try:
            async with asyncio.timeout(max(remaining, 0)):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise BodyTooSlow(
                f"The body came too slowly: {received} bytes in {pace.allowed(received):.0f} seconds. Send it again, "
                f"at {pace.rate // 2**10} KB a second or more."
            ) from None
        except ClientDisconnect:
            raise BadBody("The connection was closed before all of the body had come.") from None
        if chunk is None:
            return
        received += len(chunk)
        if received > most:
            raise _too_large(most)
        if chunk:
            yield chunk


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body has more than {most // 2**20} MB, which is the most that is taken of its kind.")


def _parse_form(body: bytes) -> dict[str, Any]:
    most = int(LIMITS["body_values"].high)
    if body.count(b"&") >= most:
        raise BodyTooLarge(f"The form has more than {most} values, which is the most that is taken.")
    if body.count(b"%") > MOST_ESCAPES:
        raise BodyTooLarge(f"The form has more than {MOST_ESCAPES} percent escapes. Send it as {MULTIPART} or {JSON}.")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise BadBody("The form is not UTF-8.") from error
    for key, _ in pairs:
        parse_key(key)
    return nest((key, value or None) for key, value in pairs)
