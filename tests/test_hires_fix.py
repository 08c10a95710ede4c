"""faceid.flux.hires_fix: tiles, seams, sizes."""

import numpy as np
import pytest
from PIL import Image

from faceid.flux.hires_fix import count_tiles, hires_fix


@pytest.fixture(scope="module")
def picture(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB").resize((320, 272))


def test_tiles_that_come_back_unchanged_leave_the_picture(picture):
    assert np.array_equal(np.asarray(hires_fix(picture, lambda tile, number: tile, side=128)), np.asarray(picture))


def test_no_tile_is_larger_than_one_drawn_picture(picture):
    sizes, numbers = [], []

    def redraw(tile: Image.Image, number: int) -> Image.Image:
        sizes.append(tile.size)
        numbers.append(number)
        return tile

    hires_fix(picture, redraw, side=128)
    assert set(sizes) == {(128, 128)}
    assert numbers == list(range(count_tiles(*picture.size, 128)))
    assert all(side % 16 == 0 for size in sizes for side in size)


def test_a_picture_of_one_tile_is_drawn_once(picture):
    assert count_tiles(*picture.size, 1024) == 1
    drawn = hires_fix(picture, lambda tile, number: Image.eval(tile, lambda value: 255 - value), side=1024)
    assert np.array_equal(np.asarray(drawn), 255 - np.asarray(picture))


def test_tiles_that_differ_meet_without_a_step(picture):
    def darker(tile: Image.Image, number: int) -> Image.Image:
        return Image.eval(tile, lambda value: max(0, value - 20 * (number % 2)))

    grey = Image.new("RGB", picture.size, (128,) * 3)
    drawn = np.asarray(hires_fix(grey, darker, side=128)).astype(int)
    assert drawn.min() == 108 < drawn.max() == 128
    assert np.abs(np.diff(drawn, axis=0)).max() <= 3
    assert np.abs(np.diff(drawn, axis=1)).max() <= 3
