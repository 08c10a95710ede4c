"""faceid.faces.detection: sizes tried, turned photos, coordinates. The detector is a class of few lines, not a mock."""

import numpy as np
import pytest

from faceid.faces.detection import DETECTION_SIDE, WIDE_SIDE, detect_faces


class DotDetector:
    """Finds one face where the photo shows a red eye left of a green one, of `least` px or more apart."""

    def __init__(self, least=1.0, most=10_000.0):
        self.least, self.most = least, most
        self.sizes = []

    def detect(self, img, input_size):
        assert input_size == img.shape[1::-1]
        assert img.shape[0] % 32 == img.shape[1] % 32 == 0
        self.sizes.append(img.shape[:2])
        eyes = [np.argwhere(img[..., channel] > 100)[:, ::-1] for channel in (2, 1)]  # BGR
        if not all(len(eye) for eye in eyes):
            return np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32)
        left, right = (eye.mean(axis=0) for eye in eyes)
        apart = right - left
        if not self.least <= abs(apart[0]) <= self.most or apart[0] < 2 * abs(apart[1]):
            return np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32)
        middle = (left + right) / 2
        box = np.array([[*(middle - apart[0]), *(middle + 2 * apart[0]), 0.9]], np.float32)
        return box, np.array([[left, right, middle, middle, middle]], np.float32)


def picture(height=300, width=400, eyes=((100, 80), (140, 80))):
    rgb = np.zeros((height, width, 3), np.uint8)
    for channel, (x, y) in enumerate(eyes):
        rgb[y - 4 : y + 5, x - 4 : x + 5, channel] = 255
    return rgb


def test_a_face_is_found_where_it_is():
    (face,) = detect_faces(DotDetector(), picture())
    np.testing.assert_allclose(face.landmarks[:2], [(100, 80), (140, 80)])
    np.testing.assert_allclose(face.box, (80, 40, 200, 160))
    assert (face.quarter_turns, face.side, face.area) == (0, 120, 120 * 120)
    assert face.score == pytest.approx(0.9)


def test_a_face_whose_landmarks_coincide_is_none():
    class OnePoint(DotDetector):
        def detect(self, img, input_size):
            boxes, landmarks = super().detect(img, input_size)
            return boxes, np.full_like(landmarks, 100)

    assert detect_faces(OnePoint(), picture()) == []


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_is_turned_back_and_the_places_are_the_photos(turns):
    turned = np.ascontiguousarray(np.rot90(picture(), turns))
    (face,) = detect_faces(DotDetector(), turned)
    red, green = (np.argwhere(turned[..., channel] > 0)[:, ::-1].mean(axis=0) for channel in (0, 1))
    np.testing.assert_allclose(face.landmarks[:2], [red, green])
    assert face.quarter_turns == (-turns) % 4
    left, top, right, bottom = face.box
    assert left < face.landmarks[2, 0] < right
    assert top < face.landmarks[2, 1] < bottom


def test_a_large_photo_is_shrunk_and_the_places_are_the_photos():
    detector = DotDetector()
    (face,) = detect_faces(detector, picture(1500, 2560, ((1000, 800), (1400, 800))))
    np.testing.assert_allclose(face.landmarks[:2], [(1000, 800), (1400, 800)], atol=4)
    assert detector.sizes == [(384, DETECTION_SIDE)]


def test_a_small_photo_is_not_enlarged():
    detector = DotDetector()
    detect_faces(detector, picture(120, 150))
    assert detector.sizes[0] == (128, 160)


def test_a_small_face_in_a_large_photo_is_looked_for_at_more_pixels():
    detector = DotDetector(least=15)
    rgb = picture(1500, 2560, ((1000, 800), (1040, 800)))
    assert len(detect_faces(detector, rgb)) == 1
    assert max(detector.sizes[-1]) == WIDE_SIDE


def test_a_face_that_fills_the_photo_is_looked_for_at_fewer_pixels():
    detector = DotDetector(most=140)
    assert len(detect_faces(detector, picture(600, 600, ((150, 250), (450, 250))))) == 1
    assert max(detector.sizes[-1]) == 256


def test_no_face_anywhere_ends_after_all_attempts():
    detector = DotDetector()
    assert detect_faces(detector, np.zeros((900, 1200, 3), np.uint8)) == []
    assert len(detector.sizes) == 6
