"""faceid.faces.photos: formats, limits checked before decoding, orientation, damage."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pillow_heif
import pytest
from pictures import astronaut, encode
from PIL import Image, ImageCms

from faceid.domain import Upload
from faceid.errors import InvalidPhotos
from faceid.faces.photos import read_photo
from faceid.image_files import LONGEST_SIDE
from faceid.limits import LIMITS

ORIENTATION = 0x0112


def encode_heic(image, **options):
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, **options)
    return Upload("photo.heic", file.getvalue())


def two_halves(width=64, height=48):
    """Red to the left, blue to the right: tells every orientation apart with the black first row."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (250, 0, 0)
    pixels[:, width // 2 :] = (0, 0, 250)
    pixels[: height // 4] = 0
    return Image.fromarray(pixels)


def png_header(width, height):
    """The start of a PNG that claims a size and has no pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"")


def problem(upload):
    with pytest.raises(InvalidPhotos) as caught:
        read_photo(upload)
    (only,) = caught.value.problems
    assert only.photo == upload.name
    return only.message


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_formats_give_the_picture(form):
    rgb = read_photo(encode(astronaut(), form))
    assert rgb.shape == (512, 512, 3)
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - np.asarray(astronaut())).mean() < (0.01 if form == "PNG" else 5)


def test_heic_gives_the_picture_and_leaves_pillow_as_it_was():
    Image.init()
    before = dict(Image.OPEN)
    rgb = read_photo(encode_heic(astronaut(), quality=90))
    assert np.abs(rgb.astype(int) - np.asarray(astronaut())).mean() < 5
    assert before == Image.OPEN


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation, form):
    turned = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.rotate(180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.rotate(90, expand=True),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.rotate(-90, expand=True),
    }[orientation](two_halves())
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    rgb = read_photo(encode(turned, form, exif=exif.tobytes()))
    assert rgb.shape == (48, 64, 3)
    assert np.abs(rgb.astype(int) - np.asarray(two_halves())).mean() < 8


def test_a_turned_heic_stands_upright():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    rgb = read_photo(encode_heic(two_halves(128, 96).rotate(90, expand=True), quality=95, exif=exif.tobytes()))
    assert rgb.shape == (96, 128, 3)
    assert rgb[60, 20, 0] > 200
    assert rgb[60, 110, 2] > 200


def test_damaged_exif_does_not_cost_the_photo():
    assert read_photo(encode(astronaut(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")).shape == (512, 512, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_modes_become_rgb_and_transparency_white(mode):
    image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    image.paste((200, 200, 200, 255), (0, 0, 20, 30))
    if mode == "P":
        image = image.quantize(4)
    else:
        image = Image.new("RGB", (40, 30), (255, 255, 255)).convert(mode) if mode in "L1" else image.convert(mode)
    rgb = read_photo(encode(image))
    assert rgb.shape == (30, 40, 3)
    np.testing.assert_array_equal(rgb[10, 30], (255, 255, 255))


def test_sixteen_bits_are_scaled_to_eight():
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    np.testing.assert_array_equal(read_photo(encode(Image.fromarray(ramp)))[..., 0], ramp >> 8)


def test_cmyk_becomes_rgb():
    rgb = read_photo(encode(Image.new("RGB", (32, 32), (220, 30, 30)).convert("CMYK"), "JPEG"))
    assert np.abs(rgb[16, 16].astype(int) - (220, 30, 30)).max() < 12


def test_a_colour_profile_is_no_obstacle():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_photo(encode(astronaut(), "JPEG", icc_profile=profile)).shape == (512, 512, 3)


@pytest.mark.parametrize("form", ["WEBP", "PNG", "AVIF"])
def test_of_an_animation_the_first_frame_is_used(form):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    rgb = read_photo(encode(frames[0], form, save_all=True, append_images=frames[1:]))
    assert rgb[32, 32, 0] > 230
    assert rgb[32, 32, 1] < 20


def test_a_large_photo_is_scaled_down():
    rgb = read_photo(encode(Image.new("RGB", (8000, 500)), "JPEG"))
    assert rgb.shape == (round(500 * LONGEST_SIDE / 8000), LONGEST_SIDE, 3)


def test_a_very_thin_photo_is_read():
    assert read_photo(encode(Image.new("RGB", (9000, 1)))).shape == (1, LONGEST_SIDE, 3)


def test_too_many_bytes_are_refused_unread():
    message = problem(Upload("big.jpg", b"\xff\xd8" + bytes(int(LIMITS["photo_bytes"].high))))
    assert "20.0 MB" in message
    assert "at most 20 MB" in message


def test_too_many_pixels_are_told_from_the_header():
    message = problem(Upload("wide.png", png_header(10_000, 5_001)))
    assert "10000 x 5001 px, 50.0 megapixels; at most 50" in message


def test_as_many_pixels_as_allowed_pass_the_header_check():
    assert "damaged" in problem(Upload("wide.png", png_header(10_000, 5_000)))


def test_a_decompression_bomb_is_refused():
    assert "more than 50 megapixels" in problem(Upload("bomb.png", png_header(60_000, 60_000)))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_file_that_is_cut_off_is_refused(form, kept):
    whole = encode(astronaut(), form)
    message = problem(Upload(whole.name, whole.content[: int(len(whole.content) * kept)]))
    assert "damaged" in message


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_heic_that_is_cut_off_is_refused(kept):
    whole = encode_heic(astronaut())
    assert "damaged" in problem(Upload("a.heic", whole.content[: int(len(whole.content) * kept)]))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "HEIC"])
def test_noise_in_a_file_is_at_worst_a_refusal(form):
    whole = encode_heic(two_halves()) if form == "HEIC" else encode(two_halves(), form)
    random = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole.content)
        for place in random.integers(0, len(content), 8):
            content[place] = random.integers(0, 256)
        with suppress(InvalidPhotos):
            assert read_photo(Upload("noise", bytes(content))).dtype == np.uint8


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused_naming_those_taken(form):
    assert "JPEG, PNG, WebP, HEIC or AVIF" in problem(encode(astronaut(), form))


def test_text_and_nothing_are_refused():
    assert "not a JPEG" in problem(Upload("note.jpg", b"hello"))
    assert "empty" in problem(Upload("none.jpg", b""))
