"""The picture of a face that the vision tower is shown. Owns masking and pixel statistics; knows no model and no file.

PuLID-FLUX was trained on the face in grey (hair stays) on white: everything that is not the person's is hidden, so that
clothes, background and colours of the photo do not come through.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import normalize, resize

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

# CelebAMask-HQ's attributes in the order of the face-parsing BiSeNets: zllrunning, facexlib, uniface's weights
# (yakhyo/face-parsing, utils/prepare_labels.py).
LABELS = (
    "background",
    "skin",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "eye_glasses",
    "left_ear",
    "right_ear",
    "earring",
    "nose",
    "mouth",
    "upper_lip",
    "lower_lip",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
)
HIDDEN = frozenset({"background", "left_ear", "right_ear", "earring", "neck", "necklace", "cloth", "hat"})
HIDDEN_IDS = [index for index, name in enumerate(LABELS) if name in HIDDEN]


class FaceParser(Protocol):
    """Says what every pixel of an aligned face shows."""

    def __call__(self, aligned: np.ndarray) -> np.ndarray:
        """aligned (512, 512, 3) uint8 RGB -> (512, 512) integers, indices of LABELS."""
        ...


def colour_picture(aligned: np.ndarray) -> Tensor:
    """The crop as it is: (H, W, 3) uint8 RGB -> (1, 3, H, W) float32, 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(aligned)).permute(2, 0, 1)[None].float() / 255


def masked_grey_picture(aligned: np.ndarray, labels: np.ndarray) -> Tensor:
    """The face in grey, what HIDDEN names in white: aligned (H, W, 3) uint8 RGB, labels (H, W) -> (1, 3, H, W), 0 to 1.

    ValueError: the labels are not of the crop's size, or no pixel shows a face.
    """
    if labels.shape != aligned.shape[:2]:
        raise ValueError(f"labels: {labels.shape} for a crop of {aligned.shape[:2]} px.")
    hidden = np.isin(labels, HIDDEN_IDS)
    if hidden.all():
        raise ValueError("labels: no pixel shows a face.")
    red, green, blue = colour_picture(aligned).split(1, dim=1)
    grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue  # (1, 1, H, W)
    return grey.masked_fill(torch.from_numpy(hidden), 1.0).repeat(1, 3, 1, 1)


def tower_pixels(
    picture: Tensor, size: int, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD
) -> Tensor:
    """picture (1, 3, H, W), 0 to 1 -> (1, 3, size, size), bicubic with antialiasing, normalised by channel."""
    resized = resize(picture, [size, size], InterpolationMode.BICUBIC, antialias=True)
    return normalize(resized, list(mean), list(std))
