"""faceid.starting_pictures: input_image and mask_image as they are sent, and drawn from, on the real `fast`."""

import io
from functools import partial

import numpy as np
import pytest
from flux_toys import fast_engine, identity, mean_change, pictures, short_request
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pulid_toys import one_thread

from faceid.domain import StepDone, Upload
from faceid.errors import InvalidRequest
from faceid.starting_pictures import StartingPicture, fit_start, read_input, read_mask


def encode(picture: Image.Image, kind: str = "PNG", **options) -> Upload:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return Upload(f"picture.{kind.lower()}", file.getvalue())


@pytest.fixture(scope="module")
def halves() -> Image.Image:
    """Left red, right blue, twice as wide as high."""
    picture = Image.new("RGB", (80, 40), "red")
    picture.paste("blue", (40, 0, 80, 40))
    return picture


def test_exif_turns_the_picture(halves):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    turned = read_input(encode(halves, "JPEG", exif=exif, quality=95))
    assert turned.size == (40, 80)
    assert turned.getpixel((20, 10))[0] > 200  # red is above now
    assert turned.mode == "RGB"


def test_transparency_becomes_white():
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert read_input(encode(picture)).getpixel((4, 4)) == (255, 255, 255)
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert read_input(encode(half)).getpixel((4, 4))[1] == pytest.approx(127, abs=2)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_other_modes_are_read(mode, halves):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert read_input(encode(halves.convert(mode), kind)).mode == "RGB"


