"""Many views of few faces: mixtures, mirror images, other framings, colours and textures. Owns no network, no file."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from faceid.pulid.face_picture import LUMA

MIXED = 0.5  # share of views that mix two faces


class Views(NamedTuple):
    """pictures (B, 3, S, S), 0 to 1; masks (B, 1, S, S), 1 is the person."""

    pictures: Tensor
    masks: Tensor


class Augmenter:
    """Draws batches of views from aligned faces: pictures (N, 3, 2S, 2S) and masks (N, 1, 2S, 2S), both uint8."""

    def __init__(self, pictures: Tensor, masks: Tensor, side: int):
        self._layers = torch.cat([pictures, masks], dim=1)  # (N, 4, 2S, 2S)
        self._side = side

    def draw(self, batch: int, generator: torch.Generator, *, textures: float) -> Views:
        """`batch` views, of which the share `textures` shows no face; `generator` decides everything."""
        first, second = (
            self._layers[torch.randint(len(self._layers), (batch,), generator=generator)].float() / 255
            for _ in range(2)
        )
        layers = _mix(first, _mirror(second, generator), generator)
        layers = _reframe(_mirror(layers, generator), generator)
        layers = functional.interpolate(layers, size=self._side, mode="bicubic", antialias=True).clamp(0, 1)
        pictures, masks = layers[:, :3], layers[:, 3:]
        pictures = change_colours(pictures, generator)
        is_texture = torch.rand(batch, 1, 1, 1, generator=generator) < textures
        pictures = torch.where(is_texture, draw_textures(batch, self._side, generator), pictures)
        return Views(pictures, masks)


def change_colours(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Other brightness, contrast, saturation, tint and gamma, one set per picture: (B, 3, S, S), 0 to 1."""

    def between(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(len(pictures), channels, 1, 1, generator=generator)

    grey = to_grey(pictures)
    changed = grey + (pictures - grey) * between(0.5, 1.4)
    changed = (changed - 0.5) * between(0.7, 1.25) + 0.5 + between(-0.1, 0.1)
    changed = changed * between(0.88, 1.12, 3)
    return changed.clamp(1e-4, 1) ** between(0.75, 1.35)


def to_grey(pictures: Tensor) -> Tensor:
    """The luma of pictures: (B, 3, S, S) -> (B, 1, S, S)."""
    return (pictures * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def draw_textures(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Coloured noise of several scales, (B, 3, side, side), 0 to 1: what no face prior can guess."""
    texture = torch.zeros(batch, 3, side, side)
    for cells in (2, 4, 8, 16, 32):
        noise = torch.randn(batch, 3, cells, cells, generator=generator)
        share = torch.rand(batch, 1, 1, 1, generator=generator)
        texture += share * functional.interpolate(noise, size=side, mode="bicubic")
    return torch.sigmoid(1.5 * texture)


def _mix(first: Tensor, second: Tensor, generator: torch.Generator) -> Tensor:
    """Some pairs blended or put together along a soft edge, the others left alone."""
    batch, _, side, _ = first.shape
    angle = 2 * math.pi * torch.rand(batch, 1, 1, generator=generator)
    line = torch.linspace(-1, 1, side)
    edge = torch.cos(angle) * line.view(1, 1, -1) + torch.sin(angle) * line.view(1, -1, 1)
    edge = torch.sigmoid(12 * (edge + 0.8 * (torch.rand(batch, 1, 1, generator=generator) - 0.5)))[:, None]
    share = torch.rand(batch, 1, 1, 1, generator=generator)
    share = torch.where(torch.rand(batch, 1, 1, 1, generator=generator) < 0.5, share, edge)
    share = share * (torch.rand(batch, 1, 1, 1, generator=generator) < MIXED)
    return torch.lerp(first, second, share)


def _mirror(layers: Tensor, generator: torch.Generator) -> Tensor:
    turned = torch.rand(len(layers), 1, 1, 1, generator=generator) < 0.5
    return torch.where(turned, layers.flip(-1), layers)


def _reframe(layers: Tensor, generator: torch.Generator) -> Tensor:
    """A little turned, shifted and zoomed, as landmarks are never exact."""
    batch = len(layers)
    spread = torch.randn(batch, 4, generator=generator)
    angle, zoom = 0.07 * spread[:, 0], torch.exp(0.07 * spread[:, 1])
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    rows = [torch.stack([cos, -sin, 0.04 * spread[:, 2]], 1), torch.stack([sin, cos, 0.04 * spread[:, 3]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(layers.shape), align_corners=False)
    return functional.grid_sample(layers, grid, padding_mode="reflection", align_corners=False)
