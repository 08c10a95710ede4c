"""Pictures that tests may show (public domain or generated), as arrays and as uploads."""

import io
from functools import cache
from pathlib import Path

import insightface
import numpy as np
import skimage.data
from PIL import Image

from faceid.domain import Upload


@cache
def astronaut() -> Image.Image:
    """Eileen Collins, 512 x 512, one face about 90 px wide (NASA, public domain)."""
    return Image.fromarray(skimage.data.astronaut())


@cache
def six_people() -> Image.Image:
    """insightface's t1: 1280 x 886, six faces."""
    return Image.open(Path(insightface.__file__).parent / "data/images/t1.jpg").convert("RGB")


def nobody(name: str) -> Image.Image:
    """scikit-image's cat, coffee or rocket."""
    return Image.fromarray(getattr(skimage.data, name)())


def magenta_square(centre: tuple[int, int] = (320, 256), size: tuple[int, int] = (640, 480)) -> Image.Image:
    """What the tiny pack takes for a face, with something in it to embed."""
    pixels = np.random.default_rng(centre[0]).integers(0, 90, (size[1], size[0], 3), np.uint8)
    x, y = centre
    pixels[y - 64 : y + 64, x - 64 : x + 64] = (255, 0, 255)
    return Image.fromarray(pixels)


def encode(image: Image.Image, form: str = "PNG", name: str | None = None, **options) -> Upload:
    """The picture as an uploaded file of the format `form`."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return Upload(name or f"photo.{form.lower()}", file.getvalue())
