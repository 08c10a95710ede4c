"""faceid.flux.inpaint_faces: which faces, which crops, and what stays."""

import numpy as np
import pytest
from PIL import Image

from faceid.faces.detection import Detection
from faceid.flux.inpaint_faces import find_small, inpaint_faces

GREEN = (0, 255, 0)


def face(left: float, top: float, side: float) -> Detection:
    return Detection((left, top, left + side, top + side), np.zeros((5, 2), np.float32), 0.9)


def paint(crop: Image.Image, mask: Image.Image, number: int) -> Image.Image:
    return Image.new("RGB", crop.size, GREEN)


@pytest.fixture(scope="module")
def picture(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB")


def test_small_is_below_the_threshold_and_visible():
    faces = [face(0, 0, side) for side in (100, 60, 59, 8, 7)]
    assert [found.side for found in find_small(faces, below=60)] == [59, 8]


def test_the_face_is_drawn_and_the_rest_untouched(picture):
    drawn = np.asarray(inpaint_faces(picture, [face(200, 100, 40)], paint, side=64))
    assert drawn[120, 220].tolist() == list(GREEN)
    far = np.ones(drawn.shape[:2], bool)
    far[70:170, 170:270] = False
    assert np.array_equal(drawn[far], np.asarray(picture)[far])


def test_the_edge_is_soft(picture):
    grey = Image.new("RGB", picture.size, (128,) * 3)
    drawn = np.asarray(inpaint_faces(grey, [face(200, 100, 160)], paint, side=256)).astype(int)
    assert drawn.max() == 255
    for axis in (0, 1):
        assert np.abs(np.diff(drawn, axis=axis)).max() < 20


def test_the_crop_shows_the_face_upright_in_its_middle(picture):
    seen = []

    def look(crop: Image.Image, mask: Image.Image, number: int) -> Image.Image:
        seen.append((crop, mask, number))
        return crop

    unchanged = inpaint_faces(picture, [face(200, 100, 40), face(300, 300, 20)], look, side=64)
    (crop, mask, first), (_, _, second) = seen
    assert crop.size == mask.size == (64, 64)
    assert mask.getpixel((32, 32)) == 255
    assert mask.getpixel((0, 0)) == 0
    assert (first, second) == (0, 1)
    assert np.abs(np.asarray(unchanged).astype(int) - np.asarray(picture)).mean() < 0.5


@pytest.mark.parametrize("corner", [(-10, -10), (490, 490), (-10, 490)])
def test_a_face_at_the_edge(picture, corner):
    drawn = inpaint_faces(picture, [face(*corner, 40)], paint, side=64)
    assert drawn.size == picture.size
    assert np.array_equal(np.asarray(drawn)[200:300, 200:300], np.asarray(picture)[200:300, 200:300])


def test_what_was_drawn_larger_is_put_back_in_its_size(picture):
    drawn = inpaint_faces(picture, [face(200, 100, 40)], lambda *_: Image.new("RGB", (256, 256), GREEN), side=64)
    assert drawn.size == picture.size
    assert drawn.getpixel((220, 120)) == GREEN
