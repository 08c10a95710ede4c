"""Small faces, drawn again at full resolution and put back: in a long shot a face has too few latents to be anybody.

Knows boxes, crops and masks; how a crop is drawn is given.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

from faceid.faces.detection import Detection
from faceid.faces.pasting import mix, soft_mask

SMALL = 0.16  # of the drawn picture's native side: below, a face is drawn again
LEAST_SIDE = 8  # px of a box: below, a crop shows nothing to go by
MARGIN = 0.6  # of the box's longer side, on every side of the face
STRENGTH = 0.6
MASK_GROWTH = 0.25  # of the box, on every side: hairline and chin are drawn too

Redraw = Callable[[Image.Image, Image.Image, int], Image.Image]  # a crop, its mask, its number


def find_small(faces: Sequence[Detection], below: float) -> list[Detection]:
    """The faces whose box's shorter side is under `below` px, and not too small to be seen."""
    return [face for face in faces if LEAST_SIDE <= face.side < below]


def inpaint_faces(picture: Image.Image, faces: Sequence[Detection], redraw: Redraw, *, side: int) -> Image.Image:
    """The picture (RGB) with each of `faces` drawn again in a square crop of `side` px.

    Beyond the crops the pixels are untouched. What `redraw` gives may be larger than what it got.
    """
    pixels = np.array(picture.convert("RGB"))
    for number, face in enumerate(faces):
        left, top, length = _square_around(face, pixels.shape)
        part = np.s_[top : top + length, left : left + length]
        crop = _resize(pixels[part], side)
        mask = _face_mask(face, left, top, length, side)
        drawn = np.asarray(redraw(Image.fromarray(crop), Image.fromarray(mask), number).convert("RGB"))
        weight = cv2.resize(cv2.GaussianBlur(mask, (0, 0), side / 32), (length, length)).astype(np.float32) / 255
        weight *= soft_mask(length, length)  # nothing at the crop's own edge, wherever the face lies in it
        pixels[part] = mix(pixels[part], _resize(drawn, length), weight[..., None])
    return Image.fromarray(pixels)


def _square_around(face: Detection, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Left, top and side in px of the square around a face, with its margin, inside of the picture."""
    height, width = shape[:2]
    x1, y1, x2, y2 = face.box
    length = min(round((1 + 2 * MARGIN) * max(x2 - x1, y2 - y1)), width, height)
    left = min(max(round((x1 + x2 - length) / 2), 0), width - length)
    top = min(max(round((y1 + y2 - length) / 2), 0), height - length)
    return left, top, length


def _face_mask(face: Detection, left: int, top: int, length: int, side: int) -> np.ndarray:
    """(side, side) uint8: 255 in the ellipse of the face, 0 around it."""
    x1, y1, x2, y2 = ((edge - start) * side / length for edge, start in zip(face.box, (left, top, left, top)))
    centre = (round((x1 + x2) / 2), round((y1 + y2) / 2))
    axes = (round((x2 - x1) * (0.5 + MASK_GROWTH)), round((y2 - y1) * (0.5 + MASK_GROWTH)))
    return cv2.ellipse(np.zeros((side, side), np.uint8), centre, axes, 0, 0, 360, 255, cv2.FILLED)


def _resize(pixels: np.ndarray, side: int) -> np.ndarray:
    shrinks = len(pixels) > side
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
