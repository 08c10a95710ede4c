"""faceid.sizes: what is drawn for what was asked."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceid.base_models import find_base_model
from faceid.errors import InvalidRequest
from faceid.limits import LIMITS
from faceid.sizes import ASPECT_RATIOS, aspect_ratio_size, drawn_size, parse_aspect_ratio

FIXED, FREE = find_base_model("fast"), find_base_model("flux1-dev")
SIDES = st.integers(int(LIMITS["w"].low), int(LIMITS["w"].high))


@given(width=SIDES, height=SIDES)
def test_sides_are_multiples_of_16_and_within_8_px_of_what_was_asked(width, height):
    drawn = drawn_size(FREE, width, height)
    assert all(side % 16 == 0 for side in drawn)
    assert abs(drawn[0] - width) <= 8
    assert abs(drawn[1] - height) <= 8


@given(width=SIDES, height=SIDES)
def test_a_fixed_area_keeps_the_aspect(width, height):
    drawn_width, drawn_height = drawn_size(FIXED, width, height)
    assert drawn_width % 16 == drawn_height % 16 == 0
    assert abs(math.log(drawn_width / drawn_height * height / width)) < 0.12
    assert 1 / 2.2 < drawn_width * drawn_height / FIXED.native_side**2 < 2.2


@given(width=SIDES, height=SIDES)
def test_turning_the_picture_turns_the_size(width, height):
    assert drawn_size(FIXED, width, height) == drawn_size(FIXED, height, width)[::-1]


@given(width=SIDES, height=SIDES)
def test_a_size_that_was_drawn_is_drawn_again(width, height):
    once = drawn_size(FREE, width, height)
    assert drawn_size(FREE, *once) == once


@pytest.mark.parametrize("model", [FIXED, FREE])
def test_without_a_size_the_native_square_is_drawn(model):
    assert drawn_size(model) == (model.native_side, model.native_side)


def test_one_side_alone_is_a_square():
    assert drawn_size(FREE, width=512) == (512, 512)
    assert drawn_size(FREE, height=768) == (768, 768)


def test_halves_of_the_grid_are_rounded_up():
    assert drawn_size(FREE, 520, 264) == (528, 272)


@pytest.mark.parametrize("text", ASPECT_RATIOS)
def test_an_aspect_ratio_is_drawn_at_the_native_area(text):
    across, down = parse_aspect_ratio(text)
    width, height = aspect_ratio_size(FREE, text)
    assert width % 16 == height % 16 == 0
    assert width / height == pytest.approx(across / down, rel=0.01)
    assert width * height == pytest.approx(FREE.native_side**2, rel=0.12)


@pytest.mark.parametrize(("text", "ratio"), [("16:9", (16, 9)), (" 3 : 4 ", (3, 4)), ("Portrait", (3, 4))])
def test_aspect_ratios_are_read(text, ratio):
    assert parse_aspect_ratio(text) == ratio


@pytest.mark.parametrize("text", ["", "16x9", "7:5", "16:9:1", "-1:1", "١:١"])
def test_an_unknown_aspect_ratio_is_refused_with_the_known_ones(text):
    with pytest.raises(InvalidRequest, match="21:9") as refusal:
        parse_aspect_ratio(text)
    assert refusal.value.field == "aspect_ratio"
    assert repr(text) in str(refusal.value)
