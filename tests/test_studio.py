import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceid.base_models import find_base_model
from faceid.domain import Picture, PictureFile, PromptFields, StepDone, TuneFields, Upload
from faceid.errors import (
    Cancelled,
    FaceIDError,
    InvalidPhotos,
    InvalidRequest,
    NotFound,
    PromptSyntaxError,
    QueueFull,
    StorageFull,
    Unavailable,
)
from faceid.jobs import JobQueue

WOMAN = TuneFields(title="Eileen", name="woman")
BLANK = b"\xff\xd8\xff not a photo"


def draw(studio, text, owner="me", **fields):
    generation = studio.generate(owner, PromptFields(text=text, steps=2, **fields))
    return generation, list(generation.events())


def pictures_of(events):
    return [event for event in events if isinstance(event, PictureFile)]


def test_photos_become_a_tune_that_is_ready_at_once(studio, astronaut):
    made = studio.create_tune("me", [astronaut], TuneFields(title=" Eileen ", name="Woman", token=""))
    assert made.created
    assert (made.tune.title, made.tune.name, made.tune.token, made.tune.num_photos) == ("Eileen", "woman", "ohwx", 1)
    assert (made.tune.expires_at - made.tune.created_at).days == 30
    assert made.tune.consent_at is not None
    assert studio.get_tune("me", made.tune.id) == made.tune
    assert studio.thumbnail("me", made.tune.id)[8:12] == b"WEBP"


def test_same_title_and_photos_give_the_same_tune_without_a_face_model(studio, analyzer, astronaut):
    first = studio.create_tune("me", [astronaut], WOMAN)
    read = analyzer.faces_read
    again = studio.create_tune("me", [astronaut, astronaut], WOMAN)
    assert again.tune == first.tune
    assert not again.created
    draw(studio, f"<faceid:{first.tune.id}:1> woman", num_images=1)
    assert analyzer.faces_read == read
    assert studio.create_tune("you", [astronaut], WOMAN).tune.id != first.tune.id


def test_the_title_alone_decides_where_it_is_set_so(make_studio, astronaut, rotated_astronaut):
    studio = make_studio(titles_decide=True)
    first = studio.create_tune("me", [astronaut], WOMAN)
    assert studio.create_tune("me", [rotated_astronaut], WOMAN).tune == first.tune


@pytest.fixture(scope="module")
def rotated_astronaut(astronaut):
    turned = io.BytesIO()
    Image.open(io.BytesIO(astronaut.content)).rotate(90, expand=True).save(turned, "JPEG", quality=92)
    return Upload("turned.jpg", turned.getvalue())


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"title": " "}, "title", "is missing"),
        ({"title": "x" * 201}, "title", "201 characters, at most 200"),
        ({"title": "a\x00b"}, "title", r"U\+0000 at column 2"),
        ({"title": "a\u202eb"}, "title", r"U\+202E"),
        ({"name": "cat"}, "name", "human faces only"),
        ({"name": "dog"}, "name", "human faces only"),
        ({"name": "style"}, "name", "human faces only"),
        ({"name": "<b>"}, "name", "not a class word"),
        ({"consent": False}, "consent", "agreed"),
        ({"model_type": "lora"}, "model_type", "'lora'"),
        ({"characteristics": {"eyes": "<faceid:1:1>"}}, "characteristics", "may not hold"),
    ],
)
def test_refuses_what_is_no_tune(studio, analyzer, astronaut, fields, field, words):
    read = analyzer.faces_read
    with pytest.raises(InvalidRequest, match=words) as caught:
        studio.create_tune("me", [astronaut], TuneFields(**({"title": "t", "name": "woman"} | fields)))
    assert caught.value.field == field
    assert analyzer.faces_read == read
    assert studio.list_tunes("me") == []


def test_refuses_no_photo_too_many_and_too_large(studio, astronaut):
    with pytest.raises(InvalidRequest, match="0 photos"):
        studio.create_tune("me", [], WOMAN)
    with pytest.raises(InvalidRequest, match="21 photos"):
        studio.create_tune("me", [astronaut] * 21, WOMAN)
    with pytest.raises(InvalidPhotos, match=r"big\.jpg: has 20\.0 MB"):
        studio.create_tune("me", [Upload("big.jpg", bytes(20 * 2**20 + 1))], WOMAN)


