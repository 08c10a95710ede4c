"""/prompts and /tunes/{id}/prompts as clients of the hosted product call them."""

import base64
import io
from dataclasses import replace
from queue import Queue
from threading import Event

import pytest
from gradio.context import LocalContext
from PIL import Image
from rest_calls import KEY, ORIGIN, OTHER_KEY, RestCalls
from test_rest_tunes import refused

from faceid.base_models import find_base_model
from faceid.domain import GenerationRequest, PromptFields, StepDone, TuneFields, Upload
from faceid.jobs import JobQueue
from faceid.loading import Loading
from faceid.remembering import fingerprint_request, recall_request, remember_request

KEYS = (
    "id text negative_prompt cfg_scale steps seed callback tune_id num_images w h super_resolution face_correct "
    "face_swap inpaint_faces hires_fix style scheduler created_at updated_at started_training_at trained_at url images "
    "user_error status notes"
)
SECONDS = 30  # only ever waited for by a test that fails
PROMPTS = "/tunes/690204/prompts"


@pytest.fixture
def calls(make_studio):
    return RestCalls(make_studio())


@pytest.fixture
def tune_id(calls, astronaut):
    return calls.studio.create_tune(calls.owner, [astronaut], TuneFields(title="E", name="woman")).tune.id


@pytest.fixture
def gated(make_studio):
    """A studio whose pictures wait for `open`."""
    gate = Event()

    def paint(request):
        gate.wait(SECONDS)
        yield StepDone(0, 1, 1)

    calls = RestCalls(make_studio(paint=paint, jobs=JobQueue(max_waiting=1)))
    calls.open = gate.set
    yield calls
    gate.set()


