"""What captions make of a picture: a background behind the person, a light, a style. Knows no network.

Pictures are (B, 3, S, S) tensors, 0 to 1, unless said otherwise.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast.training.augment import to_grey
from faceid.flux.fast.training.captions import PHOTO, Caption
from faceid.flux.fast.training.scenes import Backgrounds

SEPIA = (1.07, 0.86, 0.62)
TINTS = {"warm light": (1.18, 0.98, 0.68), "blue hour": (0.5, 0.66, 1.02)}


def realise(
    pictures: Tensor, masks: Tensor, captions: Sequence[Caption], backgrounds: Backgrounds, numbers: Sequence[int]
) -> Tensor:
    """`pictures` of people (B, 3, H, W), 0 to 1, masks (B, 1, H, W), 1 is the person, as B captions want them.

    numbers: which picture of a scene each gets, B of them, 0 to POOL - 1.
    """
    drawn = pictures.clone()
    for index, (caption, number) in enumerate(zip(captions, numbers)):
        picture, mask = pictures[index], masks[index]
        if caption.background:
            picture = torch.lerp(backgrounds.show(caption.background, number, picture.shape[1:]), picture, mask)
        if caption.light:
            picture = picture * torch.tensor(TINTS[caption.light]).view(3, 1, 1)
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
    """Gaussian blur of any channels, sigma in px, at least 0.4."""
    radius = round(2.5 * sigma)
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
