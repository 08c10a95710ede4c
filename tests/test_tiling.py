"""faceid.flux.tiling: what tiles cover, and how they are summed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceid.flux.tiling import Blend, Tile, plan_tiles, tile_pixels

SIDES = st.integers(1, 600)


@given(width=SIDES, height=SIDES, side=st.integers(16, 128), overlap=st.integers(0, 7))
def test_tiles_cover_the_picture_in_one_size(width, height, side, overlap):
    tiles = plan_tiles(width, height, side, overlap)
    covered = np.zeros((height, width), int)
    for tile in tiles:
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert covered.min() == 1 or (covered.min() > 1 and len(tiles) > 1)
    assert {tile.size for tile in tiles} == {(min(side, width), min(side, height))}


@given(length=st.integers(130, 600), overlap=st.integers(1, 60))
def test_neighbours_share_the_overlap(length, overlap):
    tiles = plan_tiles(length, 10, 128, overlap)
    for one, other in pairwise(tiles):
        assert one.right - other.left >= overlap


@pytest.mark.parametrize("overlap", [-1, 64, 100])
def test_a_tile_is_not_all_overlap(overlap):
    with pytest.raises(ValueError, match="overlap"):
        plan_tiles(200, 200, 128, overlap)


def test_unchanged_tiles_give_the_picture_back():
    picture = np.random.default_rng(0).integers(0, 256, (70, 130, 3), dtype=np.uint8)
    blend = Blend(130, 70)
    for tile, part in tile_pixels(picture, plan_tiles(130, 70, 48, 16)):
        blend.add(tile, part, fade=16)
    assert np.array_equal(blend.picture(), picture)


def test_between_tiles_that_differ_the_change_is_gradual():
    blend = Blend(98, 8)
    for tile, value in zip(plan_tiles(98, 8, 64, 30), (0, 200)):
        blend.add(tile, np.full((8, 64, 3), value, np.float32), fade=30)
    row = blend.picture()[4, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 200
    assert 0 < np.diff(row).max() <= 8  # a seam would be a step of 200


def test_a_tile_scales():
    assert Tile(1, 2, 3, 5).scaled(4) == Tile(4, 8, 12, 20)
