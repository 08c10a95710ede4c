"""/tunes as clients of the hosted product call it."""

import io
import json

import pytest
from PIL import Image
from rest_calls import KEY, ORIGIN, OTHER_KEY, RestCalls

from faceid.domain import PromptFields, TuneFields, Upload

KEYS = (  # of the product page's sample response
    "id title name is_api token base_tune_id args steps face_crop training_face_correct ckpt_url ckpt_urls eta "
    "trained_at started_training_at expires_at created_at branch model_type updated_at url orig_images"
)
FORM = {"tune[title]": "John Doe", "tune[name]": "woman"}


@pytest.fixture
def calls(make_studio):
    return RestCalls(make_studio())


@pytest.fixture
def photo(astronaut):
    return [("tune[images][]", (astronaut.name, astronaut.content))]


@pytest.fixture
def made(calls, photo):
    return calls.client.post("/tunes", data=FORM, files=photo).json()


def turned(upload: Upload) -> bytes:
    """Another photo of the same face."""
    file = io.BytesIO()
    Image.open(io.BytesIO(upload.content)).resize((500, 500)).save(file, "JPEG", quality=92)
    return file.getvalue()


def refused(response, status: int, *fields: str) -> str:
    """The message of a refusal that names exactly these fields."""
    body = response.json()
    assert (response.status_code, sorted(body["errors"])) == (status, sorted(fields)), body
    assert body["message"]
    assert set(body) == {"message", "errors"}
    return body["message"]


def test_a_form_makes_a_tune_with_the_pages_keys_that_is_ready_at_once(calls, photo, astronaut):
    form = FORM | {
        "tune[model_type]": "faceid",
        "tune[base_tune_id]": "690204",
        "tune[token]": "",
        "tune[steps]": "",
        "tune[face_crop]": "True",
        "tune[characteristics]": '{"eyes": "blue"}',
        "tune[surprise]": "ignored",
    }
    answer = calls.client.post("/tunes", data=form, files=photo)
    tune = answer.json()
    assert answer.status_code == 201
    assert " ".join(tune) == KEYS
    assert (tune["title"], tune["name"], tune["token"], tune["branch"]) == ("John Doe", "woman", "ohwx", "fast")
    assert (tune["base_tune_id"], tune["steps"], tune["face_crop"], tune["is_api"]) == (690204, None, True, True)
    assert tune["trained_at"] == tune["created_at"] == tune["eta"] == tune["started_training_at"]
    assert tune["url"] == f"{ORIGIN}/tunes/{tune['id']}.json"
    (address,) = tune["orig_images"]
    shown = calls.connect().get(address)
    assert (shown.content, shown.headers["content-type"]) == (astronaut.content, "image/jpeg")
    assert shown.headers["cache-control"] == "private, no-store"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert calls.studio.get_tune(calls.owner, tune["id"]).characteristics == {"eyes": "blue"}
    assert calls.client.get(f"/tunes/{tune['id']}").json() == calls.client.get(tune["url"]).json() == tune


def test_json_with_urls_makes_one_too(calls, astronaut):
    calls.web["https://x.example/1.jpg"] = astronaut
    tune = {"title": "John", "name": "man", "image_urls": ["https://x.example/1.jpg", "https://x.example/1.jpg"]}
    answer = calls.client.post("/tunes", json={"tune": tune})
    assert answer.status_code == 201
    assert len(answer.json()["orig_images"]) == 1
    assert "cannot be reached" in refused(
        calls.client.post("/tunes", json={"tune": tune | {"image_urls": ["https://no.example/"]}}), 422, "image_urls"
    )


def test_one_photo_may_come_without_brackets(calls, astronaut):
    assert calls.client.post("/tunes", data=FORM, files={"tune[images]": astronaut.content}).status_code == 201


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tune[title]": ""}, "title"),
        ({"tune[name]": "cat"}, "name"),
        ({"tune[model_type]": "lora"}, "model_type"),
        ({"tune[branch]": "sdxl1"}, "branch"),
        ({"tune[base_tune_id]": "none"}, "base_tune_id"),
        ({"tune[face_crop]": "perhaps"}, "face_crop"),
        ({"tune[characteristics]": "{eyes}"}, "characteristics"),
        ({"tune[characteristics]": '{"eyes": "<faceid:1>"}'}, "characteristics"),
        ({"tune[callback]": "ftp://x.example"}, "callback"),
        ({"tune[callback]": "https://user:word@x.example/"}, "callback"),
        ({"tune[image_urls][]": ["https://x.example"] * 20}, "images"),
    ],
)
def test_what_is_no_tune_is_refused_by_field_and_nothing_is_made(calls, photo, changes, field):
    refused(calls.client.post("/tunes", data=FORM | changes, files=photo), 422, field)
    assert calls.client.get("/tunes").json() == []


