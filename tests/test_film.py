"""faceid.finishing.film: colours and grain, the same each time."""

import numpy as np
import pytest
from PIL import Image

from faceid.finishes import COLOR_GRADINGS
from faceid.finishing.film import GRAIN, add_grain, grade_colors


@pytest.fixture(scope="module")
def picture(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB")


def grey(tone: int, side: int = 256) -> Image.Image:
    return Image.new("RGB", (side, side), (tone,) * 3)


def deviation(picture: Image.Image) -> float:
    return float(np.asarray(picture).astype(float).std())


def saturation(picture: Image.Image) -> float:
    return float(np.ptp(np.asarray(picture).astype(int), axis=2).mean())


def test_the_films_differ_and_repeat(picture):
    graded = {film: np.asarray(grade_colors(picture, film)) for film in COLOR_GRADINGS}
    assert len({pixels.tobytes() for pixels in (*graded.values(), np.asarray(picture))}) == 4
    for film, pixels in graded.items():
        assert np.array_equal(pixels, np.asarray(grade_colors(picture, film)))
        assert np.abs(pixels.astype(int) - np.asarray(picture)).mean() < 20  # of 255: it is the same picture


def test_velvia_is_vivid_and_portra_is_not(picture):
    assert saturation(grade_colors(picture, "Film Velvia")) > 1.15 * saturation(picture)
    assert saturation(grade_colors(picture, "Film Portra")) < saturation(picture)


@pytest.mark.parametrize("film", COLOR_GRADINGS)
def test_white_stays_white_and_grey_nearly_grey(film):
    assert np.asarray(grade_colors(grey(255), film)).min() == 255
    assert np.ptp(np.asarray(grade_colors(grey(128), film))[0, 0]) <= 10


def test_grain_is_the_seed_s(picture):
    one = np.asarray(add_grain(picture, seed=1))
    assert np.array_equal(one, np.asarray(add_grain(picture, seed=1)))
    assert not np.array_equal(one, np.asarray(add_grain(picture, seed=2)))


def test_grain_is_strongest_in_the_middle_tones():
    middle, dark, black = (deviation(add_grain(grey(tone), seed=3)) for tone in (128, 20, 0))
    assert middle == pytest.approx(GRAIN, rel=0.1)
    assert black == 0 < dark < 0.8 * middle


def test_grain_shifts_no_colour():
    pixels = np.asarray(add_grain(grey(128), seed=3)).astype(int)
    assert abs(pixels.mean() - 128) < 0.2
    assert np.ptp(pixels, axis=2).max() == 0  # the same in all channels


def test_large_pictures_have_larger_grains():
    def neighbours_alike(side: int) -> float:
        pixels = np.asarray(add_grain(grey(128, side), seed=3))[..., 0].astype(float) - 128
        return float((pixels[:, 1:] * pixels[:, :-1]).mean() / (pixels**2).mean())

    assert neighbours_alike(2048) > neighbours_alike(1024) + 0.2
