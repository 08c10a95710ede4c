"""Puts a changed crop back into its picture, without an edge. Knows pixels and masks; not what was changed."""

import cv2
import numpy as np


def soft_mask(height: int, width: int, fade: float = 0.1) -> np.ndarray:
    """(height, width) float32: 1 inside, 0 at the edge, smooth over `fade` of the shorter side on every edge."""
    reach = max(1.0, fade * min(height, width))
    return np.outer(_fade(height, reach), _fade(width, reach))


def oval_mask(side: int, fade: float = 0.12) -> np.ndarray:
    """(side, side) float32: 1 in an upright oval as a face fills an aligned crop, 0 at the edge, smooth between."""
    places = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    distance = np.hypot(places[None, :] / 0.92, places[:, None] / 0.98)  # 1 on the oval
    return _smooth((1 - distance) / (2 * fade))


def paste_aligned(picture: np.ndarray, crop: np.ndarray, transform: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with an aligned crop put back where it came from.

    picture (H, W, 3) uint8; crop (h, w, 3) uint8, which `transform` (2, 3) made of the picture (cv2.warpAffine's, from
    picture to crop); mask (h, w) float32, 0 to 1. A new array; outside of the mask the pixels are untouched.
    """
    height, width = crop.shape[:2]
    back = cv2.invertAffineTransform(transform)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64) @ back[:, :2].T + back[:, 2]
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (picture.shape[1], picture.shape[0]))
    changed = picture.copy()
    if right <= left or bottom <= top:
        return changed
    back[:, 2] -= (left, top)
    size = (int(right - left), int(bottom - top))
    large = cv2.warpAffine(crop, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(mask, back, size, flags=cv2.INTER_LINEAR)[..., None]  # 0 outside of the crop
    part = np.s_[top:bottom, left:right]
    changed[part] = mix(picture[part], large, weight)
    return changed


def mix(below: np.ndarray, above: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """uint8 pixels: `above` where weight (…, 1) is 1, `below`, bit for bit, where it is 0."""
    return np.rint(below + weight * (above.astype(np.float32) - below)).clip(0, 255).astype(np.uint8)


def _fade(length: int, reach: float) -> np.ndarray:
    places = np.arange(length, dtype=np.float32) + 0.5
    return _smooth(np.minimum(places, length - places) / reach)


def _smooth(values: np.ndarray) -> np.ndarray:
    """0 to 1 without a kink at either end."""
    values = values.clip(0, 1)
    return (values * values * (3 - 2 * values)).astype(np.float32)
