"""faceid.faces.alignment against the reference's own numbers (tests/parity, from PuLID with facexlib)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from faceid.faces.alignment import BORDER_GREY, FFHQ_TEMPLATE, align_face, estimate_transform

PARITY = Path(__file__).parent / "parity"


def read_rgb(name):
    return np.asarray(Image.open(PARITY / name).convert("RGB"))


@pytest.fixture(scope="module")
def reference():
    return load_file(PARITY / "face.safetensors")


def test_the_transform_is_the_references(reference):
    np.testing.assert_allclose(estimate_transform(reference["kps"]), reference["affine"], atol=1e-6)


def test_the_crop_is_pixel_identical_to_the_references(reference):
    aligned = align_face(read_rgb("face_image.png"), reference["kps"])
    np.testing.assert_array_equal(aligned, read_rgb("face_aligned_512_bgr.png"))


def test_landmarks_on_the_template_leave_the_picture_alone():
    picture = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    np.testing.assert_array_equal(align_face(picture, FFHQ_TEMPLATE), picture)


def test_a_face_upside_down_comes_out_upright():
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:256] = 200  # bright above
    turned = np.ascontiguousarray(picture[::-1, ::-1])
    aligned = align_face(turned, 511 - FFHQ_TEMPLATE)
    assert aligned[:250].mean() > 195
    assert aligned[262:].mean() < 5


def test_what_lies_beyond_the_photo_is_grey():
    aligned = align_face(np.zeros((512, 512, 3), np.uint8), FFHQ_TEMPLATE - 100)
    assert tuple(aligned[5, 5]) == BORDER_GREY


@pytest.mark.parametrize("landmarks", [np.zeros((5, 2)), np.zeros((4, 2))])
def test_points_that_do_not_span_a_face_are_refused(landmarks):
    with pytest.raises(ValueError, match="landmarks"):
        align_face(np.zeros((64, 64, 3), np.uint8), landmarks)
