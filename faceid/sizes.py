"""How large a picture is drawn: widths, heights and aspect ratios. Pure; knows base models as data, no library."""

import math
import re

from faceid.base_models import BaseModel
from faceid.errors import InvalidRequest

GRID = 16  # px: Flux packs 2×2 latents of 8×8 px; FluxPipeline floors any other size without a word
MOST_OBLONG = 4  # times as long as wide
AREA_WEIGHT = 0.1  # a fixed-area model gives up area before it gives up aspect

ASPECT_RATIOS = ("1:1", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "5:4", "4:5", "4:3", "3:4")
NAMED_ASPECT_RATIOS = {"portrait": "3:4", "landscape": "4:3"}  # the product's legacy `ar`


def drawn_size(base_model: BaseModel, width: int | None = None, height: int | None = None) -> tuple[int, int]:
    """The (width, height) in px, multiples of 16, that `base_model` draws for what was asked.

    A model with `fixed_area` keeps the aspect and draws it at its own area, as near as the grid of 16 px allows.
    A side that was not given (None, 0) is as long as the other; none given is the model's native square.
    """
    width, height = width or height or base_model.native_side, height or width or base_model.native_side
    if base_model.fixed_area:
        return _at_area(width / height, base_model.native_side)
    return _on_grid(width), _on_grid(height)


def aspect_ratio_size(base_model: BaseModel, aspect_ratio: str) -> tuple[int, int]:
    """The (width, height) in px, multiples of 16, of `aspect_ratio` at the model's native area.

    InvalidRequest lists the ratios known.
    """
    across, down = parse_aspect_ratio(aspect_ratio)
    return _at_area(across / down, base_model.native_side)


def like_picture(base_model: BaseModel, width: int, height: int) -> tuple[int, int]:
    """The (width, height) in px, multiples of 16, of a given picture's shape at the model's native area; very long ones
    become 4:1."""
    return _at_area(min(max(width / height, 1 / MOST_OBLONG), MOST_OBLONG), base_model.native_side)


def parse_aspect_ratio(text: str) -> tuple[int, int]:
    """`16:9` as (16, 9); also `portrait` and `landscape`. InvalidRequest lists the ratios known."""
    wanted = re.sub(r"\s", "", text).lower()
    wanted = NAMED_ASPECT_RATIOS.get(wanted, wanted)
    if wanted not in ASPECT_RATIOS:
        known = ", ".join((*ASPECT_RATIOS, *NAMED_ASPECT_RATIOS))
        raise InvalidRequest(f"aspect_ratio: {text!r} is not known. Known: {known}.", field="aspect_ratio")
    across, down = wanted.split(":")
    return int(across), int(down)


def _on_grid(side: float) -> int:
    return max(GRID, math.floor(side / GRID + 0.5) * GRID)


def _at_area(aspect: float, native_side: int) -> tuple[int, int]:
    """The size on the grid that comes nearest to `aspect` (width / height) at `native_side` squared."""

    def error(size: tuple[int, int]) -> float:
        width, height = size
        return abs(math.log(width / height / aspect)) + AREA_WEIGHT * abs(math.log(width * height / native_side**2))

    if aspect < 1:
        width, height = _at_area(1 / aspect, native_side)
        return height, width
    heights = range(GRID, _on_grid(native_side) + GRID + 1, GRID)
    return min(((_on_grid(height * aspect), height) for height in heights), key=error)