def test_names_each_photo_that_cannot_be_used(studio, astronaut):
    with pytest.raises(InvalidPhotos) as caught:
        studio.create_tune("me", [astronaut, Upload("a.jpg", BLANK), Upload("b.jpg", BLANK + b"!")], WOMAN)
    assert [problem.photo for problem in caught.value.problems] == ["a.jpg", "b.jpg"]
    assert studio.list_tunes("me") == []


def test_looks_at_each_photo_by_itself(studio, astronaut):
    good, bad = studio.check_photos([astronaut, Upload("a.jpg", BLANK)])
    assert good.problem is None
    assert good.thumbnail[8:12] == b"WEBP"
    assert bad.thumbnail is None
    assert bad.problem


def test_a_prompt_becomes_pictures_and_is_remembered(studio, tune):
    generation, events = draw(
        studio, f"<faceid:{tune.id}:0.8> woman, beach", num_images=2, seed=2**32 - 1, w=512, h=768
    )
    assert [(e.index, e.step) for e in events if isinstance(e, StepDone)] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [(p.index, p.seed) for p in pictures_of(events)] == [(0, 2**32 - 1), (1, 0)]
    assert generation.request.prompt == "woman, beach"
    assert generation.request.identities[0].strength == 0.8
    assert generation.request.width < generation.request.height
    assert any("own size of fast" in note.reason for note in generation.prompt.notes)
    kept = studio._store.get_prompt("me", generation.prompt.id)
    assert kept.status == "done"
    assert len(kept.pictures) == 2


def test_the_same_request_gives_the_same_pictures(studio, tune):
    text = f"<faceid:{tune.id}> woman"
    drawn = [draw(studio, text, num_images=1, seed=seed)[1] for seed in (5, 5, 6)]
    first, again, other = (Path(pictures_of(events)[0].path).read_bytes() for events in drawn)
    assert first == again
    assert first != other


def test_a_prompt_without_a_tag_draws_nobody(studio):
    generation, events = draw(studio, "a woman", num_images=1)
    assert generation.request.identities == ()
    assert len(pictures_of(events)) == 1


def test_a_bare_tag_draws_the_class(studio, tune):
    generation, _ = draw(studio, f"<faceid:{tune.id}>", num_images=1)
    assert generation.request.prompt == "woman"


def test_characteristics_fill_the_prompt(studio, astronaut):
    fields = TuneFields(title="E", name="woman", characteristics={"eyes": "blue"})
    tune = studio.create_tune("me", [astronaut], fields).tune
    generation, _ = draw(studio, f"<faceid:{tune.id}> woman, {{{{eyes}}}} eyes", num_images=1)
    assert generation.request.prompt == "woman, blue eyes"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": " "}, "text: is missing"),
        ({"text": "x" * 4001}, "at most 4000"),
        ({"text": "<faceid:1:9>"}, "outside 0 to 3"),
        ({"text": "w", "num_images": 0}, "num_images: 0 is outside 1 to 8"),
        ({"text": "w", "num_images": 9}, "num_images: 9 is outside 1 to 8"),
        ({"text": "w", "num_images": 1.5}, "not a whole number"),
        ({"text": "w", "num_images": True}, "not a number"),
        ({"text": "w", "seed": -1}, "seed: -1 is outside"),
        ({"text": "w", "seed": 2**32}, "seed: 4,294,967,296 is outside 0 to 4,294,967,295"),
        ({"text": "w", "steps": 51}, "steps: 51 is outside 1 to 50"),
        ({"text": "w", "cfg_scale": 15.5}, "cfg_scale: 15.5"),
        ({"text": "w", "w": 100, "h": 512}, "w: 100 is outside 256 to 2,048 px"),
        ({"text": "w", "aspect_ratio": "7:5"}, "16:9"),
        ({"text": "w", "aspect_ratio": "1:1", "w": 512}, "not both"),
        ({"text": "w", "true_cfg_scale": 3}, "needs a negative_prompt"),
        ({"text": "w", "true_cfg_scale": "three"}, "true_cfg_scale: 'three' is not a number"),
        ({"text": "w", "base_model": "sdxl"}, "flux1-dev"),
    ],
)
def test_refuses_what_cannot_be_drawn_before_the_queue(studio, fields, words):
    with pytest.raises(FaceIDError, match=words):
        studio.generate("me", PromptFields(**fields))
    assert studio._store.list_prompts("me") == []


