"""In front of Gradio's own routes: what they serve, how much they read, and what they say when they fail.

Gradio serves its whole upload folder to who knows a path, fetches URLs for anybody, and reads a body of any size. Knows
Gradio's paths; no studio and no owner.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gradio.route_utils import FnIndexInferError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from faceid.errors import trace_of
from faceid.limits import LIMITS

logger = logging.getLogger(__name__)

ROUTES = "/gradio_api/"
FILES = f"{ROUTES}file="
UPLOAD = f"{ROUTES}upload"
CALLS = (f"{ROUTES}call/", f"{ROUTES}run/", f"{ROUTES}api/")
# What this app does not use, and strangers could: proxies, recordings, links that keep a session, its figures.
CLOSED = (
    *(f"{ROUTES}{name}" for name in ("file/", "proxy=", "deep_link", "process_recording", "component_server")),
    *(f"{ROUTES}{name}" for name in ("stream/", "vibe-", "undo-vibe", "run-history", "runs")),
    "/monitoring",
)
UPLOAD_FOLDER = re.compile(r"[0-9a-f]{32}")  # as add_upload names it
PRIVATE = {  # headers of an answer that no cache keeps and no browser takes for another type
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; sandbox",  # a stranger's bytes are no page
}
MAX_BODY_BYTES = 2 * 2**20
MAX_UPLOAD_BYTES = int(LIMITS["photos"].high * LIMITS["photo_bytes"].high) + 2**20
NO_FILE = "There is no such file."
NO_ROUTE = "There is nothing here."
NO_ENDPOINT = "There is no such endpoint. /gradio_api/info lists those there are."
OUR_FAULT = "An error on this machine, not yours. Try again; if it stays, tell whoever runs this app."


class _TooLarge(Exception):
    """More came than was announced, or than is read without announcement."""


@dataclass(frozen=True)
class Guard:
    """ASGI middleware. Of files only those are served whose address cannot be guessed, and no cache keeps them:
    finished pictures in the folder `pictures`, and in `uploads` what `add_upload` put there.

    `full()`: whether the upload folder holds as much as it may; further uploads are refused meanwhile.
    """

    app: ASGIApp
    pictures: Path
    uploads: Path
    full: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or not path.startswith((ROUTES, *CLOSED)):
            await self.app(scope, receive, send)
            return
        private = _Private(send)
        limit = MAX_UPLOAD_BYTES if path.startswith(UPLOAD) else MAX_BODY_BYTES
        if refusal := self._refuse(path, scope, limit):
            await refusal(scope, receive, private)
            return
        try:
            await self.app(scope, _limited(receive, limit), private)
        except Exception as error:  # the HTTP edge: whatever it was, it is answered
            if private.started:  # a stream of a session that is over, or of none
                logger.info("a stream was ended: %s", type(error).__name__)
                await private.end()
            else:
                await _answer_to(error, path, limit)(scope, receive, private)

    def _refuse(self, path: str, scope: Scope, limit: int) -> JSONResponse | None:
        if path.startswith(CLOSED):
            return _say(404, NO_ROUTE)
        if path.startswith(FILES) and not self._is_served(path.removeprefix(FILES)):
            return _say(404, NO_FILE)
        if path.startswith(UPLOAD) and scope["method"] == "POST" and self.full():
            full = "Too many photos wait here to become tunes. Try again in some minutes."
            return _say(503, full, {"Retry-After": "300"})
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            return _too_large(limit)
        return None

    def _is_served(self, name: str) -> bool:
        """Whether it is the path of a finished picture or of an upload, however it is written."""
        try:
            path = Path(name).resolve()
            is_picture = path.parent == self.pictures.resolve() and path.suffix == ".png"
            is_upload = path.parent.parent == self.uploads.resolve() and UPLOAD_FOLDER.fullmatch(path.parent.name)
            return bool(is_picture or is_upload) and path.is_file()
        except (OSError, ValueError):  # too long, a NUL in it
            return False


class _Private:
    """Sends answers with the headers PRIVATE."""

    def __init__(self, send: Send):
        self._send = send
        self.started = self.ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            MutableHeaders(scope=message).update(PRIVATE)
        self.ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def end(self) -> None:
        """Let what was sent be all."""
        if not self.ended:
            await self({"type": "http.response.body"})


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive` that raises _TooLarge where more than `limit` bytes come."""
    read = 0

    async def receiving() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise _TooLarge
        return message

    return receiving


def _answer_to(error: Exception, path: str, limit: int) -> JSONResponse:
    """What the caller is told; the log gets no message of an error, which may quote a prompt or a key."""
    if isinstance(error, _TooLarge):
        return _too_large(limit)
    logger.info("%s failed: %s", path.split("/")[2].partition("=")[0], type(error).__name__)
    if isinstance(error, (KeyError, FnIndexInferError)):
        return _say(404, NO_ENDPOINT)
    if path.startswith(CALLS) and isinstance(error, (TypeError, ValueError)):
        return _say(422, str(error))  # Gradio's, of parameters that are missing or not known
    logger.error("%s", trace_of(error))
    return _say(500, OUR_FAULT)


def _too_large(limit: int) -> JSONResponse:
    return _say(413, f"The request is too large: at most {limit / 2**20:g} MB are taken.")


def _say(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": message}, status, headers)
