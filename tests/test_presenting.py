"""faceid.web.presenting: what is said of pictures."""

from typing import get_args, get_type_hints

import pytest

from faceid.base_models import find_base_model
from faceid.domain import Note, PictureFile, StepDone
from faceid.errors import Cancelled, InvalidPhotos, InvalidRequest, PhotoProblem
from faceid.protocols import Likeness
from faceid.web.presenting import (
    LIKENESS,
    READERS,
    caption,
    in_page_words,
    licences_text,
    loading_text,
    note_lines,
    progress_of,
    status_text,
)

FAST = [find_base_model("fast")]


def test_every_band_has_its_words_and_none_is_a_number():
    assert set(LIKENESS) == set(get_args(get_type_hints(Likeness)["band"]))
    assert not any(character in "%0123456789" for words in LIKENESS.values() for character in words)


@pytest.mark.parametrize(
    ("likeness", "words"),
    [(None, "seed 7"), ("strong", "seed 7 · strong likeness"), ("not measurable", "seed 7 · likeness not measurable")],
)
def test_a_caption_tells_the_seed_and_the_likeness(likeness, words):
    assert caption(PictureFile(0, 7, "picture.png", likeness)) == words


def test_progress_grows_picture_by_picture():
    events = [StepDone(0, 1, 2), StepDone(0, 2, 2), PictureFile(0, 7, ""), StepDone(1, 1, 2), PictureFile(1, 8, "")]
    done = [progress_of(event, 2)[1] for event in events]
    assert done == sorted(done)
    assert done[-1] == 1
    assert progress_of(events[3], 2)[0] == "Picture 2 of 2: step 1 of 2"


def test_progress_of_a_choice_does_not_fall_back():
    assert progress_of(StepDone(7, 2, 2), 8, choosing=True) == ("Picture 8 of 8: step 2 of 2", 1.0)
    assert progress_of(PictureFile(0, 7, ""), 8, choosing=True) == (
        "All 8 pictures are drawn, the most alike are kept", 1.0
    )  # fmt: skip


def test_the_status_says_where_each_model_draws():
    both = [find_base_model("flux1-dev"), *FAST]
    where = "**FLUX.1 [dev]** on the GPU and **fast** on the CPU"
    assert loading_text(both).startswith(f"Loading {where}.")
    assert status_text(both, pack="antelopev2", pack_note="").startswith(f"Drawing with {where}. ")


def test_the_status_names_the_judge_and_the_foot_its_licence():
    status = status_text(FAST, pack="antelopev2", pack_note="", judge="auraface-v1")
    assert "likeness is judged by *auraface-v1*" in status
    assert "likeness is judged by nobody" in status_text(FAST, pack="offline", pack_note="")
    foot = licences_text(FAST, pack_licence="research", judge_licence="AuraFace-v1: Apache-2.0")
    assert "judge: AuraFace-v1: Apache-2.0" in foot
    assert "judge" not in licences_text(FAST, pack_licence="MIT", judge_licence="MIT")


def test_the_status_says_plainly_which_models_came_with_the_app():
    status = status_text(FAST, pack="offline", pack_note="", judge="offline")
    assert status.endswith(f"Faces are read by {READERS['offline']}, likeness is judged by the same.")
    assert "offline" not in status


LABELS = {"title": "Name", "steps": "Steps"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InvalidRequest("title: is missing.", field="title"), "Name: is missing."),
        (InvalidRequest("steps: 51 is outside 1 to 50.", field="steps"), "Steps: 51 is outside 1 to 50."),
        (InvalidRequest("seed: 'x' is not a number.", field="seed"), "seed: 'x' is not a number."),
        (InvalidPhotos([PhotoProblem("title.jpg", "No face.")]), "title.jpg: No face."),
        (Cancelled("title: a word"), "title: a word"),
    ],
)
def test_an_error_names_the_control_on_the_page(error, words):
    assert in_page_words(error, LABELS) == words


def test_a_note_names_the_finishing_step_on_the_page():
    notes = [Note("face_swap", "face_swap was left out: no face."), Note("w", "Drawn at 64 × 64 px.")]
    assert note_lines(notes) == ["Face swap was left out: no face.", "Drawn at 64 × 64 px."]
