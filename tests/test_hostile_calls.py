"""What nobody sends in good faith, through the running app: refused in words, it leaves no file and no log line."""

import logging
import os
import re

import httpx
import pytest
from hostile_files import BIDI, NUL, REFUSED, WORDS
from own_memory import MEGABYTE, peak, reset_peak, resident
from PIL import Image
from visitors import Refused, Visitor, drawn, files


@pytest.fixture(scope="module")
def eve(public_app):
    return Visitor(public_app)


@pytest.fixture(scope="module")
def tune(eve, astronaut_path):
    return eve.create(astronaut_path)


def test_ids_of_every_wrong_shape_are_refused_by_every_endpoint(eve, tune):
    for tune_id in (-1, 1.5, "x", 2**53, [1], None):
        for name in ("get_tune", "delete_tune"):
            with pytest.raises(Refused, match=r"tune_id: .* is not an id\. An id is a whole number"):
                eve.call(name, {"tune_id": tune_id})
        with pytest.raises(Refused, match=r"column|strength|There is no tune|not a tune's id|tag") as refusal:
            eve.call("generate", {"text": f"<faceid:{tune_id}> woman", "num_images": 1, "steps": 1})
        assert refusal.value.status is None
    for wanted in (
        {"before_id": [1]},
        {"before_id": 2**60},
        {"limit": "x"},
        {"limit": None},
        {"title": 5},
        {"title": NUL},
    ):
        with pytest.raises(Refused, match=r"^(before_id|limit|title): "):
            eve.call("list_tunes", wanted)
    assert eve.call("get_tune", {"tune_id": tune["id"]})["id"] == tune["id"]


