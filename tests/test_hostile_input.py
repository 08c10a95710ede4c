"""What nobody sends in good faith, to the functions and through the running app: each is refused in words, takes no
memory that stays, leaves no file, and is not in the log.
"""

import io
import json
import logging
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pillow_heif
import pytest
from own_memory import MEGABYTE, peak, reset_peak, resident
from pictures import astronaut, encode
from PIL import Image
from visitors import Refused, Visitor, drawn, files

from faceid.domain import PromptFields, TuneFields, Upload
from faceid.errors import InvalidPhotos, InvalidRequest
from faceid.faces.photos import read_photo
from faceid.image_files import LONGEST_SIDE, MOST_SCANS
from faceid.validation import check_characteristics, check_id, check_kinds, check_number, check_text, check_tune_fields
from faceid.web.rest_files import media_type

WORDS = re.compile(r"\w{2,} \w{2,} \w{2,}")  # a sentence
HERE = Path(__file__).parent
BIDI, NUL = "abc\u202egpj.exe", "a\x00b"


@pytest.fixture(scope="module")
def eve(public_app):
    return Visitor(public_app)


@pytest.fixture(scope="module")
def tune(eve, astronaut_path):
    return eve.create(astronaut_path)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@cache
def png_bomb(width: int, height: int) -> bytes:
    """A sound PNG, all black, of a thousandth of its pixels' bytes."""
    rows = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    pixels = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def webp_bomb() -> bytes:
    """A lossless WebP whose header claims 16384 x 16384 px."""
    picture = bytearray(encode(Image.new("RGB", (64, 64)), "WEBP", lossless=True).content)
    at = picture.index(b"VP8L") + 9
    picture[at : at + 4] = (16383 | 16383 << 14).to_bytes(4, "little")
    return bytes(picture)


def resized_box(form: str) -> bytes:
    """An AVIF or HEIC whose `ispe` boxes claim 40000 x 40000 px."""
    file = io.BytesIO()
    if form == "AVIF":
        Image.new("RGB", (64, 64)).save(file, "AVIF")
    else:
        pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(file)
    return re.sub(
        rb"(ispe.{4}).{8}",
        rb"\1" + struct.pack(">II", 40_000, 40_000).replace(b"\\", b"\\\\"),
        file.getvalue(),
        flags=re.DOTALL,
    )


def tiff_bomb() -> bytes:
    file = io.BytesIO()
    Image.new("1", (8000, 8000)).save(file, "TIFF", compression="group4")
    return file.getvalue()


def many_scans() -> bytes:
    """A progressive JPEG that refines its last scan a thousand times."""
    whole = encode(astronaut(), "JPEG", progressive=True).content
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * 1000 + b"\xff\xd9"


