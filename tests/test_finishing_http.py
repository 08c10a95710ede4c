"""Finishing and starting pictures over HTTP: 201 with notes for what cannot be done, 422 for what is wrong."""

import base64
import io

import pytest
from PIL import Image
from rest_calls import RestCalls
from test_rest_tunes import refused

from faceid.finishes import FINISHES

PROMPTS = "/tunes/690204/prompts"
FLAGS = [finish.name for finish in FINISHES if finish.name != "color_grading"]


@pytest.fixture
def calls(make_studio):
    return RestCalls(make_studio())


def done(calls, answer) -> dict:
    """The prompt, once it is drawn."""
    assert answer.status_code == 201, answer.text
    prompt = answer.json()
    list(calls.studio._jobs_of_prompts[prompt["id"]].events())
    return calls.client.get(prompt["url"]).json()


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_flags_never_fail_a_prompt(calls):
    form = {"prompt[text]": "a woman", "prompt[num_images]": "1", "prompt[steps]": "1", "prompt[style]": "Enhance"}
    form |= {"prompt[denoising_strength]": "0.5"}  # without a picture
    form |= {f"prompt[{name}]": "true" for name in FLAGS} | {"prompt[color_grading]": "Film Portra"}
    prompt = done(calls, calls.client.post(PROMPTS, data=form))
    assert prompt["status"] == "done"
    left_out = {note["field"]: note["reason"] for note in prompt["notes"]}
    assert left_out.keys() >= {"face_swap", "face_correct", "hires_fix", "denoising_strength"}
    assert not {"super_resolution", "color_grading", "film_grain"} & left_out.keys()
    drawn = calls.client.get(prompt["images"][0])
    assert Image.open(io.BytesIO(drawn.content)).size == (1024, 1024)
    assert "faceid" in Image.open(io.BytesIO(drawn.content)).info


def test_a_picture_and_a_mask_are_drawn_from(calls, astronaut):
    mask = Image.new("L", (512, 512))
    mask.paste(255, (256, 0, 512, 512))
    fields = {"text": "a woman", "num_images": 1, "steps": 4, "seed": 1, "denoising_strength": 0.5}
    fields["input_image_base64"] = base64.b64encode(astronaut.content).decode()
    fields["mask_image_base64"] = base64.b64encode(png(mask)).decode()
    prompt = done(calls, calls.client.post(PROMPTS, json={"prompt": fields}))
    assert (prompt["status"], prompt["user_error"]) == ("done", None)
    assert "input_image" not in {note["field"] for note in prompt["notes"]}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input_image_base64": base64.b64encode(b"no picture").decode()}, "input_image"),
        ({"mask_image_base64": base64.b64encode(b"no picture").decode()}, "mask_image"),
        ({"style": "Baroque"}, "style"),
        ({"color_grading": "Sepia"}, "color_grading"),
    ],
)
def test_what_is_wrong_names_the_field(calls, fields, field):
    answer = calls.client.post(PROMPTS, json={"prompt": {"text": "a woman", "num_images": 1} | fields})
    refused(answer, 422, field)
