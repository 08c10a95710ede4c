"""Refusals of the HTTP API: each error of the project as a status and JSON with `message` and `errors`. A 500 leaks
nothing."""

import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from faceid.errors import (
    BadBody,
    BodyTooLarge,
    BodyTooSlow,
    FaceIDError,
    InvalidPhotos,
    InvalidRequest,
    NotAdmitted,
    NotFound,
    NotReady,
    QueueFull,
    StorageFull,
    Unavailable,
    trace_of,
)
from faceid.web.guard import OUR_FAULT

logger = logging.getLogger(__name__)

STATUS: dict[type[FaceIDError], int] = {  # the first that fits
    InvalidRequest: 422,
    NotAdmitted: 401,
    NotFound: 404,
    Unavailable: 503,  # or 422, see answer_error
    NotReady: 503,
    QueueFull: 429,
    StorageFull: 507,
    BodyTooLarge: 413,
    BodyTooSlow: 408,
    BadBody: 400,
}
RETRY_SECONDS = 60
_FIELD = re.compile(r"(\w+): ")


def answer(
    status: int,
    message: str,
    errors: Mapping[str, list[str]] = MappingProxyType({}),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A refusal; `errors` by their fields."""
    return JSONResponse({"message": message, "errors": dict(errors)}, status, headers)


def answer_error(error: FaceIDError) -> JSONResponse:
    """The refusal of one of the project's errors; those that are not the caller's to mend are told plainly."""
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        logger.error("%s: %s", type(error).__name__, error)
        return answer(500, OUR_FAULT)
    text, headers = str(error), {}
    field = error.field if isinstance(error, InvalidRequest) else None
    if isinstance(error, Unavailable) and (named := _FIELD.match(text)):  # another value of this field can be had
        status, field = 422, named[1]
    if status in (429, 503):
        headers["Retry-After"] = str(math.ceil(getattr(error, "retry_after", RETRY_SECONDS)))
    elif status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, BadBody):
        headers["Connection"] = "close"  # some of the body may be unread
    if isinstance(error, InvalidPhotos):
        return answer(status, text, {field: [f"{p.photo}: {p.message}" for p in error.problems]}, headers)
    return answer(status, text, {field: [text.removeprefix(f"{field}: ")]} if field else {}, headers)


def answer_validation(found: Iterable[Mapping[str, Any]]) -> JSONResponse:
    """The refusal of pydantic's errors, each under its field's name; a malformed id in the path is an unknown one."""
    errors: defaultdict[str, list[str]] = defaultdict(list)
    for error in found:
        place = [str(part) for part in error["loc"]]
        if place[:1] == ["path"]:
            return answer(404, f"There is no {place[-1].removesuffix('_id')} with this id.")
        field = ".".join(place[1:] if place[:1] == ["query"] else place)
        reason = str(error["ctx"]["error"]) if error["type"] == "value_error" else f"{error['msg']}."
        errors[field].append(reason)
    return answer(
        422, " ".join(f"{field}: {reason}" for field, reasons in errors.items() for reason in reasons), errors
    )


def register_handlers(api: FastAPI) -> None:
    """Let `api` answer every refusal as JSON."""

    @api.exception_handler(FaceIDError)
    async def of_ours(_request: Request, error: FaceIDError) -> JSONResponse:
        return answer_error(error)

    @api.exception_handler(RequestValidationError)
    @api.exception_handler(ValidationError)
    async def of_fields(_request: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        return answer_validation(error.errors())

    @api.exception_handler(HTTPException)
    async def of_routing(request: Request, error: HTTPException) -> JSONResponse:
        unknown = f"There is no {request.method} {request.url.path[:200]} here."
        response = answer(error.status_code, unknown if error.status_code in (404, 405) else error.detail)
        if error.status_code == 405:
            response.headers["Allow"] = ", ".join(sorted(_methods(api, request.url.path)))
        return response

    @api.exception_handler(Exception)
    async def of_nobodys(_request: Request, _error: Exception) -> JSONResponse:
        return answer(500, OUR_FAULT)  # unless an answer has begun; Starlette raises it again, for the `Edge`


def _methods(api: FastAPI, path: str) -> set[str]:
    """The methods of every route that fits `path`."""
    described = api.openapi()["paths"].items()
    return {method.upper() for known, item in described if compile_path(known)[0].match(path) for method in item}


class Edge:
    """Around the whole HTTP API: an error that nobody foresaw, and that was answered, is logged without its text."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # whatever it was: the server would log its text, which may quote a prompt
            logger.error("%s %s failed: %s", scope["method"], _route(scope), trace_of(error))


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "?")  # its pattern, not what stood in its place
