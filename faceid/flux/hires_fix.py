"""Fine detail for a large picture: it is drawn again, faintly, in overlapping tiles. One tile's memory, any size.

Knows tiles and their sum; how a tile is drawn is given.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from faceid.flux.tiling import Blend, plan_tiles, tile_pixels

STRENGTH = 0.3  # from 0.2, where little is added, to 0.35, above which tiles begin to show things of their own
OVERLAP = 1 / 8  # of a tile's side

Redraw = Callable[[Image.Image, int], Image.Image]  # a tile, its number


def hires_fix(picture: Image.Image, redraw: Redraw, *, side: int) -> Image.Image:
    """The picture (RGB) with every tile of at most `side` px drawn again, its size unchanged."""
    pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[:2]
    overlap = round(OVERLAP * side)
    blend = Blend(width, height)
    for number, (tile, part) in enumerate(tile_pixels(pixels, plan_tiles(width, height, side, overlap))):
        blend.add(tile, np.asarray(redraw(Image.fromarray(part), number)), fade=overlap)
    return Image.fromarray(blend.picture())


def count_tiles(width: int, height: int, side: int) -> int:
    """How many tiles a picture of that size has."""
    return len(plan_tiles(width, height, side, round(OVERLAP * side)))
