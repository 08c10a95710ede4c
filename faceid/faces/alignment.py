"""Turns a detected face into the upright 512 px FFHQ crop that PuLID and the thumbnails are made from.

Knows five landmarks and a template; nothing of detectors, files or models.
"""

import cv2
import numpy as np

ALIGNED_SIDE = 512

# FFHQ's template at 512 px: left eye, right eye, nose, left and right corner of the mouth (as in facexlib).
FFHQ_TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ],
    np.float32,
)  # (5, 2)

BORDER_GREY = (132, 133, 135)  # RGB; what stands beyond the photo's edge, as in facexlib


def estimate_transform(landmarks: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and shift that put `landmarks` on the FFHQ template.

    landmarks (5, 2) xy px -> (2, 3) float64, for `cv2.warpAffine`. Least median of squares, as facexlib's
    `FaceRestoreHelper.align_warp_face`. ValueError where the points do not span a face.
    """
    points = np.asarray(landmarks, np.float32)
    if points.shape != (5, 2):
        raise ValueError(f"landmarks: {points.shape} is not (5, 2).")
    transform = _fit_template(points)
    if transform is None:
        raise ValueError("landmarks: the five points do not span a face.")
    return transform


def spans_face(landmarks: np.ndarray) -> bool:
    """Whether `landmarks` (5, 2) can be aligned: points that coincide cannot."""
    return _fit_template(np.asarray(landmarks, np.float32)) is not None


def _fit_template(points: np.ndarray) -> np.ndarray | None:
    transform, _ = cv2.estimateAffinePartial2D(points, FFHQ_TEMPLATE, method=cv2.LMEDS)
    return transform


def align_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Where `landmarks` (5, 2) of a photo lie in its FFHQ crop: (5, 2) xy px. ValueError as `estimate_transform`."""
    transform = estimate_transform(landmarks)  # (2, 3)
    return landmarks @ transform[:, :2].T + transform[:, 2]


def align_face(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face upright in the middle of an FFHQ crop.

    rgb (H, W, 3) uint8, landmarks (5, 2) xy px of it -> (512, 512, 3) uint8 RGB, bilinear, grey beyond the edge.
    Pixel-identical to facexlib's crop. ValueError where the points do not span a face.
    """
    return cv2.warpAffine(
        np.ascontiguousarray(rgb),
        estimate_transform(landmarks),
        (ALIGNED_SIDE, ALIGNED_SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=BORDER_GREY,
    )
