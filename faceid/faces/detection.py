"""Finds the faces in a photo: at several sizes, and lying on a side where none stands upright.

Owns the geometry around an insightface detector; knows nothing of identities, files or messages.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from faceid.faces.alignment import spans_face

DETECTION_SIDE = 640  # px, what SCRFD and CenterFace are used at; a smaller photo is not enlarged
CLOSE_UP_SIDE = 256  # SCRFD overlooks a face that fills a 640 px picture
WIDE_SIDE = 1280  # a face of 48 px in a photo of 4096 has 15 px here
SIDE_MULTIPLE = 32  # the coarsest stride


class Detector(Protocol):
    """insightface's SCRFD, or what has its method."""

    def detect(self, img: np.ndarray, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """BGR (H, W, 3) uint8 -> (n, 5) left, top, right, bottom, score and (n, 5, 2) landmarks xy, px."""


class Detection(NamedTuple):
    """A face in the photo's pixels. `box` is left, top, right, bottom; landmarks (5, 2) xy float32: eyes, nose, mouth.

    `quarter_turns` counter-clockwise turn the photo so that the face stands upright: 0 to 3.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float
    quarter_turns: int = 0

    @property
    def side(self) -> float:
        """The shorter side of the box, px."""
        left, top, right, bottom = self.box
        return min(right - left, bottom - top)

    @property
    def area(self) -> float:
        """The box's area, square px."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def detect_faces(detector: Detector, rgb: np.ndarray) -> list[Detection]:
    """All faces of a photo (H, W, 3) uint8 that can be aligned, the largest first; empty where there is none.

    A face that lies on its side or its head is detected once more with the photo turned: its landmarks are better so.
    """
    for longest_side, turns in _attempts(max(rgb.shape[:2])):
        found = _detect_once(detector, rgb, longest_side, turns)
        if found:
            upright = _turns_to_upright(found[0].landmarks)
            return found if upright == turns else _detect_once(detector, rgb, longest_side, upright) or found
    return []


def _attempts(photo_side: int) -> Iterator[tuple[int, int]]:
    """Longest side (px) and quarter turns of each try, the likeliest first."""
    yield DETECTION_SIDE, 0
    if photo_side > CLOSE_UP_SIDE:
        yield CLOSE_UP_SIDE, 0
    if photo_side > DETECTION_SIDE:
        yield WIDE_SIDE, 0
    for turns in (1, 3, 2):
        yield DETECTION_SIDE, turns


def _detect_once(detector: Detector, rgb: np.ndarray, longest_side: int, turns: int) -> list[Detection]:
    """One run of the detector on the photo turned by `turns` and shrunk to `longest_side`, largest face first."""
    turned = np.rot90(rgb, turns)
    scale = min(1.0, longest_side / max(turned.shape[:2]))
    canvas = _shrink_and_pad(turned, scale)
    boxes, landmarks = detector.detect(canvas, input_size=(canvas.shape[1], canvas.shape[0]))
    found = []
    for box, points in zip(boxes, landmarks):
        corners = _map_points(box[:4].reshape(2, 2) / scale, rgb.shape, turns)
        left_top, right_bottom = corners.min(axis=0), corners.max(axis=0)
        points = _map_points(points / scale, rgb.shape, turns)
        if spans_face(points):
            found.append(Detection((*left_top.tolist(), *right_bottom.tolist()), points, float(box[4]), turns))
    return sorted(found, key=lambda face: face.area, reverse=True)


def _shrink_and_pad(rgb: np.ndarray, scale: float) -> np.ndarray:
    """BGR at `scale`, black to the right and below up to multiples of 32, so that insightface does not resize it."""
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    small = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    padded = (-(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE for side in (height, width))
    canvas = np.zeros((*padded, 3), np.uint8)
    canvas[:height, :width] = small[..., ::-1]
    return canvas


def _map_points(points: np.ndarray, shape: tuple[int, ...], turns: int) -> np.ndarray:
    """Points xy (n, 2) of `np.rot90(photo, turns)` as points of the photo, whose shape is (H, W, …)."""
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    match turns % 4:
        case 0:
            mapped = (x, y)
        case 1:
            mapped = (width - 1 - y, x)
        case 2:
            mapped = (width - 1 - x, height - 1 - y)
        case _:
            mapped = (y, height - 1 - x)
    return np.stack(mapped, axis=1).astype(np.float32)


def _turns_to_upright(landmarks: np.ndarray) -> int:
    """Quarter turns counter-clockwise that bring the line through the eyes nearest to level."""
    x, y = landmarks[1] - landmarks[0]
    return round(np.degrees(np.arctan2(y, x)) / 90) % 4
