"""Finishing and starting pictures as use cases: asked for, done or left out, said in notes, in the recipe, kept."""

import io

import numpy as np
import pytest
from flux_toys import mean_change
from PIL import Image
from pulid_toys import one_thread
from tiny_pack import write_tiny_recogniser
from tiny_swapper import write_tiny_swapper

from faceid.domain import PictureFile, PromptFields, TuneFields, Upload
from faceid.errors import InvalidRequest
from faceid.faces.finder import FaceFinder
from faceid.finishes import FinishStep
from faceid.finishing.chain import FinishingChain
from faceid.finishing.face_swap import SWAP_SPACE, FaceSwap, SwapReader
from faceid.finishing.weights import Networks
from faceid.recipe import read_recipe


@pytest.fixture(autouse=True)
def quick():
    with one_thread():
        yield


def draw(studio, tune=None, **fields) -> tuple[list, PictureFile, object]:
    """What happened, the picture, the prompt as it is kept."""
    text = f"<faceid:{tune.id}:1> woman in the snow" if tune else "a woman in the snow"
    given = {"text": text, "num_images": 1, "steps": 2, "seed": 5}
    generation = studio.generate("me", PromptFields(**(given | fields)))
    events = list(generation.events())
    return events, events[-1], studio.get_prompt("me", generation.prompt.id)


def pixels(picture: PictureFile) -> np.ndarray:
    return np.asarray(Image.open(picture.path)).astype(int)


def recipe(picture: PictureFile) -> dict:
    with open(picture.path, "rb") as file:  # noqa: PTH123
        return read_recipe(file.read())


@pytest.fixture
def start(astronaut_path) -> Upload:
    file = io.BytesIO()
    Image.open(astronaut_path).convert("RGB").crop((150, 0, 342, 128)).save(file, "PNG")  # 3:2
    return Upload("start.png", file.getvalue())


def test_what_is_done_and_what_is_left_out(studio, tune):
    events, picture, prompt = draw(
        studio, tune, super_resolution=True, color_grading="Ektar", film_grain=True, face_swap=True, face_correct=True,
        hires_fix=True,
    )  # fmt: skip
    assert Image.open(picture.path).size == (1024, 1024)
    assert {event.name for event in events if isinstance(event, FinishStep)} == {"super_resolution"}
    left_out = {note.field: note.reason for note in prompt.notes if note.field != "w"}
    assert left_out.keys() == {"face_swap", "face_correct", "hires_fix"}
    assert "FACEID_ACCEPT_INSWAPPER=true" in left_out["face_swap"]
    assert prompt.status == "done"
    assert (prompt.parameters["picture_w"], prompt.parameters["face_swap"]) == (1024, True)


def test_the_recipe_says_what_was_done(studio, tune):
    _, picture, prompt = draw(studio, tune, film_grain=True, face_swap=True, style="line art", preset="art")
    said = recipe(picture)
    assert said["text"] == prompt.text
    assert (said["seed"], said["steps"], said["base_model"], said["style"]) == (5, 2, "fast", "Line art")
    assert (said["film_grain"], said["face_swap"]) == (True, False)
    assert ["face_swap", next(note.reason for note in prompt.notes if note.field == "face_swap")] in said["notes"]
    assert "me" not in said.values()


def test_the_same_settings_from_a_recipe_give_the_same_picture(studio, tune):
    _, picture, _ = draw(studio, tune, film_grain=True, color_grading="Film Velvia", cfg_scale=2.5, seed=77)
    said = recipe(picture)
    again = {name: value for name, value in said.items() if name not in ("notes", "face_swap")}
    _, second, _ = draw(studio, **again)
    assert np.array_equal(pixels(picture), pixels(second))


def test_color_and_grain_change_the_picture(studio, tune):
    plain = pixels(draw(studio, tune)[1])
    graded = pixels(draw(studio, tune, color_grading="Film Velvia")[1])
    grainy = pixels(draw(studio, tune, film_grain=True)[1])
    assert mean_change(graded, plain) > 2
    assert 2 < mean_change(grainy, plain) < 12


def test_what_turns_out_while_finishing_is_a_note_too(studio, tune):
    _, picture, prompt = draw(studio, tune, steps=8, inpaint_faces=True, num_images=1)
    (note,) = [note for note in prompt.notes if note.field == "inpaint_faces"]
    assert "stays as it was drawn" in note.reason
    assert list(note) in recipe(picture)["notes"]


def test_a_style_adds_words_once(studio, tune):
    generation = studio.generate(
        "me", PromptFields(f"<faceid:{tune.id}:1> woman", style="Neonpunk", num_images=1, steps=1)
    )
    assert generation.request.prompt.startswith("woman, neonpunk")
    list(generation.events())
    again = studio._plan("me", PromptFields(generation.prompt.text, style="Neonpunk"), generation.request.prompt)
    assert again.request.prompt == generation.request.prompt  # as after a restart


