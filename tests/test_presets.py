"""faceid.presets and the controls that faceid.planning decides: presets, true CFG's start, faster."""

import pytest

from faceid.base_models import find_base_model
from faceid.domain import PromptFields
from faceid.errors import InvalidRequest
from faceid.planning import describe_request, plan_generation
from faceid.presets import PRESETS, fill_preset, find_preset

DEV, SCHNELL = find_base_model("flux1-dev"), find_base_model("flux1-schnell")


def plan(model=DEV, **fields):
    return plan_generation(PromptFields("woman", **fields), model, "woman", [], seed=1)


def test_photo_starts_at_step_4_of_28_with_the_models_guidance():
    request = plan(preset="photo")
    assert (request.identity_step, request.guidance_scale) == (4, DEV.default_guidance)
    assert plan(preset="photo", steps=14).identity_step == 2


@pytest.mark.parametrize("steps", [4, 8, 28])
def test_art_starts_at_step_0_or_1_and_guides_within_pulids_range(steps):
    request = plan(preset="Art", steps=steps)
    assert request.identity_step <= 1
    assert 3.5 <= request.guidance_scale <= 4


def test_what_the_caller_gives_wins():
    request = plan(preset="art", identity_start=0.5, cfg_scale=2.0)
    assert (request.identity_step, request.guidance_scale) == (14, 2.0)
    assert plan(preset="art", identity_start=0.0).identity_step == 0
    assert plan(preset="art", cfg_scale=0.0).guidance_scale == 0.0


def test_without_a_preset_the_model_decides():
    fields = PromptFields("woman")
    assert fill_preset(fields, DEV) is fields
    assert plan().identity_step == 4
    assert plan(SCHNELL).identity_step == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_without_guidance_stays_without(preset):
    assert preset.guidance_for(SCHNELL) == 0.0


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(InvalidRequest, match=r"preset: 'anime' is not known\. Known: photo, art") as refusal:
        plan(preset="anime")
    assert refusal.value.field == "preset"
    assert find_preset(" PHOTO ").title == "Photo"


def test_true_cfg_starts_after_one_step_of_any_number():
    for steps in (1, 4, 8, 28, 50):
        assert plan(negative_prompt="rain", steps=steps).true_cfg_step == 1
    assert plan(negative_prompt="rain", true_cfg_start=0.0).true_cfg_step == 0
    assert plan(negative_prompt="rain", true_cfg_start=0.5).true_cfg_step == 14


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"true_cfg_start": 1.5}, r"true_cfg_start: 1\.5 is outside 0 to 1"),
        ({"true_cfg_start": "early"}, "not a number"),
        ({"faster": "no"}, "faster: 'no' is neither true nor false"),
    ],
)
def test_refuses_what_is_out_of_range(fields, words):
    with pytest.raises(InvalidRequest, match=words) as refusal:
        plan(**fields)
    assert refusal.value.field in fields


def test_what_was_decided_is_told():
    fields = PromptFields("woman", preset="art", negative_prompt="rain", faster=True)
    told = describe_request(fields, plan_generation(fields, DEV, "woman", [], seed=1), DEV)
    assert (told["preset"], told["faster"], told["true_cfg_start"]) == ("art", True, round(1 / 28, 4))
    assert (told["cfg_scale"], told["identity_start"]) == (4.0, round(1 / 28, 4))
