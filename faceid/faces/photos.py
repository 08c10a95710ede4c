"""Reads an uploaded photo into upright RGB pixels, within limits that are checked before anything is decoded.

Owns the formats, the limits' messages and the order of the steps; knows nothing of faces.
"""

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pillow_heif.as_plugin import HeifImageFile

from faceid.domain import Upload
from faceid.errors import InvalidPhotos, PhotoProblem
from faceid.limits import LIMITS

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")  # HEIC is opened by pillow-heif itself, so that Pillow stays as it was
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # ISO/IEC 23008-12, "ftyp" box
LONGEST_SIDE = 4096  # px; faces are aligned to 512, more costs memory and shows nothing
WHITE = (255, 255, 255)

# What Pillow and pillow-heif raise for a file that is damaged; nothing of it is a fault of ours.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, RuntimeError, struct.error, zlib.error)


def read_photo(upload: Upload) -> np.ndarray:
    """The photo as people see it: (H, W, 3) uint8 RGB, EXIF orientation applied, at most 4096 px long.

    JPEG, PNG, WebP, HEIC, AVIF; the first frame of an animation; transparency on white; 16 bits scaled to 8.
    InvalidPhotos names the photo where it is empty, too large in bytes or pixels (told from the header, before
    decoding), of another format, or damaged. A file that is cut off is damaged: half a face is not used.
    """
    _check_bytes(upload)
    with _blame(upload), _open(upload) as image:
        _check_pixels(upload, image)
        image.draft(None, _fit(image.size))  # lets a JPEG decode at a half, a quarter or an eighth
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _to_rgb(image)
        rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        return np.array(rgb)


def _check_bytes(upload: Upload) -> None:
    size, limit = len(upload.content), LIMITS["photo_bytes"].high
    if not size:
        raise refuse(upload, "The file is empty. Upload it again.")
    if size > limit:
        raise refuse(
            upload, f"The file has {size / 2**20:.1f} MB; at most {limit / 2**20:g} MB are taken. Send a smaller copy."
        )


def _check_pixels(upload: Upload, image: Image.Image) -> None:
    pixels, limit = image.width * image.height, LIMITS["photo_pixels"].high
    if pixels > limit:
        raise refuse(
            upload,
            f"The picture has {image.width} x {image.height} px, {pixels / 1e6:.1f} megapixels; at most "
            f"{limit / 1e6:g} are taken. Send a smaller copy.",
        )


@contextmanager
def _blame(upload: Upload) -> Iterator[None]:
    """Say what Pillow's errors mean to the photo's owner."""
    try:
        yield
    except InvalidPhotos:
        raise
    except UnidentifiedImageError as error:
        raise refuse(
            upload,
            "This is not a JPEG, PNG, WebP, HEIC or AVIF picture, or it is damaged. Send the photo as one of these.",
        ) from error
    except Image.DecompressionBombError as error:
        limit = LIMITS["photo_pixels"].high / 1e6
        raise refuse(
            upload,
            f"The picture claims far more than {limit:g} megapixels, the most that are taken. Send a smaller copy.",
        ) from error
    except DAMAGE as error:
        logger.info("a photo could not be decoded: %s", type(error).__name__)
        raise refuse(
            upload, "The file is damaged or cut off and cannot be decoded. Upload it again, or send another photo."
        ) from error


def _open(upload: Upload) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    file = io.BytesIO(upload.content)
    if upload.content[4:8] == b"ftyp" and upload.content[8:12] in HEIC_BRANDS and b"avif" not in upload.content[8:40]:
        return HeifImageFile(file)
    return Image.open(file, formats=FORMATS)


def _fit(size: tuple[int, int]) -> tuple[int, int]:
    """`size` scaled down, aspect kept, so that the longest side is LONGEST_SIDE."""
    scale = min(1.0, LONGEST_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (*WHITE, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def refuse(upload: Upload, message: str) -> InvalidPhotos:
    """The error that names `upload` and says `message`."""
    return InvalidPhotos([PhotoProblem(upload.name, message)])
