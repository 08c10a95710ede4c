"""What every route of the HTTP API needs: whose a call is, its body, and the addresses of what it answers."""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.responses import JSONResponse
from gradio.context import LocalContext
from starlette.concurrency import run_in_threadpool

from faceid.domain import Prompt, Tune
from faceid.errors import BadBody, NotFound
from faceid.studio import Studio
from faceid.web.owners import HUB_TOKEN, Owners, key_in
from faceid.web.rest_reading import Fetch
from faceid.web.rest_schemas import prompt_out, tune_out

_HOST = re.compile(r"(?:[A-Za-z0-9.\-_]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


@dataclass(frozen=True)
class RestContext:
    """`fetch(url, max_bytes, field=…)` gets what a URL leads to, `announce(owner, url, object)` posts a callback,
    `secret` makes the addresses of photos unguessable."""

    studio: Studio
    owners: Owners
    fetch: Fetch
    announce: Callable[[str, str, Mapping[str, Any]], None]
    secret: bytes = field(repr=False)

    async def owner(self, request: Request) -> str:
        """Whose the call is, by its headers alone; NotAdmitted."""
        if key_in(request.headers).startswith(HUB_TOKEN):
            return await run_in_threadpool(self.owners.of_call, request.headers)  # the Hub may be asked
        return self.owners.of_call(request.headers)

    def tune_json(self, tune: Tune, origin: str) -> dict[str, Any]:
        """The tune as it is answered to calls of `origin`."""
        return tune_out(tune, origin, self.photo_path)

    def prompt_json(self, prompt: Prompt, origin: str) -> dict[str, Any]:
        """The prompt as it is answered to calls of `origin`."""
        return prompt_out(prompt, origin, lambda path: f"/pictures/{Path(path).name}")

    def announce_prompt(self, prompt: Prompt) -> None:
        """Post a prompt that has ended to its callback."""
        self.announce(prompt.owner, prompt.callback, self.prompt_json(prompt, prompt.origin or ""))

    def photo_path(self, tune_id: int, position: int) -> str:
        """Where a photo is served: nobody finds it without the secret."""
        token = hmac.new(self.secret, f"photo:{tune_id}:{position}".encode(), hashlib.sha256).hexdigest()
        return f"/photos/{tune_id}/{position}/{token}"

    def check_photo_path(self, tune_id: int, position: int, token: str) -> None:
        """NotFound where the token is not the one of `photo_path`."""
        wanted = self.photo_path(tune_id, position).rpartition("/")[2]
        if not hmac.compare_digest(token.encode(), wanted.encode()):
            raise NotFound("There is no such photo.")


def answer_json(content: Any, status: int = 200) -> JSONResponse:
    """What was put together by `rest_schemas`, as it is: FastAPI would check and copy it once more."""
    return JSONResponse(content, status)


def origin_of(request: Request) -> str:
    """The address that the call was sent to, as https://host:port, behind a proxy too."""
    host = _first(request, "x-forwarded-host") or _first(request, "host")
    scheme = _first(request, "x-forwarded-proto") or request.scope["scheme"]
    if not _HOST.fullmatch(host) or scheme not in ("http", "https"):
        raise BadBody("The header Host (or X-Forwarded-Host, X-Forwarded-Proto) cannot be read.")
    return f"{scheme}://{host}{request.scope.get('root_path', '')}"


def carry_quota(request: Request) -> None:
    """Let what this call starts count on its caller's ZeroGPU quota: `spaces` reads the token of this request."""
    LocalContext.request.set(gr.Request(request))


def _first(request: Request, header: str) -> str:
    return request.headers.get(header, "").partition(",")[0].strip()
