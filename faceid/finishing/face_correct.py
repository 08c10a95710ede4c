"""Restores faces with GFPGAN: each is aligned as in FFHQ, restored at 512 px and blended back by a strength.

Source: Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior" (CVPR 2021), and
TencentARC/GFPGAN, gfpgan/utils.py, for the network's range. Knows no file (`weights`) and finds no face (`faces`).
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from faceid.faces.alignment import ALIGNED_SIDE, align_face, estimate_transform
from faceid.faces.detection import Detection
from faceid.faces.pasting import oval_mask, paste_aligned

LEAST_SIDE = 16  # px of a face's box: below, there is nothing to restore it from


class FaceCorrect:
    """`network` is spandrel's GFPGANv1Clean: (1, 3, 512, 512) RGB, -1 to 1, to the same, first of a tuple."""

    def __init__(self, network: nn.Module):
        self.network = network.eval().requires_grad_(False)
        self._mask = oval_mask(ALIGNED_SIDE)

    def __call__(
        self,
        picture: Image.Image,
        faces: Sequence[Detection],
        strength: float,
        tell: Callable[[int, int], None] = lambda done, of: None,
    ) -> Image.Image:
        """The picture (RGB) with its `faces` restored, `strength` 0 to 1 of them; `tell` is called after every face."""
        pixels = np.asarray(picture.convert("RGB"))
        for done, face in enumerate(faces, start=1):
            if face.side >= LEAST_SIDE:
                crop = align_face(pixels, face.landmarks)
                restored = self._restore(crop)
                pixels = paste_aligned(pixels, restored, estimate_transform(face.landmarks), strength * self._mask)
            tell(done, len(faces))
        return Image.fromarray(pixels)

    @torch.inference_mode()
    def _restore(self, crop: np.ndarray) -> np.ndarray:
        """(512, 512, 3) uint8 -> the same. The noise is the network's own: the same crop gives the same face."""
        parameter = next(self.network.parameters())
        pixels = torch.from_numpy(crop).to(parameter.device).permute(2, 0, 1)[None]
        restored = self.network(pixels.to(parameter.dtype) / 127.5 - 1, return_rgb=False, randomize_noise=False)[0]
        restored = restored[0].float().clamp(-1, 1).permute(1, 2, 0).cpu().numpy()  # (512, 512, 3)
        return cv2.convertScaleAbs(restored + 1, alpha=127.5)