def test_several_wrong_fields_are_all_named(calls):
    wrong = {"title": ["x"], "base_tune_id": "a", "prompts_attributes": [{"text": "x"}, {"seed": "y"}]}
    message = refused(
        calls.client.post("/tunes", json={"tune": wrong}), 422, "title", "base_tune_id", "prompts_attributes.1.seed"
    )
    assert "'y' is not a number." in message


def test_photos_that_cannot_be_used_are_named(calls):
    files = [("tune[images][]", ("blank.jpg", b"\xff\xd8\xff no photo")), ("tune[images][]", ("b.jpg", b"text"))]
    answer = calls.client.post("/tunes", data=FORM, files=files)
    refused(answer, 422, "images")
    assert [text.split(":")[0] for text in answer.json()["errors"]["images"]] == ["blank.jpg", "b.jpg"]
    refused(calls.client.post("/tunes", data=FORM), 422, "images")


def test_a_body_without_the_tune_says_where_its_fields_go(calls):
    for body in ({}, {"title": "John"}, {"tune": "John"}, {"tune": []}):
        assert "tune[…]" in refused(calls.client.post("/tunes", json=body), 422, "tune")


def test_the_same_title_and_photos_give_the_same_tune(calls, photo, made, astronaut):
    again = calls.client.post("/tunes", data=FORM, files=photo)
    assert (again.status_code, again.json()["id"]) == (201, made["id"])
    other = calls.client.post("/tunes", data=FORM, files={"tune[images][]": turned(astronaut)})
    assert other.json()["id"] != made["id"]
    assert calls.connect(OTHER_KEY).post("/tunes", data=FORM, files=photo).json()["id"] != made["id"]


def test_tunes_are_listed_newest_first_by_page_and_filter(calls, make_studio, photo):
    ids = []
    for number in range(3):
        form = FORM | {"tune[title]": f"Tune {number}", "tune[name]": ["man", "woman", "girl"][number]}
        ids.append(calls.client.post("/tunes.json", data=form, files=photo).json()["id"])
    newest = sorted(ids, reverse=True)

    def listed(query: str = "") -> list[int]:
        return [tune["id"] for tune in calls.client.get(f"/tunes{query}").json()]

    assert listed() == listed(".json") == newest
    assert listed("?limit=1&offset=1") == newest[1:2]
    assert listed(f"?before_id={newest[0]}") == newest[1:]
    assert listed("?title=tUNE 1") == [ids[1]]
    assert sorted(listed("?name[]=man&name[]=girl")) == sorted([ids[0], ids[2]])
    assert listed("?model_type=lora") == listed("?branch=flux1") == []
    assert calls.connect(OTHER_KEY).get("/tunes").json() == []
    refused(calls.client.get("/tunes?offset=10001"), 422, "offset")
    refused(calls.client.get("/tunes?limit=121&offset=-1&before_id=x"), 422, "limit", "offset", "before_id")


def test_title_name_and_characteristics_can_be_changed(calls, made):
    changed = calls.client.patch(made["url"], json={"tune": {"title": "Jane", "characteristics": {"age": 30}}})
    assert changed.json() == made | {"title": "Jane", "updated_at": changed.json()["updated_at"]}
    assert calls.studio.get_tune(calls.owner, made["id"]).characteristics == {"age": "30"}
    form = {"tune[name]": "girl", "tune[title]": ""}
    assert calls.client.patch(f"/tunes/{made['id']}", data=form).json()["name"] == "girl"
    refused(calls.client.patch(f"/tunes/{made['id']}", json={"tune": {"name": "dog"}}), 422, "name")


def test_a_deleted_tune_is_gone_with_its_photos(calls, made):
    gone = calls.client.delete(made["url"])
    assert (gone.status_code, gone.json()) == (200, made | {"orig_images": []})
    for method in ("GET", "PATCH", "DELETE"):
        refused(calls.client.request(method, f"/tunes/{made['id']}", json={"tune": {"title": "x"}}), 404)
    refused(calls.client.get(made["orig_images"][0]), 404)


def test_somebody_elses_tune_does_not_exist(calls, made):
    stranger = calls.connect(OTHER_KEY)
    for method in ("GET", "PATCH", "DELETE"):
        theirs = stranger.request(method, f"/tunes/{made['id']}", json={"tune": {"title": "x"}})
        unknown = stranger.request(method, f"/tunes/{made['id'] + 1}", json={"tune": {"title": "x"}})
        assert refused(theirs, 404).replace(str(made["id"]), "") == refused(unknown, 404).replace(
            str(made["id"] + 1), ""
        )
    address = made["orig_images"][0]
    refused(calls.client.get(address[:-1] + ("0" if address[-1] != "0" else "1")), 404)
    refused(calls.client.get(address.replace("/0/", "/1/")), 404)


@pytest.mark.parametrize("path", ["/tunes/abc", "/tunes/-1", "/tunes/0", "/tunes/1e3", "/tunes/99999999999999999999"])
def test_an_id_that_is_none_is_unknown(calls, path):
    refused(calls.client.get(path), 404)


