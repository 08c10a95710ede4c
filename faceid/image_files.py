"""Reads an image file that somebody sent, within limits that are checked before anything is decoded.

Owns the formats, the limits and what is said of a file that breaks them; does not know what the picture is for.
"""

import io
import logging
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps, UnidentifiedImageError

from faceid.errors import FaceIDError
from faceid.limits import LIMITS

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")  # HEIC is opened by pillow-heif itself, so that Pillow stays as it was
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # ISO/IEC 23008-12, "ftyp" box
LONGEST_SIDE = 4096  # px; nothing here is used larger, more costs memory and shows nothing
MOST_SCANS = 64  # of a JPEG
WHITE = (255, 255, 255, 255)

# A marker of a JPEG, neither a restart nor a byte of its data.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)

# What Pillow and pillow-heif raise for a file that is damaged; nothing of it is a fault of ours.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, RuntimeError, struct.error, zlib.error)


class BadImageFile(FaceIDError):
    """The file cannot be used. The text says what is wrong with it and what to do; it has no name in it."""


def read_image_file(content: bytes) -> Image.Image:
    """The picture as people see it: 8-bit RGB, RGBA where it has transparency, EXIF applied, at most 4096 px long.

    JPEG, PNG, WebP, HEIC, AVIF; the first frame of an animation; 16 bits scaled to 8. BadImageFile where the file is
    empty, too large in bytes or pixels (told from the header, before decoding), of another format, or damaged. A file
    that is cut off is damaged: half a picture is not used.
    """
    _check_bytes(content)
    with _explained():
        image = _open(content)
        _check_pixels(image)
        _check_scans(content)
        image.draft(None, _fit(image.size))  # lets a JPEG decode at a half, a quarter or an eighth
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_eight_bits(image)


def flatten(image: Image.Image) -> Image.Image:
    """RGB of what `read_image_file` gave: transparency on white."""
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")


def _check_bytes(content: bytes) -> None:
    size, limit = len(content), LIMITS["photo_bytes"].high
    if not size:
        raise BadImageFile("The file is empty. Upload it again.")
    if size > limit:
        raise BadImageFile(
            f"The file has {size / 2**20:.1f} MB; at most {limit / 2**20:g} MB are taken. Send a smaller copy."
        )


def _check_pixels(image: Image.Image) -> None:
    pixels, limit = image.width * image.height, LIMITS["photo_pixels"].high
    if pixels > limit:
        raise BadImageFile(
            f"The picture has {image.width} x {image.height} px, {pixels / 1e6:.1f} megapixels; at most "
            f"{limit / 1e6:g} are taken. Send a smaller copy."
        )


def _check_scans(content: bytes) -> None:
    """A progressive JPEG refines its pixels scan by scan, about ten times; thousands cost minutes in a small file."""
    if content[:2] == b"\xff\xd8" and (scans := _count_scans(content)) > MOST_SCANS:
        raise BadImageFile(
            f"The JPEG has {scans} scans or more; at most {MOST_SCANS} are taken. Save it anew and send that."
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
def _explained() -> Iterator[None]:
    """Say what Pillow's errors mean to whoever sent the file."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise BadImageFile(
            "This is not a JPEG, PNG, WebP, HEIC or AVIF picture, or it is damaged. Send it as one of these."
        ) from error
    except Image.DecompressionBombError as error:
        limit = LIMITS["photo_pixels"].high / 1e6
        raise BadImageFile(
            f"The picture claims far more than {limit:g} megapixels, the most that are taken. Send a smaller copy."
        ) from error
    except DAMAGE as error:
        logger.info("a picture could not be decoded: %s", type(error).__name__)
        raise BadImageFile(
            "The file is damaged or cut off and cannot be decoded. Upload it again, or send another."
        ) from error


def _open(content: bytes) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    file = io.BytesIO(content)
    if content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS and b"avif" not in content[8:40]:
        from pillow_heif.as_plugin import HeifImageFile  # a library of its own: only where there is such a file

        return HeifImageFile(file)
    return Image.open(file, formats=FORMATS)


def _fit(size: tuple[int, int]) -> tuple[int, int]:
    """`size` scaled down, aspect kept, so that the longest side is LONGEST_SIDE."""
    scale = min(1.0, LONGEST_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """8-bit RGB or RGBA, scaled down before anything is laid over it: full-size layers would cost a gigabyte."""
    if image.mode.startswith("I"):  # 16-bit grey
        import numpy as np

        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return image
