"""faceid.faces.finder: the detector is opened where it is used."""

import os
import threading

import numpy as np
import pytest
from PIL import Image

from faceid.errors import SetupError
from faceid.faces.finder import FaceFinder, OncePerProcess
from faceid.faces.packs import FacePack


def test_a_value_is_made_once():
    made = []
    value = OncePerProcess(lambda: made.append(os.getpid()) or len(made))
    threads = [threading.Thread(target=value) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value() == 1
    assert made == [os.getpid()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_makes_its_own_even_where_the_parent_held_the_lock():
    value = OncePerProcess(os.getpid)
    assert value() == os.getpid()
    with value._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if value() == os.getpid() else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert value() == os.getpid()


def test_all_faces_are_found_the_largest_first(face_pack, astronaut_path):
    photo = Image.open(astronaut_path).convert("RGB")
    picture = Image.new("RGB", (768, 512), "grey")
    picture.paste(photo)
    picture.paste(photo.resize((256, 256)), (512, 0))
    large, small = FaceFinder(face_pack)(np.asarray(picture))
    assert large.area > 3 * small.area
    assert large.landmarks.shape == (5, 2)


def test_nothing_is_opened_before_it_is_used(tmp_path):
    finder = FaceFinder(FacePack("gone", tmp_path / "gone", 512, "none"))
    with pytest.raises(SetupError, match="missing"):
        finder(np.zeros((64, 64, 3), np.uint8))