def test_a_model_that_is_not_loaded_names_one_that_is(studio):
    with pytest.raises(Unavailable, match=r"flux1-dev is not loaded here. Loaded: fast \(1\)"):
        studio.generate("me", PromptFields(text="woman", base_model=1504944))
    assert studio.select_base_model(690204).slug == "fast"
    assert studio.select_base_model("1").slug == "fast"


def test_two_people_in_one_prompt_are_refused(studio, tune):
    with pytest.raises(PromptSyntaxError, match="Two people"):
        studio.generate("me", PromptFields(text=f"<faceid:{tune.id}> and <faceid:{tune.id + 1}>"))


def test_somebody_elses_tune_does_not_exist(studio, tune):
    for attempt in (
        lambda: studio.get_tune("you", tune.id),
        lambda: studio.thumbnail("you", tune.id),
        lambda: studio.delete_tune("you", tune.id),
        lambda: studio.generate("you", PromptFields(text=f"<faceid:{tune.id}>")),
    ):
        with pytest.raises(NotFound, match=f"There is no tune {tune.id} of yours"):
            attempt()
    with pytest.raises(NotFound, match=f"There is no tune {tune.id + 1} of yours"):
        studio.get_tune("me", tune.id + 1)
    assert studio.list_tunes("you") == []
    assert studio.get_tune("me", tune.id) == tune


def test_deleting_a_tune_removes_its_pictures(studio, tune, tmp_path):
    draw(studio, f"<faceid:{tune.id}> woman", num_images=1)
    assert len(list((tmp_path / "data" / "pictures").iterdir())) == 1
    studio.delete_tune("me", tune.id)
    assert studio.list_tunes("me") == []
    assert list((tmp_path / "data" / "pictures").iterdir()) == []


def test_tokens_are_encoded_again_from_kept_photos(make_studio, tune, fast, analyzer):
    class NewerEncoder:
        key = fast.encoder.key._replace(adapter="newer")
        encode = fast.encoder.encode

    read = analyzer.faces_read
    newer = make_studio(encoders={fast.base_model.adapter: NewerEncoder()})
    draw(newer, f"<faceid:{tune.id}> woman", num_images=1)
    assert analyzer.faces_read == read + 1
    draw(newer, f"<faceid:{tune.id}> woman", num_images=1)
    assert analyzer.faces_read == read + 1
    tokens = newer._store.tokens("me", tune.id, NewerEncoder.key)
    np.testing.assert_array_equal(tokens, newer._store.tokens("me", tune.id, fast.encoder.key))


def test_photos_that_were_not_kept_are_asked_for_again(make_studio, astronaut, fast):
    class NewerEncoder:
        key = fast.encoder.key._replace(adapter="newer")
        encode = fast.encoder.encode

    tune = make_studio(keep_photos=False).create_tune("me", [astronaut], WOMAN).tune
    newer = make_studio(encoders={fast.base_model.adapter: NewerEncoder()})
    with pytest.raises(InvalidRequest, match=r"photos were not kept\. Create it again"):
        newer.generate("me", PromptFields(text=f"<faceid:{tune.id}>"))


def test_a_model_is_not_fed_vectors_of_another_face_pack(make_studio, tune):
    dev = find_base_model("flux1-dev")
    studio = make_studio(base_models=[dev])
    with pytest.raises(Unavailable, match="FACEID_FACE_PACK=antelopev2"):
        studio.generate("me", PromptFields(text=f"<faceid:{tune.id}>"))