def test_a_callback_gets_the_new_tune_once(calls, photo):
    form = FORM | {"tune[callback]": "https://x.example/done?user_id=1&tune_id=1"}
    tune = calls.client.post("/tunes", data=form, files=photo).json()
    calls.client.post("/tunes", data=form, files=photo)
    assert calls.announced == [("https://x.example/done?user_id=1&tune_id=1", tune)]


def test_photos_that_are_not_kept_are_not_offered(make_studio, photo):
    calls = RestCalls(make_studio(keep_photos=False))
    assert calls.client.post("/tunes", data=FORM, files=photo).json()["orig_images"] == []


# Prompts at creation


@pytest.mark.parametrize("index", ["[][", "[0]["])
def test_prompts_at_creation_are_drawn_and_name_the_tune(calls, photo, index):
    form = FORM | {
        f"tune[prompts_attributes]{index}text]": "woman, beach",
        f"tune[prompts_attributes]{index}num_images]": "1",
        f"tune[prompts_attributes]{index}steps]": "1",
    }
    tune = calls.client.post("/tunes", data=form, files=photo).json()
    (prompt,) = calls.client.get(f"/tunes/{tune['id']}/prompts").json()
    assert prompt["text"] == f"<faceid:{tune['id']}:1> woman, beach"
    assert (prompt["num_images"], prompt["steps"]) == (1, 1)
    calls.client.post("/tunes", data=form, files=photo)  # the tune is there already
    assert len(calls.client.get("/prompts").json()) == 1


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        ({"text": "woman", "steps": 51}, "prompts_attributes.1.steps"),
        ({"text": "<faceid:1:1> woman"}, ""),
        ({"text": "woman", "callback": "javascript:"}, "callback"),
    ],
)
def test_where_one_prompt_is_refused_there_is_no_tune(calls, astronaut, prompt, field):
    calls.web["https://x.example/1.jpg"] = astronaut
    tune = {"title": "x", "name": "woman", "image_urls": ["https://x.example/1.jpg"]}
    answer = calls.client.post("/tunes", json={"tune": tune | {"prompts_attributes": [{"text": "woman"}, prompt]}})
    refused(answer, 422 if field else 404, *([field] if field else []))
    assert calls.client.get("/tunes").json() == calls.client.get("/prompts").json() == []


# Owners


def test_a_call_without_an_admitted_key_is_401(make_studio):
    calls = RestCalls(make_studio(), admitted=(KEY, OTHER_KEY))
    assert calls.client.get("/tunes").status_code == 200
    for headers in (
        {},
        {"Authorization": "Bearer YOUR_API_KEY"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Basic {KEY}"},
        {"Cookie": f"access-token={KEY}; authorization=Bearer {KEY}"},
    ):
        for method, path in (("GET", "/tunes"), ("POST", "/tunes"), ("GET", "/prompts/1"), ("DELETE", "/tunes/1")):
            answer = calls.connect().request(method, path, headers=headers)
            assert "key" in refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert calls.connect().get("/tunes", headers={"X-FaceID-Key": KEY}).status_code == 200


def test_on_loopback_one_user_needs_no_key_and_no_other_site_acts_for_them(make_studio, photo):
    calls = RestCalls(make_studio(), local=True)
    here = {"Host": "127.0.0.1:7860"}
    assert calls.connect().post("/tunes", data=FORM, files=photo, headers=here).status_code == 201
    for foreign in (
        {"Host": "evil.example"},
        here | {"Origin": "https://evil.example"},
        here | {"Sec-Fetch-Site": "cross-site"},
    ):
        refused(calls.connect().get("/tunes", headers=foreign), 401)


def test_the_page_and_http_see_the_same_objects(calls, studio, astronaut, made):
    studio = calls.studio
    assert [tune.id for tune in studio.list_tunes(calls.owner)] == [made["id"]]
    page = studio.create_tune(calls.owner, [astronaut], TuneFields(title="by page", name="woman")).tune
    assert calls.client.get(f"/tunes/{page.id}").json()["title"] == "by page"
    generation = studio.generate(calls.owner, PromptFields(text="woman", num_images=1, steps=1))
    list(generation.events())
    assert calls.client.get(f"/prompts/{generation.prompt.id}").json()["status"] == "done"


def test_addresses_are_those_the_client_called(calls, made):
    forwarded = {"X-Forwarded-Host": "space.hf.space", "X-Forwarded-Proto": "https"}
    tune = calls.client.get(f"/tunes/{made['id']}", headers=forwarded).json()
    assert tune["url"].startswith("https://space.hf.space/tunes/")
    refused(calls.client.get("/tunes", headers={"Host": "a b"}), 400)


def test_the_body_of_a_refusal_is_json_with_text_in_utf_8(calls):
    answer = calls.client.post("/tunes", json={"tune": {"title": "", "name": "Ångström<"}})
    assert json.loads(answer.content.decode("utf-8"))["errors"]