def test_a_drawn_style_lets_the_identity_begin_at_once(studio, tune):
    generation = studio.generate(
        "me", PromptFields(f"<faceid:{tune.id}:1> woman", style="Lowpoly", num_images=1, steps=1)
    )
    assert generation.request.identity_start == 0
    list(generation.events())


def test_drawn_from_a_picture_in_its_shape(studio, tune, start):
    _, faint, prompt = draw(studio, tune, input_image=start, denoising_strength=0.2, steps=8)
    width, height = Image.open(faint.path).size
    assert width / height == pytest.approx(1.5, rel=0.15)
    assert prompt.parameters["denoising_strength"] == 0.2
    given = np.asarray(Image.open(io.BytesIO(start.content)).resize((width, height))).astype(int)
    strong = pixels(draw(studio, tune, input_image=start, denoising_strength=1.0, steps=8)[1])
    assert mean_change(pixels(faint), given) < mean_change(strong, given)
    assert mean_change(pixels(faint), given) < 40


def test_a_mask_keeps_the_rest(studio, tune, start):
    mask = Image.new("L", (192, 128))
    mask.paste(255, (128, 0, 192, 128))
    file = io.BytesIO()
    mask.save(file, "PNG")
    kept = draw(studio, tune, input_image=start, denoising_strength=0.0)[1]  # the picture itself
    drawn = draw(studio, tune, input_image=start, mask_image=Upload("mask.png", file.getvalue()), steps=4)[1]
    width = pixels(kept).shape[1]
    assert mean_change(pixels(drawn)[:, : width // 2], pixels(kept)[:, : width // 2]) < 1.5
    assert mean_change(pixels(drawn)[:, -width // 4 :], pixels(kept)[:, -width // 4 :]) > 4


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input_image": Upload("x.png", b"no picture")}, "input_image"),
        ({"mask_image": Upload("x.png", b"no picture")}, "mask_image"),
        ({"style": "Baroque"}, "style"),
        ({"color_grading": "Sepia"}, "color_grading"),
        ({"denoising_strength": 1.5}, "denoising_strength"),
    ],
)
def test_what_is_wrong_is_refused_before_the_queue(studio, fields, field):
    with pytest.raises(InvalidRequest) as refused:
        studio.generate("me", PromptFields("a woman", **fields))
    assert refused.value.field == field
    assert studio.list_prompts("me") == []


# --- face_swap, with its licence accepted ---


@pytest.fixture
def swapping_studio(make_studio, fast, face_pack, tmp_path):
    """A studio whose swapper was accepted, with networks that paint and read without weights."""
    write_tiny_swapper(tmp_path / "inswapper_128.onnx")
    write_tiny_recogniser(tmp_path / "w600k_r50.onnx")
    reader = SwapReader(tmp_path / "w600k_r50.onnx")
    before = fast.generator.finish
    fast.generator.finish = FinishingChain(
        Networks(face_swap=FaceSwap(tmp_path / "inswapper_128.onnx")), FaceFinder(face_pack)
    )
    yield lambda **given: make_studio(**{"swap_reader": reader, "missing": {}} | given)
    fast.generator.finish = before


def test_the_face_is_swapped_by_the_tune_s_own_vector(swapping_studio, astronaut):
    studio = swapping_studio(keep_photos=False)
    tune = studio.create_tune("me", [astronaut], TuneFields(title="Eileen", name="woman")).tune
    assert len(studio._store.vectors("me", tune.id, SWAP_SPACE)) == 1
    _, plain, _ = draw(studio, tune, steps=8)
    _, swapped, prompt = draw(studio, tune, steps=8, face_swap=True)
    assert [note for note in prompt.notes if note.field == "face_swap"] == []
    assert recipe(swapped)["face_swap"] is True
    assert mean_change(pixels(swapped), pixels(plain)) > 3


def test_a_tune_of_before_is_read_again_from_its_photos(swapping_studio, make_studio, astronaut):
    old = make_studio()
    tune = old.create_tune("me", [astronaut], TuneFields(title="Eileen", name="woman")).tune
    assert old._store.vectors("me", tune.id, SWAP_SPACE) == []
    studio = swapping_studio(store=old._store)
    assert draw(studio, tune, face_swap=True)[2].status == "done"
    assert len(studio._store.vectors("me", tune.id, SWAP_SPACE)) == 1


def test_a_tune_of_before_without_photos_says_so(swapping_studio, make_studio, astronaut):
    old = make_studio(keep_photos=False)
    tune = old.create_tune("me", [astronaut], TuneFields(title="Eileen", name="woman")).tune
    prompt = draw(swapping_studio(store=old._store), tune, face_swap=True)[2]
    (note,) = [note for note in prompt.notes if note.field == "face_swap"]
    assert "create the tune again" in note.reason
