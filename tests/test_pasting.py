"""faceid.faces.pasting: a crop goes back where it came from, and nothing else changes."""

import cv2
import numpy as np
import pytest

from faceid.faces.alignment import align_face, estimate_transform
from faceid.faces.pasting import mix, oval_mask, paste_aligned, soft_mask

LANDMARKS = np.array([[100, 100], [150, 105], [124, 130], [104, 152], [144, 156]], np.float32)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)  # smooth


def paste(photo, crop, weight=1.0, landmarks=LANDMARKS) -> np.ndarray:
    return paste_aligned(photo, crop, estimate_transform(landmarks), weight * oval_mask(512))


def test_an_unchanged_crop_leaves_the_picture(photo):
    pasted = paste(photo, align_face(photo, LANDMARKS))
    assert np.abs(pasted.astype(int) - photo).max() <= 4  # there and back by interpolation


def test_a_changed_crop_changes_the_face_and_nothing_else(photo):
    red = np.full((512, 512, 3), (255, 0, 0), np.uint8)
    pasted = paste(photo, red)
    assert pasted[130, 124].tolist() == [255, 0, 0]  # the nose
    changed = np.argwhere((pasted != photo).any(axis=2))
    corners = np.array([[0, 0], [512, 0], [0, 512], [512, 512]], np.float64)
    back = cv2.invertAffineTransform(estimate_transform(LANDMARKS))
    edges = corners @ back[:, :2].T + back[:, 2]
    assert (changed[:, ::-1] >= edges.min(axis=0) - 1).all()
    assert (changed[:, ::-1] <= edges.max(axis=0) + 1).all()
    assert photo[130, 124].tolist() != [255, 0, 0]  # a new array


def test_the_edge_is_soft(photo):
    grey = np.full((240, 320, 3), 100, np.uint8)
    pasted = paste(grey, np.full((512, 512, 3), 200, np.uint8)).astype(int)
    for axis in (0, 1):
        assert np.abs(np.diff(pasted, axis=axis)).max() < 25


def test_half_the_strength_is_half_the_way(photo):
    grey = np.full((240, 320, 3), 100, np.uint8)
    pasted = paste(grey, np.full((512, 512, 3), 200, np.uint8), weight=0.5)
    assert abs(int(pasted[130, 124, 0]) - 150) <= 1


def test_a_face_half_outside_of_the_picture(photo):
    pasted = paste(photo, np.zeros((512, 512, 3), np.uint8), landmarks=LANDMARKS - (110, 110))
    assert pasted.shape == photo.shape
    assert pasted[20, 14].tolist() == [0, 0, 0]
    assert np.array_equal(pasted[150:, 150:], photo[150:, 150:])


def test_masks_fade_to_nothing():
    for mask in (soft_mask(64, 96), oval_mask(64)):
        assert mask[32, 32] == 1
        assert max(mask[0].max(), mask[:, 0].max(), mask[-1].max(), mask[:, -1].max()) < 0.05
        assert mask.min() >= 0


def test_weight_0_is_bit_for_bit(photo):
    assert np.array_equal(mix(photo, 255 - photo, np.zeros((240, 320, 1), np.float32)), photo)
    assert np.array_equal(mix(photo, 255 - photo, np.ones((240, 320, 1), np.float32)), 255 - photo)
