import json
import subprocess

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

KEY, OTHER_KEY = "the-first-key-of-these-tests", "the-second-key-of-these-tests"


def connect(url: str, key: str = KEY) -> Client:
    return Client(url, headers={"X-FaceID-Key": key}, verbose=False)


@pytest.fixture(scope="module")
def client(app_url):
    return connect(app_url)


@pytest.fixture(scope="module")
def tune(client, astronaut_path):
    return client.predict([handle_file(astronaut_path)], "Eileen", "woman", api_name="/create_tune")


def test_every_parameter_but_the_first_is_optional_and_described(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {
        "/create_tune", "/list_tunes", "/get_tune", "/delete_tune", "/generate", "/base_models"
    }  # fmt: skip
    for name, endpoint in endpoints.items():
        assert endpoint["description"], name
        for parameter in endpoint["parameters"][1:]:
            assert parameter["parameter_has_default"], f"{name} {parameter['parameter_name']}"
    first = [endpoint["parameters"][0]["parameter_name"] for endpoint in endpoints.values() if endpoint["parameters"]]
    assert first == ["photos", "limit", "tune_id", "tune_id", "text"]


def test_creates_a_tune_and_leaves_no_upload_behind(client, tune, app_folder):
    assert tune["title"] == "Eileen"
    assert tune["name"] == "woman"
    assert tune["tag"] == f"<faceid:{tune['id']}:1>"
    assert tune["expires_at"].endswith("Z")
    assert not list((app_folder / "uploads").rglob("*.jpg"))
    assert client.predict(tune["id"], api_name="/get_tune")["title"] == "Eileen"


def test_the_title_defaults_to_the_photos_name_and_the_same_photos_give_the_same_tune(client, astronaut_path):
    first = client.predict([handle_file(astronaut_path)], api_name="/create_tune")
    again = client.predict([handle_file(astronaut_path)], api_name="/create_tune")
    assert first["title"] == "astronaut"
    assert (again["id"], again["existing"]) == (first["id"], True)
    client.predict(first["id"], api_name="/delete_tune")


def test_lists_only_ones_own(client, tune, app_url):
    assert [t["id"] for t in client.predict(api_name="/list_tunes")] == [tune["id"]]
    assert client.predict(title="EIL", api_name="/list_tunes")
    assert client.predict(before_id=tune["id"], api_name="/list_tunes") == []
    stranger = connect(app_url, OTHER_KEY)
    assert stranger.predict(api_name="/list_tunes") == []
    for name in ("/get_tune", "/delete_tune"):
        with pytest.raises(AppError, match="no tune"):
            stranger.predict(tune["id"], api_name=name)
    with pytest.raises(AppError, match="no tune"):
        stranger.predict(f"<faceid:{tune['id']}>", api_name="/generate")


def test_generates_and_streams(client, tune):
    job = client.submit(f"<faceid:{tune['id']}:1> woman", 2, 7, 2, api_name="/generate")
    yielded = list(job)
    assert [len(gallery) for gallery, _ in yielded] == [1, 2, 2]
    gallery, details = yielded[-1]
    assert [picture["caption"].split(" · ")[0] for picture in gallery] == ["seed 7", "seed 8"]
    assert all("likeness" in picture["caption"] or "copy" in picture["caption"] for picture in gallery)
    assert len(details["likeness"]) == 2
    assert None not in details["likeness"]
    assert Image.open(gallery[0]["image"]).size == (details["picture_w"], details["picture_h"])
    assert (details["status"], details["seeds"], details["steps"]) == ("done", [7, 8], 2)
    assert any("own size" in note for note in details["notes"])


def test_the_best_of_several_is_kept(client, tune):
    text = f"<faceid:{tune['id']}:1> woman"
    yielded = list(client.submit(text, 1, 7, 1, best_of=3, api_name="/generate"))
    gallery, details = yielded[-1]
    assert len(gallery) == len(details["likeness"]) == 1
    assert (details["num_images"], details["best_of"]) == (1, 3)
    assert details["seeds"][0] in (7, 8, 9)
    assert "3 pictures are drawn; the one most like the photos is kept." in details["notes"]
    with pytest.raises(AppError, match="best_of: 2 pictures are fewer than num_images: 3"):
        client.predict(text, 3, best_of=2, api_name="/generate")


def test_the_page_has_a_slider_for_it(client):
    components = [component["props"] for component in client.config["components"]]
    (slider,) = (props for props in components if props.get("elem_id") == "best-of")
    assert (slider["minimum"], slider["maximum"], slider["value"], slider["visible"]) == (1, 16, 1, True)


def test_errors_arrive_as_messages(client, app_url, astronaut_path):
    with pytest.raises(AppError, match=r"steps: 51 is outside 1 to 50\."):
        client.predict("woman", steps=51, api_name="/generate")
    with pytest.raises(AppError, match=r"'x' is not a tune's id.*\(column 9\)"):
        client.predict("<faceid:x:1> woman", api_name="/generate")
    with pytest.raises(AppError, match="human faces only"):
        client.predict([handle_file(astronaut_path)], "Tom", "cat", api_name="/create_tune")
    with pytest.raises(AppError, match="agreed"):
        client.predict([handle_file(astronaut_path)], "Tom", consent=False, api_name="/create_tune")
    with pytest.raises(AppError, match=r"flux1-dev is not loaded here\. Loaded: fast"):
        client.predict("woman", base_model="1504944", api_name="/generate")
    with pytest.raises(AppError, match="at least 20 characters"):
        Client(app_url, verbose=False).predict(owner_key="short", api_name="/list_tunes")


def test_a_photo_that_is_none_is_named(client, tmp_path):
    blank = tmp_path / "blank.png"
    Image.new("RGB", (400, 400), "white").save(blank)
    with pytest.raises(AppError, match=r"blank\.png: No face was found"):
        client.predict([handle_file(blank)], api_name="/create_tune")


def test_a_file_that_was_not_uploaded_is_not_read(client, app_url, astronaut_path):
    body = {"photos": [{"path": str(astronaut_path)}], "owner_key": KEY}
    answer = _call(app_url, "create_tune", body)
    assert "is not an uploaded file" in answer


def test_knows_the_base_models(client):
    models = client.predict(api_name="/base_models")
    assert (models[0]["name"], models[0]["loaded"], models[0]["default"]) == ("fast", True, True)
    assert 1504944 in [m["id"] for m in models if not m["loaded"]]


def test_works_by_curl_with_named_parameters(app_url, tune):
    body = {"text": f"<faceid:{tune['id']}> woman", "num_images": 1, "steps": 1, "owner_key": KEY}
    answer = _call(app_url, "generate", body)
    assert "event: complete" in answer
    assert '"status": "done"' in answer


def test_on_loopback_one_user_needs_no_key(app_url):
    client = Client(app_url, verbose=False)
    listed = [tune["id"] for tune in client.predict(api_name="/list_tunes")]
    assert listed == [tune["id"] for tune in httpx.get(f"{app_url}/tunes").json()]
    foreign = ["-H", "Origin: https://evil.example"]
    assert "its own machine only" in _call(app_url, "list_tunes", {}, *foreign)


def _call(url: str, name: str, body: dict, *curl_arguments: str) -> str:
    """What an endpoint answers curl: the server-sent events as text."""
    post = ["curl", "-s", f"{url}/gradio_api/call/v2/{name}", "-H", "Content-Type: application/json", *curl_arguments]
    event = json.loads(subprocess.check_output([*post, "-d", json.dumps(body)]))["event_id"]
    return subprocess.check_output(["curl", "-sN", f"{url}/gradio_api/call/{name}/{event}"], text=True)


def test_deletes(client, tune, app_folder):
    before = set((app_folder / "pictures").iterdir())
    client.predict(f"{tune['tag']} woman", 1, 7, 1, api_name="/generate")
    drawn = set((app_folder / "pictures").iterdir()) - before
    assert drawn
    client.predict(tune["id"], api_name="/delete_tune")
    assert client.predict(api_name="/list_tunes") == []
    with pytest.raises(AppError, match="no tune"):
        client.predict(tune["id"], api_name="/get_tune")
    assert not drawn & set((app_folder / "pictures").iterdir())
