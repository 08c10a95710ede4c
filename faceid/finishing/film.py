"""The look of photographic film: colours and grain. Arithmetic on pixels: the same picture and seed, the same bits.

Colours: a matrix that mixes channels, then a curve for each. The values are ours, set by eye after what the makers say
of the films (Fujichrome Velvia: saturated, hard; Kodak Portra: soft, warm; Kodak Ektar: saturated, warm reds).
"""

import math
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from faceid.finishes import COLOR_GRADINGS

LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
GRAIN = 9.0  # of 255, the standard deviation in the middle tones
BASE_SIDE = 1024  # px: in larger pictures the grains are larger too
GRAIN_SIZE = 0.8  # px, the radius of the blur that makes grains of noise
KERNEL = 5  # px, what is left of it
UNIFORM_DEVIATION = 256 / math.sqrt(12)


class Film(NamedTuple):
    """saturation: 1 leaves it; contrast: the slope of the curve's middle; lift: what black becomes; warmth, tint: gains
    of red against blue and of green."""

    saturation: float
    contrast: float
    lift: float = 0.0
    warmth: float = 0.0
    tint: float = 0.0


FILMS: dict[str, Film] = dict(
    zip(
        COLOR_GRADINGS,
        (
            Film(saturation=1.35, contrast=1.25, tint=0.01),
            Film(saturation=0.9, contrast=0.9, lift=0.02, warmth=0.035),
            Film(saturation=1.2, contrast=1.12, warmth=0.015, tint=-0.01),
        ),
    )
)


def grade_colors(picture: Image.Image, film: str) -> Image.Image:
    """The picture in the colours of `film`, one of COLOR_GRADINGS; KeyError for another."""
    matrix, curves = _mixer(film)
    pixels = cv2.transform(np.asarray(picture.convert("RGB")), matrix)  # saturates at 0 and 255
    return Image.fromarray(cv2.LUT(pixels, curves))


def add_grain(picture: Image.Image, seed: int) -> Image.Image:
    """The picture with grain that `seed` decides, the same in all channels, faint in black and in white.

    Grains grow with the picture, so that they look alike at any size; GRAIN is their deviation in the middle tones.
    """
    pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[:2]
    scale = max(1.0, max(height, width) / BASE_SIDE)
    noise = _grains(round(height / scale), round(width / scale), seed)
    if scale > 1:
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    noise *= cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), _grain_of_tone())
    return Image.fromarray(cv2.add(pixels, cv2.merge([noise] * 3), dtype=cv2.CV_8U))


def _grains(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width) float32: blurred noise of deviation 1."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8).astype(np.float32)
    noise -= 127.5
    noise = cv2.GaussianBlur(noise, (KERNEL, KERNEL), GRAIN_SIZE, borderType=cv2.BORDER_REFLECT)
    noise *= 2 * math.sqrt(math.pi) * GRAIN_SIZE / UNIFORM_DEVIATION  # the blur leaves 1 / (2 r sqrt(pi)) of it
    return noise


@cache
def _mixer(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The (3, 3) float32 matrix on RGB and the (256, 1, 3) uint8 curves of a film."""
    film = FILMS[name]
    grey = np.tile(np.array(LUMA), (3, 1))
    matrix = grey + film.saturation * (np.eye(3) - grey)
    tones = np.arange(256) / 255
    curve = film.lift + (1 - film.lift) * _s_curve(tones, film.contrast)
    gains = np.array([1 + film.warmth, 1 + film.tint, 1 - film.warmth])
    curves = curve[:, None] ** (1 / gains)  # a gain as an exponent leaves black and white where they are
    return matrix.astype(np.float32), np.rint(255 * curves).astype(np.uint8).reshape(256, 1, 3)


def _s_curve(tones: np.ndarray, slope: float) -> np.ndarray:
    """Tones 0 to 1 through a curve of that slope at 0.5 that keeps 0, 0.5 and 1."""
    low, high = 0.5 * (2 * tones) ** slope, 1 - 0.5 * (2 * (1 - tones)) ** slope
    return np.where(tones < 0.5, low, high)


@cache
def _grain_of_tone() -> np.ndarray:
    """The deviation (256,) float32 of the grain by tone: none in black and white, all of it in the middle."""
    tones = np.arange(256, dtype=np.float32) / 255
    return (GRAIN * np.sqrt(4 * tones * (1 - tones)) * 0.9 + GRAIN * 0.1 * (tones > 0)).astype(np.float32)
