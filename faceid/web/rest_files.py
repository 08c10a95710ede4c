"""Photos and pictures over HTTP: whoever has the address may look, and nobody keeps a copy on the way."""

from fastapi import APIRouter, Response

from faceid.errors import NotFound
from faceid.web.guard import PRIVATE
from faceid.web.rest_context import RestContext
from faceid.web.rest_openapi import refusals

_SIGNATURES = (  # (where, the bytes there, the type)
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp", "image/heic"),
)
IMAGE = {200: {"description": "the image", "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}


def file_routes(context: RestContext) -> APIRouter:
    """`/photos/…` and `/pictures/…`, as they stand in `orig_images` and `images`."""
    router = APIRouter(tags=["files"], responses=IMAGE | refusals(404, 422))
    options = {"response_class": Response}

    @router.get("/photos/{tune_id}/{position}/{token}", **options)
    def get_photo(tune_id: int, position: int, token: str):
        """A photo of a tune, as it was uploaded."""
        context.check_photo_path(tune_id, position, token)
        photo = context.studio.photo(tune_id, position)
        return Response(photo, media_type=media_type(photo), headers=PRIVATE)

    @router.get("/pictures/{name}", **options)
    def get_picture(name: str):
        """A picture of a prompt."""
        try:
            png = context.studio.picture_path(name).read_bytes()
        except FileNotFoundError:  # deleted this moment
            raise NotFound("There is no such picture.") from None
        return Response(png, media_type="image/png", headers=PRIVATE)

    return router


def media_type(photo: bytes) -> str:
    """The type of an image by its first bytes; of anything else, that it is bytes."""
    for where, signature, kind in _SIGNATURES:
        if photo[where : where + len(signature)] == signature:
            return kind
    return "application/octet-stream"
