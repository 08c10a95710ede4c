"""Finishing through the real app: gradio_client, and what the page and the API say of it before it is asked for."""

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from faceid.finishes import ORDER
from faceid.recipe import read_recipe

KEY = "the-key-of-the-finishing-tests"


@pytest.fixture(scope="module")
def client(app_url):
    return Client(app_url, headers={"X-FaceID-Key": KEY}, verbose=False)


@pytest.fixture(scope="module")
def tune(client, astronaut_path):
    made = client.predict([handle_file(astronaut_path)], "Finished", "woman", api_name="/create_tune")
    yield made
    client.predict(made["id"], api_name="/delete_tune")  # and the pictures: the app is shared


def draw(client, tune, **fields) -> tuple[str, dict]:
    given = {"num_images": 1, "seed": 3, "steps": 4}
    pictures, details = client.predict(f"{tune['tag']} woman", **(given | fields), api_name="/generate")
    return pictures[0]["image"], details


def test_what_can_be_done_is_said_before_it_is_asked_for(client):
    fast, *others = client.predict(api_name="/base_models")
    assert list(fast["finishing"]) == list(ORDER)
    assert fast["finishing"]["super_resolution"] is None
    assert "64 px" in fast["finishing"]["hires_fix"]
    assert "FACEID_ACCEPT_INSWAPPER=true" in fast["finishing"]["face_swap"]
    assert "FACEID_FACE_PACK=offline" in fast["finishing"]["face_correct"]
    assert all("not loaded here" in other["finishing"]["film_grain"] for other in others)


def test_a_finished_picture_and_its_notes(client, tune):
    path, details = draw(client, tune, super_resolution=True, film_grain=True, color_grading="Ektar", face_swap=True)
    assert Image.open(path).size == (1024, 1024)
    assert any("face_swap was left out" in note for note in details["notes"])
    with open(path, "rb") as file:  # noqa: PTH123
        recipe = read_recipe(file.read())
    assert recipe["super_resolution"] is recipe["film_grain"] is True
    assert recipe["face_swap"] is False
    assert recipe["text"].startswith("<faceid:")


def test_a_style_and_a_starting_picture(client, tune, astronaut_path, app_folder):
    before = set((app_folder / "uploads").rglob("astronaut*"))
    path, details = draw(
        client, tune, style="line art", input_image=handle_file(astronaut_path), denoising_strength=0.5, steps=8
    )
    assert (details["style"], details["denoising_strength"]) == ("Line art", 0.5)
    assert Image.open(path).size == (256, 256)
    assert set((app_folder / "uploads").rglob("astronaut*")) == before


def test_a_refused_call_leaves_no_upload_behind(app_url, astronaut_path, app_folder):
    before = set((app_folder / "uploads").rglob("astronaut*"))
    stranger = Client(app_url, headers={"X-FaceID-Key": "short"}, verbose=False)
    with pytest.raises(AppError, match="at least 20"):
        stranger.predict("woman", input_image=handle_file(astronaut_path), api_name="/generate")
    assert set((app_folder / "uploads").rglob("astronaut*")) == before


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"style": "Baroque"}, "Line art"),
        ({"color_grading": "Sepia"}, "Ektar"),
        ({"mask_image": "photo"}, "needs an input_image"),
        ({"denoising_strength": 2}, "0 to 1"),
    ],
)
def test_what_is_wrong_is_said(client, tune, astronaut_path, fields, why):
    given = {name: handle_file(astronaut_path) if value == "photo" else value for name, value in fields.items()}
    with pytest.raises(AppError, match=why):
        draw(client, tune, **given)
