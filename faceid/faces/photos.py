"""Reads an uploaded photo into upright RGB pixels, within limits that are checked before anything is decoded.

Owns the formats, the limits' messages and the order of the steps; knows nothing of faces.
"""

import io
import logging
import re
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
MOST_SCANS = 64  # of a JPEG
WHITE = (255, 255, 255)

# A marker of a JPEG, neither a restart nor a byte of its data.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)

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
        _check_scans(upload)
        image.draft(None, _fit(image.size))  # lets a JPEG decode at a half, a quarter or an eighth
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return np.array(_to_rgb(image))


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


def _check_scans(upload: Upload) -> None:
    """A progressive JPEG refines its pixels scan by scan, about ten times; thousands cost minutes in a small file."""
    if upload.content[:2] == b"\xff\xd8" and (scans := _count_scans(upload.content)) > MOST_SCANS:
        raise refuse(
            upload, f"The JPEG has {scans} scans or more; at most {MOST_SCANS} are taken. Save it anew and send that."
        )


def _count_scans(content: bytes) -> int:
    """The SOS markers of a JPEG (ITU T.81, B.1.1), as far as it takes to know that there are too many."""
    at, scans = 2, 0
    while scans <= MOST_SCANS and (marker := _MARKER.search(content, at)):
        if marker[1] == b"\xd9":  # the end of the picture
            break
        scans += marker[1] == b"\xda"
        at = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])  # its segment's length
    return scans


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
    """8-bit RGB on white, scaled down before anything is laid over it: full-size layers would cost a gigabyte."""
    if image.mode.startswith("I"):  # 16-bit grey
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (*WHITE, 255)), image).convert("RGB")


def refuse(upload: Upload, message: str) -> InvalidPhotos:
    """The error that names `upload` and says `message`."""
    return InvalidPhotos([PhotoProblem(upload.name, message)])
