"""A picture four times as wide and as high, by an upscaler that spandrel reads. Tile by tile: memory is bounded.

Owns the tiles and the number formats; knows no file (`weights`) and no request.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import nn

from faceid.finishes import SUPER_RESOLUTION
from faceid.flux.tiling import Blend, plan_tiles, tile_pixels

SCALE = SUPER_RESOLUTION
TILE = 256  # px of the small picture: Real-ESRGAN's last layers hold 64 channels at 1024 px, 0.27 GB each as float32
OVERLAP = 32

Tell = Callable[[int, int], None]  # done, of how many


class SuperResolution:
    """(W, H) -> (4 W, 4 H). `network` takes and gives (B, 3, H, W), 0 to 1, and is used where and as it lies."""

    def __init__(self, network: nn.Module, *, tile: int = TILE, overlap: int = OVERLAP):
        self.network = network.eval().requires_grad_(False)
        self.tile, self.overlap = tile, overlap

    def __call__(self, picture: Image.Image, tell: Tell = lambda done, of: None) -> Image.Image:
        """The picture as RGB, enlarged; `tell` is called after every tile."""
        pixels = np.asarray(picture.convert("RGB"))
        height, width = pixels.shape[:2]
        tiles = plan_tiles(width, height, self.tile, self.overlap)
        blend = Blend(SCALE * width, SCALE * height)
        for done, (tile, part) in enumerate(tile_pixels(pixels, tiles), start=1):
            blend.add(tile.scaled(SCALE), self._enlarge(part), fade=SCALE * self.overlap)
            tell(done, len(tiles))
        return Image.fromarray(blend.picture())

    def count_tiles(self, width: int, height: int) -> int:
        """How many tiles a picture of that size is made of."""
        return len(plan_tiles(width, height, self.tile, self.overlap))

    @torch.inference_mode()
    def _enlarge(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 -> (4 h, 4 w, 3) float32, 0 to 255."""
        parameter = next(self.network.parameters())
        small = torch.from_numpy(pixels.copy()).to(parameter.device).permute(2, 0, 1)[None]
        large = self.network(small.to(parameter.dtype) / 255)  # (1, 3, 4 h, 4 w)
        return (large[0].float().clamp(0, 1) * 255).permute(1, 2, 0).cpu().numpy()