def test_cancelling_stops_within_a_step_and_is_remembered(studio):
    generation = studio.generate("me", PromptFields(text="woman", steps=50, num_images=8))
    events = generation.events()
    while not isinstance(event := next(events), StepDone):
        pass
    studio.cancel("me", generation.prompt.id)
    with pytest.raises(Cancelled):
        list(events)
    assert event.step == 1
    assert studio._store.get_prompt("me", generation.prompt.id).status == "cancelled"
    _, events = draw(studio, "woman", num_images=1)
    assert len(pictures_of(events)) == 1


def test_only_the_owner_cancels(studio):
    generation = studio.generate("me", PromptFields(text="woman", num_images=1, steps=1))
    with pytest.raises(NotFound):
        studio.cancel("you", generation.prompt.id)
    assert len(pictures_of(generation.events())) == 1


def test_a_full_queue_leaves_no_prompt_behind(make_studio):
    release = threading.Event()

    def paint(request):
        release.wait()
        yield StepDone(0, 1, 1)

    studio = make_studio(paint=paint, jobs=JobQueue(max_waiting=1))
    running = [studio.generate("me", PromptFields(text="woman")) for _ in range(2)]
    with pytest.raises(QueueFull):
        studio.generate("me", PromptFields(text="woman"))
    assert len(studio._store.list_prompts("me")) == 2
    release.set()
    for generation in running:
        assert list(generation.events())


def test_a_failure_of_the_machine_is_told_plainly_and_remembered(make_studio):
    def paint(request):
        yield StepDone(0, 1, 1)
        raise RuntimeError("secret detail")

    studio = make_studio(paint=paint)
    generation = studio.generate("me", PromptFields(text="woman"))
    with pytest.raises(FaceIDError) as caught:
        list(generation.events())
    kept = studio._store.get_prompt("me", generation.prompt.id)
    assert "secret" not in str(caught.value)
    assert (kept.status, "secret" in kept.user_error) == ("failed", False)


def test_what_paints_is_stopped_where_a_picture_cannot_be_kept(make_studio):
    closed = threading.Event()

    def paint(request):
        (prompt,) = studio.list_prompts("me")
        studio._store.delete_prompt("me", prompt.id)
        try:
            yield Picture(0, 1, Image.new("RGB", (8, 8)))
        finally:
            closed.set()

    studio = make_studio(paint=paint)
    job = studio.generate("me", PromptFields(text="woman", num_images=1)).job
    with pytest.raises(NotFound) as caught:  # its traceback keeps every frame alive
        list(job.events())
    assert closed.is_set()
    assert "There is no prompt" in str(caught.value)


def test_a_tune_that_is_deleted_is_not_drawn_to_the_end(studio, astronaut):
    tune = studio.create_tune("me", [astronaut], WOMAN).tune
    generation = studio.generate("me", PromptFields(text=f"<faceid:{tune.id}> woman", steps=50, num_images=8))
    events = generation.events()
    while not isinstance(event := next(events), StepDone):
        pass
    studio.delete_tune("me", tune.id)
    with pytest.raises(Cancelled):
        list(events)
    assert event.step == 1


def test_a_prompt_that_cannot_be_begun_has_failed(make_studio, monkeypatch):
    studio = make_studio()

    def start_prompt(prompt_id):
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(studio._store, "start_prompt", start_prompt)
    generation = studio.generate("me", PromptFields(text="woman"))
    with pytest.raises(StorageFull):
        list(generation.events())
    kept = studio.get_prompt("me", generation.prompt.id)
    assert (kept.status, kept.user_error) == ("failed", "The disk is full.")


def test_a_reader_who_leaves_cancels_and_one_who_never_came_does_not(studio):
    generation = studio.generate("me", PromptFields(text="woman", num_images=1, steps=50))
    events = generation.events()
    next(events)
    events.close()
    assert studio.get_prompt("me", generation.prompt.id).status == "cancelled"
    unread = studio.generate("me", PromptFields(text="woman", num_images=1, steps=1))
    assert len(pictures_of(unread.job.events())) == 1
    assert studio.get_prompt("me", unread.prompt.id).status == "done"