def zipped(content: bytes) -> bytes:
    """The same with a ZIP archive behind it, which opens as one too."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("evil.html", "<script>alert(1)</script>")
    return file.getvalue()


SCRIPT = b"/*<script>alert(1)</script>*/=1;alert(document.domain)"


def animated(image: Image.Image, form: str) -> bytes:
    return encode(image, form, save_all=True, append_images=[Image.new("RGB", image.size, "red")]).content


def text_bomb() -> bytes:
    """A PNG with a text of 100 MB."""
    small = png_bomb(8, 8)
    return small[:33] + chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10**8))) + small[33:]


REFUSED = {
    "a PNG of 64 megapixels in 0.2 MB": lambda: png_bomb(8000, 8000),
    "a PNG whose text is a bomb": text_bomb,
    "a WebP of 268 megapixels": webp_bomb,
    "an AVIF of 1600 megapixels": lambda: resized_box("AVIF"),
    "a HEIC of 1600 megapixels": lambda: resized_box("HEIC"),
    "a TIFF of 64 megapixels": tiff_bomb,
    "a JPEG of 1000 scans": many_scans,
    "a GIF that is a script": lambda: b"GIF89a" + SCRIPT,
    "an animated GIF": lambda: animated(Image.new("RGB", (64, 64)), "GIF"),
    "an SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>',
    "an SVG with entities": lambda: b'<!DOCTYPE s [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
    "a page": lambda: b"<!doctype html><script>alert(1)</script>",
    "a PDF": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "an archive": lambda: zipped(b""),
    "a program": lambda: b"\x7fELF\x02\x01\x01" + bytes(500),
    "a PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run",
    "zeros": lambda: bytes(5000),
}
TAKEN = {
    "a JPEG with a ZIP behind it": lambda: zipped(encode(astronaut(), "JPEG").content),
    "a JPEG with a page in its comment": lambda: encode(astronaut(), "JPEG", comment=SCRIPT).content,
    "an animated WebP": lambda: animated(astronaut(), "WEBP"),
    "an animated PNG": lambda: animated(astronaut(), "PNG"),
    "16 bits": lambda: encode(Image.fromarray(np.asarray(astronaut().convert("L")).astype(np.uint16) * 257)).content,
    "CMYK": lambda: encode(astronaut().convert("CMYK"), "JPEG").content,
    "a palette": lambda: encode(astronaut().quantize(256)).content,
    "alpha": lambda: encode(astronaut().convert("RGBA")).content,
    "grey with alpha": lambda: encode(astronaut().convert("LA")).content,
}


# Photos


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_photo_is_refused_without_being_unpacked(kind):
    upload = Upload("photo.jpg", REFUSED[kind]())
    reset_peak()
    before = resident()
    with pytest.raises(InvalidPhotos, match=r"photo\.jpg: ") as refusal:
        read_photo(upload)
    assert WORDS.search(str(refusal.value))
    assert peak() - before < 40


@pytest.mark.parametrize("kind", TAKEN)
def test_what_is_a_photo_and_more_is_read_as_a_photo(kind):
    content = TAKEN[kind]()
    rgb = read_photo(Upload("photo.jpg", content))
    assert rgb.shape == (512, 512, 3)
    seen, wanted = (pixels.astype(float).mean(axis=2) for pixels in (rgb, np.asarray(astronaut())))
    assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.9
    assert media_type(content).startswith("image/")


def test_the_largest_that_is_taken_fits_the_memory(tmp_path):
    """Read in a process of its own: in this one, apps take memory and give it back meanwhile."""
    bomb = png_bomb(7071, 7071)
    assert len(bomb) < MEGABYTE
    (tmp_path / "large.png").write_bytes(bomb)
    command = [sys.executable, HERE / "own_memory.py", tmp_path / "large.png"]
    environ = os.environ | {"PYTHONPATH": str(HERE.parent)}
    measured = json.loads(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)
    assert measured["shape"] == [LONGEST_SIDE, LONGEST_SIDE, 3]
    assert measured["most"] < 450  # its own 150 MB, and what is made of it
    assert measured["left"] < 60


def test_an_ordinary_progressive_jpeg_is_read():
    content = encode(astronaut(), "JPEG", progressive=True).content
    assert 3 < content.count(b"\xff\xda") < MOST_SCANS
    behind = np.random.default_rng(0).integers(0, 256, 2 * MEGABYTE, np.uint8).tobytes()  # a film, as phones add it
    assert behind.count(b"\xff\xda") > 10
    assert read_photo(Upload("moving.jpg", content + behind * 4)).shape == (512, 512, 3)


# Words and numbers


@pytest.mark.parametrize("text", [NUL, BIDI, "a\ud800", "\u2066x", "a\nb", "x" * 201, "", " \t", None, 5, ["x"], {}])
def test_titles_that_are_none(text):
    with pytest.raises(InvalidRequest, match=r"^title: "):
        check_text("title", text, most=200)


@pytest.mark.parametrize("number", ["x", True, [1], {}, float("nan"), float("inf"), 10**400, -(10**400), 1e300, "1"])
def test_numbers_that_are_none(number):
    with pytest.raises(InvalidRequest, match=r"^steps: ") as refusal:
        check_number("steps", number, 8)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "tune_id", [-1, 1.0, 1.5, "x", "1e3", "-1", "１７", "9" * 17, 2**53, 10**400, None, True, [1], {}, b"1"]
)
def test_ids_that_are_none(tune_id):
    with pytest.raises(InvalidRequest, match=r"^tune_id: .* is not an id") as refusal:
        check_id("tune_id", tune_id)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(("given", "tune_id"), [(17, 17), ("17", 17), (0, 0), (2**53 - 1, 2**53 - 1), ("0017", 17)])
def test_ids_that_are_some(given, tune_id):
    assert check_id("tune_id", given) == tune_id


@pytest.mark.parametrize(
    "wrong", [["x"], "x", 5, {"<b>": "x"}, {"a": "<faceid:1>"}, {"a" * 101: "x"}, {str(i): "x" for i in range(101)}]
)
def test_characteristics_that_are_none(wrong):
    with pytest.raises(InvalidRequest, match=r"^characteristics: "):
        check_characteristics(wrong)


@pytest.mark.parametrize(
    ("field", "value"),
    [("title", 5), ("title", None), ("name", ["man"]), ("name", "x" * 10**5), ("token", {}), ("callback", 5),
     ("consent", "no"), ("consent", 0), ("base_tune_id", "x"), ("base_tune_id", 1.5), ("allow_different_people", "x")],
)  # fmt: skip
def test_fields_of_a_tune_of_the_wrong_kind(field, value):
    fields = TuneFields(**{"title": "Ada", "name": "woman"} | {field: value})
    with pytest.raises(InvalidRequest, match=f"^{field}: ") as refusal:
        check_tune_fields(fields)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("field", ["text", "negative_prompt", "aspect_ratio", "preset", "faster", "base_model"])
def test_fields_of_a_prompt_of_the_wrong_kind(field):
    with pytest.raises(InvalidRequest, match=f"^{field}: "):
        check_kinds(PromptFields(**{"text": "woman", field: ["x"]}))


# Through the app


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