def ask(calls, path=PROMPTS, **fields) -> dict:
    fields = {"text": "woman", "num_images": 1, "steps": 1} | fields
    answer = calls.client.post(path, json={"prompt": fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def finished(calls, prompt: dict) -> dict:
    """The prompt when its job has ended."""
    if job := calls.studio._jobs_of_prompts.get(prompt["id"]):
        for _ in job.events():
            pass
    return calls.client.get(prompt["url"]).json()


def test_the_pages_form_is_drawn_with_notes_of_what_is_left_out(calls, tune_id):
    form = {
        "prompt[text]": f"<faceid:{tune_id}:1> woman trekking in the alps",
        "prompt[negative_prompt]": "",
        "prompt[face_swap]": "true",
        "prompt[num_images]": "2",
        "prompt[steps]": "2",
        "prompt[seed]": "4294967295",
        "prompt[surprise]": "ignored",
    }
    answer = calls.client.post(PROMPTS, data=form)
    prompt = answer.json()
    assert answer.status_code == 201
    assert " ".join(prompt) == KEYS
    assert (prompt["tune_id"], prompt["seed"], prompt["face_swap"], prompt["images"]) == (1, 2**32 - 1, True, [])
    assert prompt["url"] == f"{ORIGIN}/tunes/1/prompts/{prompt['id']}.json"
    assert "face_swap" in [note["field"] for note in prompt["notes"]]
    done = finished(calls, prompt)
    assert (done["status"], done["user_error"], len(done["images"])) == ("done", None, 2)
    assert done["notes"] == prompt["notes"]
    assert prompt["created_at"] <= done["started_training_at"] <= done["trained_at"] == done["updated_at"]
    picture = calls.connect().get(done["images"][0])
    assert picture.headers["cache-control"] == "private, no-store"
    assert Image.open(io.BytesIO(picture.content)).size == (done["w"], done["h"])
    for path in (f"/prompts/{done['id']}", f"{PROMPTS}/{done['id']}.json", f"/tunes/{tune_id}/prompts/{done['id']}"):
        assert calls.client.get(path).json() == done


def test_a_prompt_is_queued_then_drawn_and_a_full_queue_says_when_to_come_back(gated):
    first, second = ask(gated), ask(gated)
    assert [first["status"], second["status"]] == ["queued", "queued"]
    answer = gated.client.post(PROMPTS, json={"prompt": {"text": "woman"}})
    refused(answer, 429)
    assert int(answer.headers["retry-after"]) >= 1
    assert len(gated.client.get("/prompts").json()) == 2
    while (status := gated.client.get(first["url"]).json()["status"]) == "queued":
        pass
    assert status == "processing"
    assert gated.client.get(first["url"]).json()["started_training_at"]
    gated.open()
    assert finished(gated, second)["status"] == "done"


def test_a_failure_is_told_without_what_it_was(make_studio):
    def paint(request):
        yield StepDone(0, 1, 1)
        raise RuntimeError("secret detail")

    calls = RestCalls(make_studio(paint=paint))
    ended = Queue()
    calls.studio.resume(announce=lambda prompt: ended.put(calls.context.prompt_json(prompt, prompt.origin)))
    prompt = ask(calls, callback="https://x.example/done?prompt_id=1")
    failed = ended.get(timeout=SECONDS)
    assert failed == calls.client.get(prompt["url"]).json()
    assert (failed["status"], failed["images"], failed["trained_at"]) == ("failed", [], None)
    assert failed["user_error"]
    assert "secret" not in failed["user_error"]


def test_a_callback_gets_the_prompt_when_it_is_done(calls):
    ended = Queue()
    calls.studio.resume(announce=lambda prompt: ended.put((calls.context.announce_prompt(prompt), prompt.id)))
    prompt = ask(calls, callback="https://x.example/done?prompt_id=1")
    assert ended.get(timeout=SECONDS)[1] == prompt["id"]
    ((url, told),) = calls.announced
    assert url == prompt["callback"] == "https://x.example/done?prompt_id=1"
    assert told == calls.client.get(prompt["url"]).json()
    assert told["images"][0].startswith(f"{ORIGIN}/pictures/")


def test_while_the_models_are_loaded_it_is_503_with_when_to_come_back(make_studio):
    calls = RestCalls(make_studio(loading=Loading(patience=0.01)))
    answer = calls.client.post(PROMPTS, json={"prompt": {"text": "woman"}})
    refused(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert calls.client.get("/prompts").json() == []


def test_a_faceid_tune_draws_nothing_and_says_what_does(calls, tune_id):
    answer = calls.client.post(f"/tunes/{tune_id}/prompts", json={"prompt": {"text": "woman"}})
    message = refused(answer, 422, "tune_id")
    assert "/tunes/1/prompts" in message
    assert f"<faceid:{tune_id}:1>" in message
    theirs = calls.connect(OTHER_KEY).post(f"/tunes/{tune_id}/prompts", json={"prompt": {"text": "woman"}})
    refused(theirs, 404)


def test_base_models_by_their_ids(calls):
    assert ask(calls, "/tunes/1/prompts")["tune_id"] == 1
    answer = calls.client.post("/tunes/1504944/prompts", json={"prompt": {"text": "woman"}})
    assert "Loaded: fast (1)" in refused(answer, 422, "base_model")
    refused(calls.client.post("/tunes/123456/prompts", json={"prompt": {"text": "woman"}}), 404)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": "<faceid:x:1> woman"}, "text"),
        ({"text": "x" * 4001}, "text"),
        ({"num_images": 9}, "num_images"),
        ({"num_images": "two"}, "num_images"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"steps": 51}, "steps"),
        ({"cfg_scale": "16"}, "cfg_scale"),
        ({"cfg_scale": "nan"}, "cfg_scale"),
        ({"w": 100}, "w"),
        ({"aspect_ratio": "7:5"}, "aspect_ratio"),
        ({"ar": "7:5"}, "aspect_ratio"),
        ({"face_swap": "perhaps"}, "face_swap"),
        ({"face_swap": 2}, "face_swap"),
        ({"color_grading": "Sepia"}, "color_grading"),
        ({"style": "Baroque"}, "style"),
        ({"scheduler": "ddim"}, "scheduler"),
        ({"denoising_strength": 1.1}, "denoising_strength"),
        ({"controlnet": "pose"}, "controlnet"),
        ({"controlnet_conditioning_scale": 0.5}, "controlnet_conditioning_scale"),
        ({"callback": "https://x.example:22/"}, "callback"),
        ({"input_image": "me.jpg"}, "input_image"),
        ({"input_image_base64": "***"}, "input_image_base64"),
        ({"input_image_url": "https://no.example/1.jpg"}, "input_image_url"),
        ({"best_of": 2}, "best_of"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_field(calls, fields, field):
    refused(calls.client.post(PROMPTS, json={"prompt": {"text": "woman"} | fields}), 422, field)
    assert calls.client.get("/prompts").json() == []


def test_unknown_choices_list_the_known(calls):
    for field, known in (("scheduler", "euler"), ("style", "Comic book"), ("color_grading", "Film Portra, Ektar")):
        answer = calls.client.post(PROMPTS, json={"prompt": {"text": "woman", field: "none"}})
        assert known in refused(answer, 422, field)


def test_a_tune_that_is_not_there_is_404(calls):
    refused(calls.client.post(PROMPTS, json={"prompt": {"text": "<faceid:17:1> woman"}}), 404)


def test_given_as_nothing_is_not_given(calls):
    fields = dict.fromkeys(("seed", "steps", "w", "style", "callback", "input_image", "controlnet"), "")
    prompt = calls.client.post(PROMPTS, json={"prompt": {"text": "woman", "num_images": None} | fields}).json()
    assert (prompt["num_images"], prompt["steps"], prompt["style"], prompt["callback"]) == (4, 8, None, None)
    assert "controlnet" not in prompt
    ask(calls, controlnet_txt2img="false")


def test_sizes_and_choices_are_given_back_as_they_were_decided(calls):
    prompt = ask(calls, w=512, h=768, style="comic BOOK", scheduler="Euler", color_grading="ektar", film_grain=1)
    assert (prompt["w"], prompt["h"]) == (512, 768)
    assert prompt["style"] == "Comic book"
    assert ask(calls, ar="portrait")["h"] > ask(calls, ar="landscape")["h"]


def test_with_a_seed_the_same_request_is_the_same_prompt(calls):
    first = ask(calls, seed=5)
    assert ask(calls, seed=5)["id"] == first["id"]
    assert ask(calls, seed="5")["id"] == first["id"]
    assert ask(calls, seed=5, steps=2)["id"] != first["id"]
    assert ask(calls, seed=5, callback="https://x.example/")["id"] != first["id"]
    assert ask(calls)["id"] != ask(calls)["id"]
    assert calls.client.get("/prompts").json()[-1]["id"] is not None
    assert RestCalls(calls.studio).client.get(first["url"]).status_code == 200


def test_prompts_are_listed_by_page_by_base_model_and_by_tune(calls, tune_id):
    ids = [ask(calls)["id"], ask(calls)["id"], ask(calls, text=f"<faceid:{tune_id}> woman")["id"]]
    newest = sorted(ids, reverse=True)

    def listed(path: str) -> list[int]:
        return [prompt["id"] for prompt in calls.client.get(path).json()]

    assert listed("/prompts") == listed("/prompts.json") == listed(PROMPTS) == listed("/tunes/1/prompts") == newest
    assert listed("/prompts?limit=1&offset=1") == newest[1:2]
    assert listed(f"/tunes/1/prompts?before_id={newest[1]}") == newest[2:]
    assert listed(f"/tunes/{tune_id}/prompts") == ids[2:]
    assert listed("/tunes/1504944/prompts") == []
    refused(calls.client.get("/prompts?offset=10001"), 422, "offset")
    refused(calls.client.get("/tunes/123456/prompts"), 404)
    assert calls.connect(OTHER_KEY).get("/prompts").json() == []


def test_a_prompt_is_found_only_where_it_is(calls, tune_id):
    prompt = ask(calls)
    for path in (f"/tunes/1504944/prompts/{prompt['id']}", f"/tunes/{tune_id}/prompts/{prompt['id']}", "/prompts/7"):
        for method in ("GET", "DELETE"):
            refused(calls.client.request(method, path), 404)
            refused(calls.connect(OTHER_KEY).request(method, f"/prompts/{prompt['id']}"), 404)


@pytest.mark.parametrize("place", ["/prompts", PROMPTS])
def test_a_deleted_prompt_is_gone_with_its_pictures(calls, place):
    done = finished(calls, ask(calls))
    gone = calls.client.delete(f"{place}/{done['id']}")
    assert (gone.status_code, gone.json()) == (200, done)
    refused(calls.client.get(f"/prompts/{done['id']}"), 404)
    refused(calls.client.get(done["images"][0]), 404)


def test_a_prompt_that_is_deleted_while_it_waits_is_never_drawn(gated):
    ask(gated)
    waiting = ask(gated)
    job = gated.studio._jobs_of_prompts[waiting["id"]]
    assert gated.client.delete(waiting["url"]).status_code == 200
    assert job.state == "cancelled"
    ask(gated)  # there is room again


def test_the_three_forms_of_a_picture_reach_the_studio(calls, astronaut):
    calls.web["https://x.example/1.jpg"] = astronaut
    encoded = base64.b64encode(astronaut.content).decode()
    asked = []

    class Asked(type(calls.studio)):
        def request_pictures(self, owner, fields, *, origin):
            asked.append(fields.input_image or fields.mask_image)
            raise AssertionError

    calls.studio.__class__ = Asked
    for fields in (
        {"input_image_url": "https://x.example/1.jpg"},
        {"input_image_base64": encoded},
        {"input_image_base64": f"data:image/jpeg;base64,{encoded}"},
        {"mask_image_url": "https://x.example/1.jpg"},
    ):
        calls.client.post(PROMPTS, json={"prompt": {"text": "woman"} | fields})
    calls.client.post(PROMPTS, data={"prompt[text]": "x"}, files={"prompt[input_image]": astronaut.content})
    assert [upload.content == astronaut.content for upload in asked] == [True] * 5
    two = {"input_image_url": "https://x.example/1.jpg", "input_image_base64": encoded}
    refused(calls.client.post(PROMPTS, json={"prompt": {"text": "x"} | two}), 422, "input_image")


def test_the_callers_quota_token_travels_with_the_job(make_studio):
    seen = Queue()

    def paint(request):
        seen.put(LocalContext.request.get().headers["x-ip-token"])  # where `spaces` looks for it on ZeroGPU
        yield StepDone(0, 1, 1)

    calls = RestCalls(make_studio(paint=paint))
    for token in ("one", "two"):
        calls.client.post(PROMPTS, json={"prompt": {"text": "woman"}}, headers={"X-IP-Token": token})
        assert seen.get(timeout=SECONDS) == token


def test_a_key_in_a_cookie_is_no_key(calls):
    prompt = ask(calls)
    refused(calls.connect().get(prompt["url"], headers={"Cookie": f"X-FaceID-Key={KEY}"}), 401)


def test_a_picture_that_was_given_is_remembered_for_a_restart(astronaut):
    fast = find_base_model("fast")
    request = GenerationRequest("fast", "woman", 7, 1, 8, 3.5, 64, 64)
    fields = PromptFields(text="woman", input_image=Upload("a.jpg", b"\x00\xff"), face_swap=True, cfg_scale=2.5)
    recalled, words = recall_request(remember_request(fields, request, fast))
    assert (recalled.input_image, recalled.face_swap, recalled.cfg_scale) == (fields.input_image, True, 2.5)
    assert (recalled.seed, recalled.base_model, words) == (7, "fast", "woman")
    assert fingerprint_request(fields, fast) is None
    assert fingerprint_request(recalled, fast) == fingerprint_request(recalled, fast)


def test_a_zero_that_was_given_is_remembered_for_a_restart():
    zeros = {"seed": 0, "cfg_scale": 0.0, "identity_start": 0.0, "true_cfg_start": 0.0, "denoising_strength": 0.0}
    fields = PromptFields(text="woman", **zeros)
    request = GenerationRequest("fast", "woman", 0, 1, 8, 0.0, 64, 64)
    recalled, _ = recall_request(remember_request(fields, request, find_base_model("fast")))
    assert recalled == replace(fields, base_model="fast")