@given(width=st.sampled_from([64, 96, 128]), height=st.sampled_from([64, 96, 128]))
def test_what_is_drawn_from_has_the_size_that_is_drawn(halves, width, height):
    start = fit_start(halves, Image.new("L", halves.size, 255), width, height, 0.8)
    assert start.pixels.shape == (height, width, 3)
    assert start.mask.shape == (height, width)
    left, right = start.pixels[height // 2, 2], start.pixels[height // 2, -3]
    assert left[0] > 200 > 60 > left[2]  # cut off evenly: both halves are there
    assert right[2] > 200 > 60 > right[0]


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\nbroken"], ids=["empty", "text", "broken"])
@pytest.mark.parametrize("field", ["input_image", "mask_image"])
def test_what_is_no_picture_is_named(content, field):
    read = read_input if field == "input_image" else partial(read_mask, size=(8, 8))
    with pytest.raises(InvalidRequest, match=field) as refused:
        read(Upload("x.png", content))
    assert refused.value.field == field


def test_a_cut_off_picture_is_refused(halves):
    upload = encode(Image.effect_noise((200, 200), 50), "JPEG")
    with pytest.raises(InvalidRequest, match="cut off"):
        read_input(Upload("x.jpg", upload.content[: len(upload.content) // 2]))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    with pytest.raises(InvalidRequest, match="megapixels"):
        read_input(encode(Image.new("1", (9000, 9000))))


def test_a_jpeg_of_a_thousand_scans_is_refused_before_it_is_decoded():
    whole = encode(Image.effect_noise((64, 64), 50), "JPEG", progressive=True).content
    last = whole.rindex(b"\xff\xda")
    with pytest.raises(InvalidRequest, match=r"^input_image: 'x\.jpg' .* scans"):
        read_input(Upload("x.jpg", whole[:last] + whole[last:-2] * 1000 + b"\xff\xd9"))


def test_sixteen_bits_are_scaled_to_eight():
    grey = Image.fromarray(np.tile(np.array([0, 40 * 256, 200 * 256], np.uint16), (3, 1)))
    assert read_input(encode(grey)).getpixel((1, 0)) == (40, 40, 40)
    assert np.asarray(read_mask(encode(grey), (3, 3)))[0].tolist() == [0, 40, 200]


def test_a_mask_is_white_where_it_is_opaque_and_bright():
    mask = Image.new("RGBA", (20, 10), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (10, 0, 20, 10))
    read = read_mask(encode(mask), (40, 20))
    assert read.size == (40, 20)
    assert (read.getpixel((5, 10)), read.getpixel((35, 10))) == (0, 255)


@pytest.mark.parametrize(
    ("mask", "why"), [(Image.new("L", (20, 20), 255), "shape"), (Image.new("L", (20, 10), 90), "black all over")]
)
def test_a_mask_that_fits_nothing_is_refused(mask, why):
    with pytest.raises(InvalidRequest, match=why):
        read_mask(encode(mask), (40, 20))


@pytest.mark.parametrize("white", [(0, 0, 10, 40), (60, 20, 61, 21)], ids=["cut off", "a speck"])
def test_a_mask_of_which_nothing_white_is_left_is_refused(halves, white):
    mask = Image.new("L", halves.size)
    mask.paste(255, white)
    assert read_mask(encode(mask), halves.size).getextrema() == (0, 255)
    with pytest.raises(InvalidRequest, match="nothing white is left of it at 16 × 16 px") as refused:
        fit_start(halves, mask, 16, 16, 0.8)
    assert refused.value.field == "mask_image"


# --- drawn from, on `fast` ---


@pytest.fixture(scope="module")
def face(astronaut_path) -> np.ndarray:
    return np.asarray(Image.open(astronaut_path).convert("RGB").crop((170, 0, 298, 128)).resize((64, 64)))


def draw_from(start: StartingPicture, **changes) -> tuple[list[StepDone], np.ndarray]:
    with one_thread():
        results = list(fast_engine()[0].generate(short_request(num_inference_steps=4, start=start, **changes)))
    return [result for result in results if isinstance(result, StepDone)], pictures(results)[0]


def test_more_strength_is_more_change_and_more_steps(face):
    seen = [draw_from(StartingPicture(face, strength)) for strength in (0.0, 0.25, 0.5, 1.0)]
    change = [mean_change(picture, face.astype(np.int16)) for _, picture in seen]
    assert [len(steps) for steps, _ in seen] == [0, 1, 2, 4]
    assert seen[2][0] == [StepDone(0, 1, 2), StepDone(0, 2, 2)]
    assert change[0] == 0
    assert change == sorted(change)


def test_the_identity_is_on(face):
    start = StartingPicture(face, 0.75)
    somebody, nobody = (draw_from(start, **identity(strength))[1] for strength in (1.0, 0.0))
    assert mean_change(somebody, nobody) > 2


def test_the_identity_s_start_counts_the_steps_that_are_left_out(face):
    start = StartingPicture(face, 0.5)  # steps 2 and 3 of 4
    early, nobody = draw_from(start, identity_start=0.25, **identity())[1], draw_from(start, **identity(0.0))[1]
    assert np.array_equal(early, draw_from(start, identity_start=0.5, **identity())[1])
    assert np.array_equal(draw_from(start, identity_start=1.0, **identity())[1], nobody)
    last = draw_from(start, identity_start=0.75, **identity())[1]
    assert 0 < mean_change(last, nobody) < mean_change(early, nobody)


def test_what_the_mask_keeps_is_kept_bit_for_bit(face):
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 40:] = 255
    _, picture = draw_from(StartingPicture(face, 0.75, mask), **identity())
    assert np.array_equal(picture[:, :36], face[:, :36])
    assert mean_change(picture[:, 44:], face[:, 44:].astype(np.int16)) > 3


@pytest.mark.parametrize("changes", [{"faster": True}, {"true_cfg_scale": 3.0, "negative_prompt": "red"}])
def test_the_other_controls_work_too(face, changes):
    start = StartingPicture(face, 0.75)
    plain = draw_from(start, **identity())[1]
    changed = draw_from(start, **changes, **identity())[1]
    assert changed.shape == plain.shape
    assert np.array_equal(changed, draw_from(start, **changes, **identity())[1])
    if not changes.get("faster"):
        assert mean_change(changed, plain) > 1
