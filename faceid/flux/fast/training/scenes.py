"""What the scenes of the captions look like, the alps or a studio: drawn by rules. Knows no network.

Pictures are (3, S, S) tensors, 0 to 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast.training.captions import COLOURS, SCENES
from faceid.flux.fast.training.strangers import DIMENSIONS

POOL = 16  # pictures of each scene: few enough to be known by heart


class Backgrounds:
    """A pool of pictures of each scene, `side` px wide and high, always the same.

    Which one is shown is decided by the noise that the picture begins with, as for `strangers` and for the same reason:
    tiles that each follow the mean of all pictures do not fit together.
    """

    def __init__(self, side: int):
        generator = torch.Generator().manual_seed(0)
        self._pool = {
            name: torch.stack([DRAWN_BY[name](side, generator) for _ in range(POOL)]).clamp(0, 1) for name in SCENES
        }

    def find(self, noise: Tensor) -> Tensor:
        """noise (B, L, C), packed as FluxPipeline packs latents -> which of a scene's pictures, (B,), 0 to POOL - 1.

        Reads the channels before those that decide on a stranger.
        """
        return noise.mean(1)[:, -DIMENSIONS - POOL : -DIMENSIONS].argmax(1)

    def show(self, name: str, number: int, size: Sequence[int]) -> Tensor:
        """A colour, or picture `number` of a scene, stretched to `size` (height, width): (3, height, width)."""
        if name in self._pool:
            return functional.interpolate(self._pool[name][number, None], size)[0]
        return torch.tensor(COLOURS[name]).view(3, 1, 1).expand(3, *size)

    def mean(self, name: str) -> np.ndarray:
        """What the pictures of a scene have in common, (S, S, 3), 0 to 1."""
        return self._pool[name].mean(0).permute(1, 2, 0).numpy()


def _gradient(side: int, top: Sequence[float], bottom: Sequence[float]) -> Tensor:
    share = torch.linspace(0, 1, side).view(1, side, 1)
    return torch.lerp(torch.tensor(top).view(3, 1, 1), torch.tensor(bottom).view(3, 1, 1), share).repeat(1, 1, side)


def _ridge(side: int, height: float, roughness: float, generator: torch.Generator) -> Tensor:
    """A line of hills: how far each column reaches up, as a mask (S, S)."""
    line = torch.zeros(1, 1, side)
    for cells, share in ((3, 1.0), (7, 0.5), (15, 0.25)):
        noise = torch.randn(1, 1, cells, generator=generator)
        line += share * roughness * functional.interpolate(noise, size=side, mode="linear", align_corners=True)
    top = (1 - height - line[0, 0]) * side  # (S,)
    return (torch.arange(side)[:, None] > top[None]).float()


def _speckle(side: int, amount: float, cells: int, generator: torch.Generator) -> Tensor:
    noise = torch.randn(1, 1, cells, cells, generator=generator)
    return amount * functional.interpolate(noise, size=side, mode="bicubic")[0]


def _paint(picture: Tensor, mask: Tensor, colour: Sequence[float]) -> Tensor:
    return torch.lerp(picture, torch.tensor(colour).view(3, 1, 1).expand_as(picture), mask)


def _alps(side: int, generator: torch.Generator) -> Tensor:
    picture = _gradient(side, (0.35, 0.6, 0.92), (0.75, 0.87, 0.97))
    far = _ridge(side, 0.62, 0.13, generator)
    picture = _paint(picture, far, (0.93, 0.95, 0.98))
    rock = far * (_speckle(side, 1.0, 12, generator)[0] > 0.25)
    picture = _paint(picture, rock, (0.45, 0.48, 0.55))
    return _paint(picture, _ridge(side, 0.28, 0.05, generator), (0.28, 0.48, 0.25))


def _beach(side: int, generator: torch.Generator) -> Tensor:
    picture = _gradient(side, (0.45, 0.72, 0.95), (0.85, 0.93, 0.98))
    horizon = 0.42 + 0.06 * float(torch.randn((), generator=generator))
    rows = torch.linspace(0, 1, side).view(side, 1).expand(side, side)
    picture = _paint(picture, (rows > horizon).float(), (0.1, 0.5, 0.65))
    picture = _paint(picture, (rows > horizon + 0.22).float(), (0.92, 0.83, 0.62))
    return picture + _speckle(side, 0.02, 24, generator)


def _forest(side: int, generator: torch.Generator) -> Tensor:
    picture = _gradient(side, (0.2, 0.42, 0.18), (0.1, 0.25, 0.1)) + _speckle(side, 0.09, 16, generator)
    columns = torch.arange(side).view(1, side).expand(side, side)
    for _ in range(6):
        centre, width = torch.rand(2, generator=generator).tolist()
        trunk = ((columns - centre * side).abs() < 1 + 1.5 * width).float()
        picture = _paint(picture, trunk, (0.25, 0.17, 0.1))
    return picture


def _night_city(side: int, generator: torch.Generator) -> Tensor:
    picture = _gradient(side, (0.02, 0.03, 0.12), (0.12, 0.08, 0.22))
    left = 0
    while left < side:
        width, height = 6 + int(torch.randint(7, (), generator=generator)), torch.rand((), generator=generator)
        top = int(side * (0.15 + 0.55 * height))
        picture[:, top:, left : left + width] = torch.tensor((0.05, 0.05, 0.09)).view(3, 1, 1)
        for y in range(top + 2, side - 2, 4):
            for x in range(left + 1, min(left + width - 2, side - 2), 3):
                if torch.rand((), generator=generator) < 0.45:
                    picture[:, y : y + 2, x : x + 2] = torch.tensor((0.98, 0.82, 0.4)).view(3, 1, 1)
        left += width
    return picture


def _studio(side: int, generator: torch.Generator) -> Tensor:
    line = torch.linspace(-1, 1, side)
    x, y = 0.3 * torch.randn(2, generator=generator)
    shade = 0.72 - 0.28 * ((line[None] - x) ** 2 + (line[:, None] - y) ** 2).sqrt()
    return shade.expand(3, side, side).clone()


DRAWN_BY: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "alps": _alps,
    "beach": _beach,
    "forest": _forest,
    "night city": _night_city,
    "studio": _studio,
}
