"""faceid.pulid.compare_fusion: what its figures say of made-up vectors, and the command on real pictures."""

import numpy as np
import pytest
from pictures import astronaut, encode, six_people

from faceid.domain import Face
from faceid.pulid.compare_fusion import RULES, leave_one_out, main

CROP = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
PERSON, STRANGER, *AXES = np.eye(12)


def make_face(vector, *, score=0.9, length=1.0):
    landmarks = np.zeros((5, 2), np.float32)
    return Face("a.jpg", "offline", (0, 0, 90, 90), landmarks, score, length * vector, CROP, b"")


def noisy(person, axis, amount=0.5):
    return person + amount * AXES[axis]


@pytest.fixture
def people():
    """Two people, four photos each: every photo strays in a direction of its own."""
    return [[make_face(noisy(who, axis + 4 * n)) for axis in range(4)] for n, who in enumerate((PERSON, STRANGER))]


def test_a_mean_of_several_comes_nearer_than_one_photo(people):
    cosines = {name: cosine for name, cosine, _ in leave_one_out(people)}
    one, mean = 1 / 1.25, 1 / np.sqrt((1 + 0.25 / 3) * 1.25)
    assert cosines["one photo"] == pytest.approx(one)
    assert cosines["mean of unit vectors"] == pytest.approx(mean)
    assert set(cosines) == {*RULES, "each apart, the nearest", "one photo"}


def test_everybody_is_found_where_nobody_is_alike(people):
    assert {found for _, _, found in leave_one_out(people)} == {1.0}


def test_a_score_of_nothing_takes_a_photo_out(people):
    people[0][3] = make_face(AXES[9], score=0.0)
    cosines = {name: cosine for name, cosine, _ in leave_one_out(people)}
    assert cosines["by the detector's score"] > cosines["mean of unit vectors"]


def test_the_command_prints_a_row_for_each_rule(tmp_path, capsys):
    for name, picture in (("a.png", astronaut()), ("b.png", six_people().crop((850, 0, 1280, 886)))):
        (tmp_path / name).write_bytes(encode(picture).content)
    assert main(["--faces", str(tmp_path), "--pack", "offline"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("2 people, ")
    assert [row[:26].strip() for row in rows] == [*RULES, "each apart, the nearest", "one photo"]


def test_one_person_is_not_enough(tmp_path, capsys):
    folder = tmp_path / "somebody"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(encode(astronaut()).content)
    with pytest.raises(SystemExit):
        main(["--faces", str(tmp_path), "--pack", "offline"])
    assert "1 found" in capsys.readouterr().err
