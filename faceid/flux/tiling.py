"""Overlapping tiles over a picture, and their seamless sum. Knows arrays; not what is done to a tile."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Tile(NamedTuple):
    """A part of a picture: left, top, right and bottom in px, the last two outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px."""
        return self.right - self.left, self.bottom - self.top

    def scaled(self, scale: int) -> "Tile":
        """The same part of a picture `scale` times as large."""
        return Tile(*(scale * edge for edge in self))


def plan_tiles(width: int, height: int, side: int, overlap: int) -> list[Tile]:
    """Tiles of at most `side` px that cover a picture, row by row; neighbours share at least `overlap` px.

    All are of one size: of a picture that is smaller there is one, as large as the picture. ValueError: a tile that
    would be all overlap.
    """
    if not 0 <= 2 * overlap < side:
        raise ValueError(f"overlap: {overlap} px of tiles of {side} px; takes less than half.")
    across, down = _starts(width, side, overlap), _starts(height, side, overlap)
    return [Tile(left, top, min(left + side, width), min(top + side, height)) for top in down for left in across]


class Blend:
    """A picture (height, width, 3) put together from overlapping tiles, each fading out towards its neighbours."""

    def __init__(self, width: int, height: int):
        self._sum = np.zeros((height, width, 3), np.float32)
        self._weight = np.zeros((height, width, 1), np.float32)

    def add(self, tile: Tile, pixels: np.ndarray, fade: int) -> None:
        """`pixels` (h, w, 3) of the tile; over `fade` px from an edge that is not the picture's their weight grows."""
        height, width = self._sum.shape[:2]
        across = _ramp(tile.left, tile.right, width, fade)
        down = _ramp(tile.top, tile.bottom, height, fade)
        weight = down[:, None, None] * across[None, :, None]
        part = np.s_[tile.top : tile.bottom, tile.left : tile.right]
        self._sum[part] += weight * pixels
        self._weight[part] += weight

    def picture(self) -> np.ndarray:
        """(height, width, 3) uint8; the whole must be covered. Row by row: nothing of the picture's size is added."""
        whole = np.empty(self._sum.shape, np.uint8)
        for row in range(len(whole)):
            whole[row] = (self._sum[row] / self._weight[row] + 0.5).clip(0, 255)
        return whole


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Where tiles begin along one side, evenly spread."""
    if length <= side:
        return [0]
    count = -(-(length - overlap) // (side - overlap))
    return [round(place * (length - side) / (count - 1)) for place in range(count)]


def _ramp(first: int, last: int, length: int, fade: int) -> np.ndarray:
    """Weights along one side of a tile: 1, falling towards an inner edge; nowhere 0."""
    weights = np.ones(last - first, np.float32)
    fade = min(fade, len(weights))
    rising = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
    if first > 0:
        weights[:fade] *= rising
    if last < length:
        weights[len(weights) - fade :] *= rising[::-1]
    return weights


def tile_pixels(picture: np.ndarray, tiles: list[Tile]) -> Iterator[tuple[Tile, np.ndarray]]:
    """Each tile with its part (h, w, 3) of the picture (height, width, 3)."""
    for tile in tiles:
        yield tile, picture[tile.top : tile.bottom, tile.left : tile.right]
