"""Likeness on its way through the studio: measured, kept, told; and the choice of the most alike pictures."""

import logging
import threading
from contextlib import closing

import numpy as np
import pytest
from pictures import astronaut, nobody
from PIL import Image

from faceid.domain import Picture, PictureFile, Prompt, PromptFields, StepDone, TuneFields
from faceid.errors import Cancelled, InvalidRequest, Unavailable
from faceid.faces.likeness import FaceJudge
from faceid.store import TuneStore

WOMAN = TuneFields(title="Eileen", name="woman")
BLURRED = astronaut().resize((160, 160)).resize((512, 512)).rotate(12)
GALLERY = [nobody("cat"), BLURRED, astronaut(), BLURRED.resize((400, 400))]


def paint(request):
    """The gallery's pictures in turn, as if they were drawn."""
    for index in range(request.num_images):
        yield StepDone(index, 1, 1)
        yield Picture(index, request.seed + index, GALLERY[index % len(GALLERY)])


@pytest.fixture(scope="module")
def judge(analyzer):
    return FaceJudge(analyzer)


@pytest.fixture
def studio(make_studio, judge):
    return make_studio(paint=paint, judge=judge)


def draw(studio, text, **fields):
    generation = studio.generate("me", PromptFields(text=text, seed=10, **fields))
    events = list(generation.events())
    return generation, events, [event for event in events if isinstance(event, PictureFile)]


def test_each_picture_is_judged_and_the_band_is_kept(studio, tune):
    generation, _, pictures = draw(studio, tune_tag(tune), num_images=3)
    bands = [picture.likeness for picture in pictures]
    assert bands[0] == "not measurable"
    assert bands[1] in ("fair", "strong")
    assert bands[2] == "copy"
    assert studio._store.get_prompt("me", generation.prompt.id).pictures == tuple(pictures)


def tune_tag(tune):
    return f"<faceid:{tune.id}:1> woman"


def test_nobody_in_the_prompt_nothing_is_judged(studio):
    _, _, pictures = draw(studio, "a woman", num_images=2)
    assert [picture.likeness for picture in pictures] == [None, None]


def test_without_a_judge_nothing_is_judged(make_studio, tune):
    _, _, pictures = draw(make_studio(paint=paint), tune_tag(tune), num_images=1)
    assert pictures[0].likeness is None


def test_nothing_of_it_is_logged(studio, tune, caplog):
    with caplog.at_level(logging.DEBUG):
        draw(studio, tune_tag(tune), num_images=3)
    assert not any(word in caplog.text for word in ("copy", "strong", "fair", "measurable", "similarity"))


def test_a_tune_of_before_gets_its_vectors_from_kept_photos(make_studio, tune, analyzer):
    newer = FaceJudge(analyzer)
    newer.name = "newer"
    studio = make_studio(paint=paint, judge=newer)
    read = analyzer.faces_read
    for _ in range(2):
        assert draw(studio, tune_tag(tune), num_images=3)[2][2].likeness == "copy"
    assert analyzer.faces_read == read + 1
    (vector,) = studio._store.vectors("me", tune.id, "newer")
    (own,) = studio._store.vectors("me", tune.id, "offline")
    assert np.corrcoef(vector, own)[0, 1] > 0.95


def test_a_new_tune_has_the_judges_vectors(make_studio, astronaut, analyzer):
    newer = FaceJudge(analyzer)
    newer.name = "newer"
    studio = make_studio(judge=newer)
    tune = studio.create_tune("me", [astronaut], WOMAN).tune
    (photo,) = studio._store.photos("me", tune.id)
    assert set(photo.vectors) == {"offline", "newer"}


def test_photos_that_were_not_kept_cannot_be_compared_with(make_studio, astronaut, analyzer):
    tune = make_studio(keep_photos=False).create_tune("me", [astronaut], WOMAN).tune
    newer = FaceJudge(analyzer)
    newer.name = "newer"
    studio = make_studio(paint=paint, judge=newer)
    assert draw(studio, tune_tag(tune), num_images=3)[2][2].likeness == "not measurable"
    with pytest.raises(InvalidRequest, match="its photos were not kept"):
        studio.generate("me", PromptFields(text=tune_tag(tune), num_images=1, best_of=2))