WRONG_PROMPTS = [
    ({"text": "x" * 100_000}, "text: has 100000 characters, at most 4000"),
    ({"text": NUL}, r"text: the character U\+0000 at column 2"),
    ({"text": BIDI}, r"text: the character U\+202E at column 4"),
    ({"text": "woman", "negative_prompt": "x" * 100_000}, "negative_prompt: has 100000"),
    ({"text": ["woman"]}, "text: .* is not a text"),
    ({"text": None}, "text: None is not a text"),
    ({"text": "<faceid:" * 499}, "column 1"),
    ({"text": "woman", "steps": "x"}, "steps: 'x' is not a number"),
    ({"text": "woman", "steps": 10**400}, "steps: .* is not a number"),
    ({"text": "woman", "seed": -1}, "seed: -1 is outside"),
    ({"text": "woman", "w": 1.5}, "w: "),
    ({"text": "woman", "aspect_ratio": {"a": 1}}, "aspect_ratio: .* is not a text"),
    ({"text": "woman", "preset": 5}, "preset: 5 is not a text"),
    ({"text": "woman", "base_model": [1]}, "base_model: .* is not a name or an id"),
    ({"text": "woman", "faster": "yes"}, "faster: 'yes' is not true or false"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_PROMPTS)
def test_prompts_that_are_none(eve, body, message):
    with pytest.raises(Refused, match=message):
        eve.call("generate", body)


@pytest.mark.parametrize(
    ("text", "message"), [("x" * 100_000, "100000 characters"), (NUL, r"U\+0000"), (BIDI, r"U\+202E")]
)
def test_the_page_refuses_them_too(eve, text, message):
    line, *_ = drawn(eve, text)
    assert re.search(message, line["line"])


@pytest.mark.parametrize("title", [NUL, BIDI, "x" * 100_000, ["x"], 5, {}])
def test_titles_that_are_none_over_the_api(eve, astronaut_path, title):
    with pytest.raises(Refused, match=r"^title: "):
        eve.create(astronaut_path, title)


@pytest.mark.parametrize(
    "kind", ["a PNG of 64 megapixels in 0.2 MB", "a GIF that is a script", "an SVG", "a TIFF of 64 megapixels"]
)
def test_photos_that_are_none_over_the_api_and_on_the_page(eve, tmp_path, public_app, kind):
    photo = tmp_path / "evil<b>.jpg"
    photo.write_bytes(REFUSED[kind]())
    before = resident()
    with pytest.raises(Refused, match=r"evil<b>\.jpg: "):
        eve.create(photo)
    (path,) = eve.upload(photo)
    cards, line = eve.happen("look", [files(path)])
    assert line["line"] == "0 of 1 photos can be used."
    assert WORDS.search(cards[0]["problem"])
    eve.happen("look", [[]])
    assert resident() - before < 60
    assert not list(public_app.uploads.rglob("evil*"))


def test_a_photo_named_a_thousand_times_is_not_read_a_thousand_times(eve, tmp_path):
    photo = tmp_path / "noise.jpg"
    photo.write_bytes(os.urandom(8 * MEGABYTE))
    (path,) = eve.upload(photo)
    reset_peak()
    before = resident()
    with pytest.raises(Refused, match="1000 photos were given; a tune takes 1 to 20"):
        eve.call("create_tune", {"photos": files(*[path] * 1000), "title": "x"})
    assert peak() - before < 100
    for photos in ([], None, 5, "x", [None], [5], [[path]], [{"path": 5}], [{"path": None, "orig_name": {}}], [{}]):
        with pytest.raises(Refused, match=r"photos were given|is not an uploaded file"):
            eve.call("create_tune", {"photos": photos, "title": "x"})


def part(name: str, content: bytes = b"x", filename: str | None = "x.jpg") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


UPLOADS = [
    (part("files") * 10_000 + b"--b--\r\n", "multipart/form-data; boundary=b", 413),
    (part("files", filename=None) * 10_000 + b"--b--\r\n", "multipart/form-data; boundary=b", 413),
    (part("files") * 21 + b"--b--\r\n", "multipart/form-data; boundary=b", 422),
    (part("other") + b"--b--\r\n", "multipart/form-data; boundary=b", 422),
    (part("files", bytes(20 * MEGABYTE + 1)) + b"--b--\r\n", "multipart/form-data; boundary=b", 422),
    (part("files"), "multipart/form-data; boundary=b", 400),
    (part("files") + b"--b--\r\n", "multipart/form-data", 400),
    (part("files") + b"--b--\r\n", "text/plain", 422),
    (b"--b\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
    (b"", "multipart/form-data; boundary=b", 400),
]


@pytest.mark.parametrize(("body", "kind", "status"), UPLOADS, ids=[f"{u[1][:15]} {len(u[0])} {u[2]}" for u in UPLOADS])
def test_uploads_that_are_none_leave_nothing(eve, public_app, body, kind, status):
    before = set(public_app.uploads.rglob("*"))
    answer = eve.request("POST", "/gradio_api/upload?upload_id=x", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert WORDS.search(answer.json()["message"])
    assert set(public_app.uploads.rglob("*")) == before


def test_an_upload_that_breaks_off_leaves_nothing(eve, public_app):
    before = set(public_app.uploads.rglob("*"))

    def some():
        yield part("files", os.urandom(3 * MEGABYTE))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        eve.request(
            "POST", "/gradio_api/upload", content=some(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    eve.call("list_tunes", {})
    assert set(public_app.uploads.rglob("*")) == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/gradio_api/call/v2/generate", b'{"text": "' + b"x" * 3 * MEGABYTE + b'"}', 413),
        ("/gradio_api/queue/join", b'{"data": ["' + b"x" * 3 * MEGABYTE + b'"]}', 413),
        ("/gradio_api/queue/join", b"[" * 100_000, 400),
        ("/gradio_api/queue/join", b"\xff\xfe", 422),
        ("/gradio_api/queue/join", b'{"fn_index": 1}', 422),
        ("/gradio_api/call/v2/generate", b"[]", 422),
        ("/gradio_api/call/v2/generate", b"{}", 422),
        ("/gradio_api/call/v2/generate", b'{"nothing": 1}', 422),
        ("/gradio_api/call/v2/nothing", b"{}", 404),
        ("/gradio_api/run/nothing", b'{"data": []}', 404),
        ("/gradio_api/call/generate", b'{"data": "x"}', 422),
    ],
)
def test_bodies_that_are_none(eve, path, body, status):
    before = resident()
    answer = eve.request("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "detail" in answer.json()) == (status, True)
    assert resident() - before < 30


def test_a_body_without_its_length_is_bounded(eve):
    def endless():
        for _ in range(64):
            yield b"x" * MEGABYTE

    with httpx.Client(timeout=60) as client:
        try:
            status = client.post(f"{eve.app.url}/gradio_api/queue/join", content=endless()).status_code
        except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
            status = 413  # the connection was closed while it was still sending
    assert status in (400, 413)


def test_nothing_of_it_is_logged(eve, tune, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    secret = {
        "prompt": "Vermilion-Zeppelin",
        "title": "Quartermaine-Title",
        "key": "the-key-of-this-visitor-0123456789",
    }
    blank = tmp_path / "Secretface.png"
    Image.new("RGB", (300, 300), "white").save(blank)
    someone = Visitor(eve.app, key=secret["key"], browser_key=secret["key"] * 2)
    for body in (
        {"text": f"{secret['prompt']} <faceid:{tune['id']}>"},
        {"text": f"{secret['prompt']} <faceid:x>"},
        {"text": secret["prompt"], "steps": secret["prompt"]},
        {"text": [secret["prompt"]]},
        {"text": secret["prompt"], "nothing": secret["prompt"]},
        {secret["prompt"]: 1},
    ):
        with pytest.raises(Refused):
            someone.call("generate", body)
    for data in ([secret["prompt"]], [secret["key"] * 2, [secret["prompt"]], *[secret["prompt"]] * 30]):
        with pytest.raises(Refused):
            someone.happen("draw", data)
    with pytest.raises(Refused):
        someone.create(blank, secret["title"])
    someone.call("generate", {"text": f"{secret['prompt']}, woman", "num_images": 1, "steps": 1})
    someone.request("GET", f"/gradio_api/file=/{secret['title']}")
    out, err = capfd.readouterr()
    app_says = [record.getMessage() + str(record.exc_text) for record in caplog.records if "http" not in record.name]
    log = out + err + "".join(app_says)  # but what the client of this test says
    for name, word in (*secret.items(), ("photo", "Secretface")):
        assert word not in log, name
    assert "Traceback" not in out + err
