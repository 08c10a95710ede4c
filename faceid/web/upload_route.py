"""`POST /gradio_api/upload` in the place of Gradio's own, for the page and gradio_client: 1 to 20 photos, no more.

Gradio's takes 1000 files of any number of bytes together, leaves half-sent ones behind, and names a folder by the
photo's hash, so that who has a photo can ask whether it was uploaded. Knows no studio and no owner.
"""

from contextlib import closing

from gradio.routes import file_upload_statuses
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from faceid.errors import InvalidRequest, UserError
from faceid.limits import LIMITS
from faceid.validation import check_photo_count
from faceid.web.forms import MULTIPART, Pace, arriving
from faceid.web.guard import UPLOAD
from faceid.web.parts import FilePart, MultipartReader, full_disk_explained
from faceid.web.rest_errors import answer_error
from faceid.web.uploads import add_upload

FIELD = "files"


def upload_route(pace: Pace = Pace()) -> Route:  # noqa: B008  frozen
    """The route; `pace` says how slowly a body may come."""

    async def upload(request: Request) -> Response:
        upload_id = request.query_params.get("upload_id")
        try:
            return JSONResponse(await _take(request, pace))
        except UserError as error:
            return answer_error(error)
        finally:
            if upload_id:  # the page waits for it, and shows no progress of what is over in a moment
                file_upload_statuses.set_done(upload_id)

    return Route(UPLOAD, upload, methods=["POST"])


async def _take(request: Request, pace: Pace) -> list[str]:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind.decode("latin-1").strip() != MULTIPART:
        raise InvalidRequest(f"{FIELD}: send photos as {MULTIPART}.", field=FIELD)
    with closing(MultipartReader(options.get(b"boundary", b""))) as reader:
        async for chunk in arriving(request, int(LIMITS["body_bytes"].high), pace):
            await run_in_threadpool(reader.write, chunk)
        return await run_in_threadpool(_keep, reader)


def _keep(reader: MultipartReader) -> list[str]:
    parts = [part for key, part in reader.pairs() if key == FIELD and isinstance(part, FilePart)]
    check_photo_count(len(parts))
    with full_disk_explained():
        return [add_upload(reader.upload(part)) for part in parts]
