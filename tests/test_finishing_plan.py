"""faceid.finishing_plan and faceid.capabilities: what can be done, what is left out, and why."""

import numpy as np
import pytest

from faceid.base_models import BASE_MODELS, find_base_model
from faceid.capabilities import why_not
from faceid.domain import PromptFields
from faceid.finishes import FACE_CORRECT_STRENGTH, ORDER
from faceid.finishing_plan import plan_finishing

DEV, FAST = find_base_model("flux1-dev"), find_base_model("fast")
VECTOR = np.ones(512, np.float32)
EVERYTHING = dict.fromkeys(ORDER, True) | {"color_grading": "Ektar"}
MISSING = {"face_swap": "its licence was not accepted", "super_resolution": "no network", "face_correct": "no network"}


def plan(model=DEV, missing=(), person=True, vector=VECTOR, **fields):
    given = PromptFields("x", **fields)
    return plan_finishing(given, model, missing=dict(missing), person=person, swap_vector=vector)


def test_with_everything_there_everything_is_done():
    finishing, notes = plan(**EVERYTHING)
    assert finishing.names == ORDER
    assert notes == ()
    assert finishing.face_swap is VECTOR
    assert finishing.face_correct == FACE_CORRECT_STRENGTH
    assert finishing.color_grading == "Ektar"


def test_nothing_asked_is_nothing_done():
    finishing, notes = plan(missing=MISSING)
    assert finishing.names == ()
    assert notes == ()


def test_what_the_machine_lacks_is_a_note():
    finishing, notes = plan(missing=MISSING, **EVERYTHING)
    assert finishing.names == ("hires_fix", "inpaint_faces", "color_grading", "film_grain")
    assert {note.field for note in notes} == MISSING.keys()
    assert [note.reason for note in notes if note.field == "face_swap"] == [
        "face_swap was left out: its licence was not accepted."
    ]


def test_fast_brings_its_own_upscaler_and_draws_no_tiles():
    finishing, (swap, correct, hires) = plan(FAST, MISSING, **EVERYTHING)
    assert finishing.super_resolution
    assert (swap.field, correct.field, hires.field) == ("face_swap", "face_correct", "hires_fix")
    assert "64 px" in hires.reason


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"person": False}, "names nobody"),
        ({"vector": None}, "create the tune again"),
        ({"style": "Line art"}, "Line art is drawn"),
        ({"style": "Comic book"}, "photographic face"),
    ],
)
def test_a_face_is_not_swapped_where_it_makes_no_sense(changes, why):
    finishing, (note,) = plan(face_swap=True, **changes)
    assert finishing.face_swap is None
    assert note.field == "face_swap"
    assert why in note.reason


def test_a_photographic_style_may_be_swapped():
    finishing, notes = plan(face_swap=True, style="Cinematic")
    assert finishing.names == ("face_swap",)
    assert notes == ()


@pytest.mark.parametrize("model", BASE_MODELS, ids=lambda model: model.slug)
def test_reasons_are_given_in_order_for_known_steps(model):
    reasons = why_not(model, MISSING)
    assert list(reasons) == [name for name in ORDER if name in reasons]
    assert all(reasons.values())
    assert ("super_resolution" in reasons) == (model.repo is not None)
