"""The picture that drawing starts from, and the mask that says where: read, turned upright, flattened, made to fit.

Knows sizes; nothing of file formats (`image_files`) and networks.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from faceid.domain import Upload
from faceid.errors import InvalidRequest
from faceid.image_files import BadImageFile, flatten, read_image_file

if TYPE_CHECKING:
    import numpy as np


WHITE = 128  # of a mask's 0 to 255: from there on it is drawn


@dataclass(frozen=True, eq=False)
class StartingPicture:
    """What a picture is drawn from: pixels (height, width, 3) uint8 RGB, of the size that is drawn.

    strength: how much of it is drawn again, 0 to 1. mask (height, width) uint8: only where it is 128 and above; None:
    everywhere.
    """

    pixels: "np.ndarray" = field(repr=False)
    strength: float
    mask: "np.ndarray | None" = field(default=None, repr=False)


def read_input(upload: Upload) -> Image.Image:
    """`input_image` as people see it: RGB, EXIF orientation applied, transparency on white. InvalidRequest names it."""
    return flatten(_read(upload, "input_image"))


def read_mask(upload: Upload, size: tuple[int, int]) -> Image.Image:
    """`mask_image` as L, in `size`: white is drawn, black and transparent stay.

    `size` is the upright input's: a mask of another shape is refused. InvalidRequest where nothing is white.
    """
    picture = _read(upload, "mask_image")
    mask = picture.convert("L")
    if picture.mode == "RGBA":
        opaque = picture.getchannel("A").point(lambda value: 255 if value > 127 else 0)
        mask = Image.composite(mask, Image.new("L", mask.size), opaque)
    if abs(mask.width / mask.height / (size[0] / size[1]) - 1) > 0.02:
        raise InvalidRequest(
            f"mask_image: has {mask.width} × {mask.height} px, input_image {size[0]} × {size[1]} px; the mask must "
            "have the picture's shape.",
            field="mask_image",
        )
    if not _has_white(mask):
        raise InvalidRequest("mask_image: is black all over. Paint white what is to be drawn.", field="mask_image")
    return mask.resize(size)


def fit_start(
    picture: Image.Image, mask: Image.Image | None, width: int, height: int, strength: float
) -> StartingPicture:
    """The picture and its mask filling width × height px: scaled, and what is too much cut off evenly.

    InvalidRequest where nothing white is left of the mask: its white was cut off, or is too small to be seen.
    """
    import numpy as np

    size = (width, height)
    pixels = np.asarray(ImageOps.fit(picture, size, Image.Resampling.LANCZOS))
    if mask is None:
        return StartingPicture(pixels, strength)
    mask = ImageOps.fit(mask, size, Image.Resampling.BILINEAR)
    if not _has_white(mask):
        raise InvalidRequest(
            f"mask_image: nothing white is left of it at {width} × {height} px, the size that is drawn. Paint more of "
            "it white, or ask for the picture's own shape.",
            field="mask_image",
        )
    return StartingPicture(pixels, strength, np.asarray(mask))


def _has_white(mask: Image.Image) -> bool:
    return mask.getextrema()[1] >= WHITE


def _read(upload: Upload, name: str) -> Image.Image:
    try:
        return read_image_file(upload.content)
    except BadImageFile as error:
        raise InvalidRequest(f"{name}: {upload.name!r} cannot be used. {error}", field=name) from error