# --- best of ---------------------------------------------------------------------------------------------------------


def test_the_most_alike_are_kept_and_no_other_is_saved(studio, tune, tmp_path):
    generation, events, pictures = draw(studio, tune_tag(tune), num_images=2, best_of=4)
    assert [event.index for event in events if isinstance(event, StepDone)] == [0, 1, 2, 3]
    assert [(picture.index, picture.seed) for picture in pictures] == [(0, 12), (1, pictures[1].seed)]
    assert pictures[1].seed in (11, 13)
    assert len(list((tmp_path / "data" / "pictures").iterdir())) == 2
    assert Image.open(pictures[0].path).tobytes() == GALLERY[2].tobytes()
    kept = studio._store.get_prompt("me", generation.prompt.id)
    assert (kept.status, kept.pictures) == ("done", tuple(pictures))
    assert (kept.parameters["num_images"], kept.parameters["best_of"]) == (2, 4)
    assert "4 pictures are drawn; the 2 most like the photos are kept, the most alike first." in [
        n.reason for n in generation.prompt.notes
    ]


def test_as_many_as_are_kept_come_one_by_one(studio, tune):
    generation, events, pictures = draw(studio, tune_tag(tune), num_images=2, best_of=2)
    assert [type(event) for event in events if isinstance(event, StepDone | PictureFile)] == [
        StepDone, PictureFile, StepDone, PictureFile
    ]  # fmt: skip
    assert [picture.seed for picture in pictures] == [10, 11]
    assert not any("most like" in note.reason for note in generation.prompt.notes)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_images": 4, "best_of": 3}, "best_of: 3 pictures are fewer than num_images: 4"),
        ({"best_of": 2}, "best_of: 2 pictures are fewer than num_images: 4"),
        ({"num_images": 1, "best_of": 17}, "best_of: 17 is outside 1 to 16"),
        ({"num_images": 1, "best_of": 1.5}, "not a whole number"),
    ],
)
def test_refuses_what_cannot_be_chosen_from(studio, tune, fields, words):
    with pytest.raises(InvalidRequest, match=words) as caught:
        studio.generate("me", PromptFields(text=tune_tag(tune), **fields))
    assert caught.value.field == "best_of"
    assert studio._store.list_prompts("me") == []


def test_a_choice_needs_a_person_and_a_judge(studio, make_studio, tune):
    with pytest.raises(InvalidRequest, match="name one in the prompt"):
        studio.generate("me", PromptFields(text="a woman", num_images=1, best_of=2))
    with pytest.raises(Unavailable, match="FACEID_LIKENESS"):
        make_studio().generate("me", PromptFields(text=tune_tag(tune), num_images=1, best_of=2))


def test_cancelled_before_the_last_is_drawn_nothing_is_saved(make_studio, judge, tune, tmp_path):
    go_on = threading.Event()

    def paint_slowly(request):
        yield from list(paint(request))[:4]
        yield StepDone(2, 1, 1)
        go_on.wait()
        yield StepDone(3, 1, 1)

    studio = make_studio(paint=paint_slowly, judge=judge)
    generation = studio.generate("me", PromptFields(text=tune_tag(tune), num_images=1, best_of=4))
    events = generation.events()
    while not (isinstance(event := next(events), StepDone) and event.index == 2):
        pass
    studio.cancel("me", generation.prompt.id)
    go_on.set()
    with pytest.raises(Cancelled):
        list(events)
    assert list((tmp_path / "data" / "pictures").iterdir()) == []


# --- databases of before ---------------------------------------------------------------------------------------------


def test_a_database_without_the_column_is_opened_and_used(tmp_path):
    with closing(TuneStore.open(tmp_path)) as store:
        prompt = store.add_prompt(Prompt(id=0, owner="me", text="a woman", base_model="fast"))
        store.add_picture(prompt.id, 0, 7, b"png", "fair")
        with store.database.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE pictures DROP COLUMN likeness")
    with closing(TuneStore.open(tmp_path)) as store:
        store.add_picture(prompt.id, 1, 8, b"png", "strong")
        pictures = store.get_prompt("me", prompt.id).pictures
    assert [(picture.seed, picture.likeness) for picture in pictures] == [(7, None), (8, "strong")]
