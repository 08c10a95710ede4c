"""faceid.styles: ten names, their words, and what they say of the identity."""

import pytest

from faceid.base_models import find_base_model
from faceid.domain import PromptFields
from faceid.errors import InvalidRequest
from faceid.styles import STYLES, add_style, fill_style, find_style

DEV, SCHNELL = find_base_model("flux1-dev"), find_base_model("flux1-schnell")
NAMES = {
    "Cinematic", "Animated", "Digital Art", "Photographic", "Fantasy art", "Neonpunk", "Enhance", "Comic book",
    "Lowpoly", "Line art",
}  # fmt: skip


def filled(style: str, model=DEV, **given) -> PromptFields:
    return fill_style(PromptFields("x", style=style, **given), model)


def test_the_product_s_ten_names():
    assert {style.name for style in STYLES} == NAMES
    assert len({style.words for style in STYLES}) == 10


@pytest.mark.parametrize("name", ["comic book", " COMIC BOOK ", "Comic book"])
def test_a_style_is_found_in_any_case(name):
    assert find_style(name).name == "Comic book"


def test_an_unknown_style_lists_the_known_ones():
    with pytest.raises(InvalidRequest, match="Line art") as refused:
        find_style("Baroque")
    assert refused.value.field == "style"


def test_the_words_go_behind_the_prompt():
    words = find_style("Cinematic").words
    assert add_style("a woman in the alps.", "Cinematic") == f"a woman in the alps, {words}"
    assert add_style("a woman", None) == "a woman"


def test_four_styles_are_drawn():
    assert {style.name for style in STYLES if style.drawn} == {"Animated", "Line art", "Lowpoly", "Comic book"}


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_identity_begins_earlier_in_drawn_styles(style):
    start = filled(style.name).identity_start
    assert start == 0 if style.drawn else 0 < start <= DEV.identity_start


def test_what_is_given_goes_before_the_style():
    assert filled("Line art", identity_start=0.3).identity_start == 0.3
    assert filled("Line art", cfg_scale=2).cfg_scale == 2
    assert filled("Line art", preset="photo") == PromptFields("x", style="Line art", preset="photo")


def test_a_model_without_guidance_stays_without():
    assert filled("Line art", SCHNELL).cfg_scale == 0
    assert filled("Line art", DEV).cfg_scale == 4
