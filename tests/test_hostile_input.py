"""What nobody sends in good faith, to the functions: each is refused in words and takes no memory that stays."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hostile_files import BIDI, HERE, NUL, REFUSED, TAKEN, WORDS, png_bomb
from own_memory import MEGABYTE, peak, reset_peak, resident
from pictures import astronaut, encode

from faceid.domain import PromptFields, TuneFields, Upload
from faceid.errors import InvalidPhotos, InvalidRequest
from faceid.faces.photos import read_photo
from faceid.image_files import LONGEST_SIDE, MOST_SCANS
from faceid.validation import check_characteristics, check_id, check_kinds, check_number, check_text, check_tune_fields
from faceid.web.rest_files import media_type

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
