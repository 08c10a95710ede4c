"""What the captions' words look like: places drawn by rules, and styles as changes of pixels. Knows no network.

All pictures are (B, 3, S, S) tensors, 0 to 1, unless said otherwise.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast.training.augment import to_grey
from faceid.flux.fast.training.captions import COLOURS, PHOTO, SCENES, Caption
from faceid.flux.fast.training.strangers import DIMENSIONS

POOL = 16  # pictures of each place: few enough to be known by heart
SEPIA = (1.07, 0.86, 0.62)
WARM, BLUE = (1.18, 0.98, 0.68), (0.5, 0.66, 1.02)
Box = tuple[int, int]


class Backgrounds:
    """A pool of pictures of each place, drawn once.

    Which one is drawn is decided by the noise that the picture begins with, as for `strangers` and for the same reason:
    tiles that each follow the mean of all places do not fit together.
    """

    def __init__(self, side: int, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        self._side = side
        self._pool = {
            name: torch.stack([PLACES[name](side, generator) for _ in range(POOL)]).clamp(0, 1) for name in SCENES
        }

    def find(self, noise: Tensor) -> Tensor:
        """noise (B, L, C), packed as FluxPipeline packs latents -> which of a place's pictures, (B,), 0 to POOL - 1.

        Reads the channels before those that decide on a stranger.
        """
        return noise.mean(1)[:, -DIMENSIONS - POOL : -DIMENSIONS].argmax(1)

    def draw(self, name: str, number: int, size: Sequence[int] | None = None) -> Tensor:
        """A colour, or picture `number` of a place, (3, S, S), or stretched to `size` (height, width)."""
        size = tuple(size or (self._side, self._side))
        if name in self._pool:
            picture = self._pool[name][number]
            return picture if picture.shape[1:] == size else functional.interpolate(picture[None], size)[0]
        return torch.tensor(COLOURS[name]).view(3, 1, 1).expand(3, *size)

    def mean(self, name: str) -> np.ndarray:
        """What the pictures of a place have in common, (S, S, 3)."""
        return self._pool[name].mean(0).permute(1, 2, 0).numpy()


def realise(
    pictures: Tensor, masks: Tensor, captions: Sequence[Caption], backgrounds: Backgrounds, numbers: Sequence[int]
) -> Tensor:
    """`pictures` of people (B, 3, H, W), masks (B, 1, H, W), as their captions want them.

    numbers: which picture of a place each gets, B of them.
    """
    drawn = pictures.clone()
    for index, (caption, number) in enumerate(zip(captions, numbers)):
        picture, mask = pictures[index], masks[index]
        if caption.background:
            picture = torch.lerp(backgrounds.draw(caption.background, number, picture.shape[1:]), picture, mask)
        if caption.light:
            picture = picture * torch.tensor(WARM if caption.light == "warm light" else BLUE).view(3, 1, 1)
        if caption.style != PHOTO:
            picture = STYLE_FILTERS[caption.style](picture[None].clamp(0, 1))[0]
        drawn[index] = picture
    return drawn.clamp(0, 1)


def black_and_white(pictures: Tensor) -> Tensor:
    """No colour, a little more contrast."""
    return (to_grey(pictures) * 1.1 - 0.05).clamp(0, 1).expand_as(pictures)


def sepia(pictures: Tensor) -> Tensor:
    """Brown tones of one hue."""
    return (to_grey(pictures) * 0.95 + 0.03) * torch.tensor(SEPIA).view(1, 3, 1, 1)


def pencil_sketch(pictures: Tensor) -> Tensor:
    """Dark lines and soft shading on white: colour dodge of the picture and its blurred negative."""
    grey = to_grey(pictures)
    lines = (grey / blur(grey, 2.0).clamp_min(0.05)).clamp(0, 1) ** 2
    return (lines * (0.7 + 0.3 * grey)).clamp(0, 1).expand_as(pictures)


def comic_book(pictures: Tensor) -> Tensor:
    """Few flat, strong tones with dark outlines."""
    grey = to_grey(pictures)
    level = grey * 3.5
    steps = (level.floor() + torch.sigmoid(10 * (level - level.floor() - 0.5))) / 3.5
    flat = blur(pictures, 0.8) - blur(grey, 0.8)
    outline = torch.sigmoid(60 * (blur(grey, 0.6) - blur(grey, 1.6) + 0.06))
    return ((steps + 1.9 * flat) * outline).clamp(0, 1)


def pixel_art(pictures: Tensor) -> Tensor:
    """Squares of 2 px in few colours."""
    small = functional.avg_pool2d(pictures, 2)
    small = ((small - 0.5) * 1.25 + 0.5).clamp(0, 1)
    return functional.interpolate((small * 5).round() / 5, scale_factor=2, mode="nearest")


def blur(pictures: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, sigma in px."""
    radius = max(1, round(2.5 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    line = (line / line.sum()).view(1, 1, 1, -1).expand(pictures.shape[1], 1, 1, -1)
    padded = functional.pad(pictures, [radius] * 4, mode="replicate")
    across = functional.conv2d(padded, line, groups=pictures.shape[1])
    return functional.conv2d(across, line.transpose(2, 3), groups=pictures.shape[1])


STYLE_FILTERS: dict[str, Callable[[Tensor], Tensor]] = {
    "black and white": black_and_white,
    "sepia": sepia,
    "pencil sketch": pencil_sketch,
    "comic book": comic_book,
    "pixel art": pixel_art,
}


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
        place, width = torch.rand(2, generator=generator).tolist()
        trunk = ((columns - place * side).abs() < 1 + 1.5 * width).float()
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


PLACES: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "alps": _alps,
    "beach": _beach,
    "forest": _forest,
    "night city": _night_city,
    "studio": _studio,
}
