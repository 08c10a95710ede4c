"""The whole app on a simulated ZeroGPU Space: what crosses the fork, what does not, what is asked of the scheduler.

`zero_gpu` has the scheduler and the process, `zero_gpu_app` notes what happens inside. `fast` draws on the CPU of the
worker; FLUX's road, over "cuda" weights, is driven at toy width.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import torch
from flux_toys import short_request
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from offline_mode import offline  # noqa: F401
from page_client import PageClient, text_of
from PIL import Image, ImageChops
from tiny_base_models import write_base_models
from zero_gpu import running_space, serve_scheduler, trace_file, zero_gpu_environment
from zero_gpu_flux import load_toy_flux, picture_hash, tokens_hash, toy_request

from faceid.flux import gpu

if torch.version.cuda is None:
    pytest.skip("`spaces` stands in for CUDA in a torch that was built for it", allow_module_level=True)

KEY = "the-key-of-the-zero-gpu-tests"
SECONDS = 300  # only ever waited for by a test that fails
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    with running_space(tmp_path_factory.mktemp("space")) as space:
        yield space


@pytest.fixture(scope="module")
def client(space, tmp_path_factory):
    headers = {"X-FaceID-Key": KEY, "X-IP-Token": "token-of-the-api"}
    folder = tmp_path_factory.mktemp("downloads")
    return Client(space.url, headers=headers, verbose=False, download_files=str(folder))


def draw(client: Client, text: str, num_images: int = 1, steps: int = 2, **fields) -> list[Image.Image]:
    gallery, _ = client.predict(text, num_images, 7, steps, **fields, api_name="/generate")
    return [Image.open(picture["image"]) for picture in gallery]


def same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is None


def last_output(messages) -> str:
    for message in messages:
        if message["msg"] == "process_completed" and "Cancelling" not in str(message):
            return text_of(message)
    pytest.fail("the drawing never ended")


def ask_by_http(space, **prompt) -> None:
    """One picture by the HTTP API; returns when its worker is released."""
    released = len(space.scheduler.asked("/release"))
    answer = httpx.post(
        f"{space.url}/tunes/690204/prompts",
        headers={"X-FaceID-Key": KEY, "X-IP-Token": "token-of-http"},
        json={"prompt": {"num_images": 1, "steps": 1} | prompt},
        timeout=SECONDS,
    )
    assert answer.status_code == 201, answer.text
    space.scheduler.wait_for("/release", released + 1)


def test_a_tune_made_after_the_worker_was_forked_is_drawn_in_it(space, client, astronaut_path):
    first = client.predict([handle_file(astronaut_path)], "First", "woman", api_name="/create_tune")
    (before,) = draw(client, f"{first['tag']} woman")
    second = client.predict([handle_file(astronaut_path)], "Second", "woman", api_name="/create_tune")
    assert second["id"] != first["id"]
    (after,) = draw(client, f"{second['tag']} woman")
    (nobody,) = draw(client, "woman")
    assert same(before, after)
    assert not same(before, nobody)
    (allowed,) = space.scheduler.asked("/allow")
    assert {noted["pid"] for noted in space.traced("pass")} == {int(allowed["pid"])}
    assert int(allowed["pid"]) != space.process.pid


def test_likeness_is_judged_in_the_main_process(space, client, astronaut_path):
    tune = client.predict([handle_file(astronaut_path)], "Judged", "woman", api_name="/create_tune")
    runs = len(space.traced("onnx"))
    _, details = client.predict(f"{tune['tag']} woman", 1, 7, 2, best_of=2, api_name="/generate")
    assert details["likeness"] != [None]
    judging = space.traced("onnx")[runs:]
    assert {noted["pid"] for noted in judging} == {space.process.pid}


def test_finishing_a_face_in_the_worker_opens_a_session_there(space, client, astronaut_path):
    tune = client.predict([handle_file(astronaut_path)], "Finished", "woman", api_name="/create_tune")
    finished = {"inpaint_faces": True, "super_resolution": True, "hires_fix": True}
    ask_by_http(space, text=f"{tune['tag']} woman", steps=4, **finished)
    runs = space.traced("onnx")
    (worker,) = {noted["pid"] for noted in runs} - {space.process.pid}
    assert worker in {noted["pid"] for noted in space.traced("pass")}
    assert all(noted["pid"] == noted["made_in"] for noted in runs)


@pytest.mark.parametrize(
    ("fields", "request_fields"),
    [
        ({"num_images": 1, "steps": 2}, {}),
        ({"num_images": 3, "steps": 8}, {"num_images": 3, "num_inference_steps": 8}),
        (
            {"num_images": 2, "steps": 8, "negative_prompt": "rain"},
            {"num_images": 2, "num_inference_steps": 8, "true_cfg_scale": 4.0, "true_cfg_start": 1 / 8},
        ),
    ],
)
def test_the_seconds_declared_are_those_computed(space, client, fields, request_fields):
    draw(client, "woman", **fields)
    declared = gpu.estimate_duration(short_request(**request_fields))
    assert int(space.scheduler.asked("/schedule")[-1]["durationSeconds"]) == declared
    assert space.scheduler.asked("/release")[-1]["fail"] == "false"


def test_the_token_of_an_api_call_reaches_the_scheduler(space, client):
    draw(client, "woman")
    assert space.scheduler.asked("/schedule")[-1]["token"] == "token-of-the-api"


def test_the_token_of_an_http_call_reaches_the_scheduler(space):
    ask_by_http(space, text="woman")
    assert space.scheduler.asked("/schedule")[-1]["token"] == "token-of-http"


def test_a_cancelled_drawing_stops_in_the_worker_and_its_page_token_came_along(space, client):
    stops = len(space.traced("stop"))
    with PageClient(space.url, {"X-IP-Token": "token-of-a-page"}) as page, page.drawing() as messages:
        assert space.scheduler.asked("/schedule")[-1]["token"] == "token-of-a-page"
        page.send("cancel", "click")
        assert "Cancelled" in last_output(messages)
    lines = trace_file(space.folder).read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("stop") == stops + 1
    last_stop = len(events) - events[::-1].index("stop")
    assert events[last_stop:].count("pass") <= 2  # the one that ran, and the next, which nobody waits for
    assert space.scheduler.asked("/release")[-1]["fail"] == "false"
    assert len(draw(client, "woman")) == 1


def test_a_quota_that_is_used_up_is_told_in_its_own_words(space, client):
    space.scheduler.refusal = {"left": 3, "wait": 600}
    try:
        with pytest.raises(AppError, match=r"exceeded your .*ZeroGPU quota \(\d+s requested vs. 3s left\)"):
            draw(client, "woman")
    finally:
        space.scheduler.refusal = None
    assert len(draw(client, "woman")) == 1


def test_a_worker_that_is_killed_costs_one_drawing(space, client):
    draw(client, "woman")
    workers = {int(allowed["pid"]) for allowed in space.scheduler.asked("/allow")}
    with PageClient(space.url) as page, page.drawing() as messages:
        os.kill(max(workers), signal.SIGKILL)
        assert "stopped this before it was done" in last_output(messages)
    assert len(draw(client, "woman")) == 1
    assert len(space.scheduler.asked("/allow")) == len(workers) + 1


def test_nothing_was_computed_in_the_main_process_on_weights_that_are_not_there(space):
    assert space.traced("pass")
    assert space.traced("trap") == []
    assert space.process.pid not in {noted["pid"] for noted in space.traced("pass")}
    assert not [line for line in space.output if re.search("PicklingError|Traceback", line)]


# FLUX's road: weights on "cuda"


def test_flux_is_drawn_by_a_worker_from_weights_that_the_main_process_never_uses(tmp_path):
    write_base_models(tmp_path / "hub", tmp_path / "scratch")
    expected = load_toy_flux(tmp_path / "hub", "cpu")
    here = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    with serve_scheduler() as scheduler:
        ran = subprocess.run(
            [sys.executable, Path(__file__).with_name("zero_gpu_flux.py"), tmp_path / "hub"],
            env=zero_gpu_environment(tmp_path / "space", scheduler, port=0) | here,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    done = json.loads(ran.stdout.splitlines()[-1])
    assert done["drawing"] == ["cuda"]
    assert done["encoded"] == tokens_hash(expected)
    assert done["drawn"] == [picture_hash(expected.generator.generate(toy_request(expected)))] * 2
    assert done["here"] == "RuntimeError"  # the simulator's trap: on a Space it would be a picture of zeros
    noted = [json.loads(line) for line in trace_file(tmp_path / "space").read_text().splitlines()]
    assert [each["event"] for each in noted if each["event"] != "pass"] == ["worker", "trap"]
    assert noted[0]["moved"] > 100
