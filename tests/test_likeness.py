"""faceid.faces.likeness: bands of made-up vectors, the judge on real pictures, and where the judge comes from."""

import dataclasses
import logging
from functools import partial

import numpy as np
import pytest
from pictures import astronaut, encode, nobody, six_people
from PIL import Image
from tiny_hub import write_cache
from tiny_pack import write_tiny_pack

from faceid.errors import SetupError
from faceid.faces.likeness import LEAST_SIDE, MOST_SHIFT, SCALES, FaceJudge, Scale, compare, load_judge
from faceid.faces.packs import AURAFACE_REPO, FacePack
from faceid.hub import fetch

SCALE = Scale(fair=0.4, strong=0.6, copy=0.9, typical=0.7)
ANNA, *AXES = np.eye(8)


def at(cosine, axis=0, length=1.0):
    """A vector at `cosine` to ANNA; those of different axes differ otherwise."""
    return length * (cosine * ANNA + np.sqrt(1 - cosine**2) * AXES[axis])


def like_one_another(cosine):
    """Two photos whose mean is ANNA and whose cosine is `cosine`."""
    half = np.sqrt((1 + cosine) / 2)
    return [at(half), 2 * half * ANNA - at(half)]


# --- bands -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cosine", "band"),
    [
        (-0.5, "weak"),
        (0.39, "weak"),
        (0.41, "fair"),
        (0.59, "fair"),
        (0.61, "strong"),
        (0.89, "strong"),
        (0.91, "copy"),
    ],
)
def test_the_cosine_decides_the_band_whatever_the_lengths(cosine, band):
    likeness = compare(at(cosine, length=20), [7 * ANNA], SCALE)
    assert likeness.band == band
    assert likeness.similarity == pytest.approx(cosine)


@pytest.mark.parametrize(
    ("agreement", "cosine", "band"),
    [
        (0.7, 0.61, "strong"),  # as typical: nothing moves
        (0.65, 0.56, "strong"),  # varied photos: less will do
        (0.65, 0.54, "fair"),
        (0.75, 0.64, "fair"),  # alike ones: more is asked
        (0.75, 0.66, "strong"),
        (0.0, 0.6 - MOST_SHIFT + 0.01, "strong"),  # and never by more than this
        (0.0, 0.6 - MOST_SHIFT - 0.01, "fair"),
        (0.999, 0.6 + MOST_SHIFT + 0.01, "strong"),
        (0.0, 0.39, "weak"),  # strangers stay strangers
    ],
)
def test_a_persons_own_photos_are_the_yardstick(agreement, cosine, band):
    assert compare(at(cosine, axis=3), like_one_another(agreement), SCALE).band == band


def test_a_copy_of_one_photo_is_told_among_others():
    photos = [at(0.5, axis=axis) for axis in range(4)]
    likeness = compare(photos[2] + 0.1 * AXES[5], photos, SCALE)
    assert likeness.band == "copy"
    assert likeness.similarity < SCALE.copy


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_the_lines_of_every_judge_stay_in_order(scale):
    assert 0 < scale.fair < scale.strong - MOST_SHIFT
    assert scale.strong + MOST_SHIFT < scale.copy < 1


# --- the judge on pictures -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge(analyzer):
    return FaceJudge(analyzer)


@pytest.fixture(scope="module")
def face(analyzer):
    return analyzer.detect_face(encode(astronaut()))


@pytest.fixture(scope="module")
def references(judge, face):
    return [judge.embed_reference(face)]


def test_the_reader_of_the_photos_shares_its_vectors(judge, face, references):
    assert references[0] is face.embedding
    assert judge.name == "offline"


def test_a_face_of_another_pack_is_embedded_from_its_aligned_crop(judge, face):
    foreign = dataclasses.replace(face, face_pack="antelopev2", embedding=np.zeros(512, np.float32))
    vector = judge.embed_reference(foreign)
    assert vector.shape == face.embedding.shape
    assert compare(vector, [face.embedding], SCALE).similarity > 0.98


def test_the_same_photo_saved_again_is_a_copy(judge, references):
    smaller = astronaut().crop((60, 0, 430, 400)).resize((296, 320))
    assert judge.measure(smaller, references).band == "copy"


def test_an_altered_photo_is_the_same_person(judge, references):
    small = astronaut().resize((160, 160)).resize((512, 512))
    assert judge.measure(small.rotate(12), references).band in ("strong", "fair")


def test_other_people_are_weakly_alike(judge, references):
    bands = {judge.measure(six_people().crop((left, 0, left + 430, 886)), references).band for left in (0, 430, 850)}
    assert bands == {"weak"}


@pytest.mark.parametrize("name", ["cat", "coffee"])
def test_no_face_is_not_measurable(judge, references, name):
    assert judge.measure(nobody(name), references).band == "not measurable"


def test_a_tiny_face_is_not_measurable(judge, references):
    side = int(512 * (LEAST_SIDE - 3) / 90)
    assert judge.measure(astronaut().resize((side, side)), references).band == "not measurable"


def test_nothing_to_compare_with_is_not_measurable(judge):
    assert judge.measure(astronaut(), []).band == "not measurable"


def test_pictures_of_any_mode_are_judged(judge, references):
    assert judge.measure(astronaut().convert("RGBA"), references).band == "copy"
    assert judge.measure(astronaut().convert("L"), references).similarity > SCALES["offline"].strong


# --- where it comes from ---------------------------------------------------------------------------------------------

ANTELOPEV2 = "antelopev2"


@pytest.fixture
def antelopev2(tmp_path):
    """A pack of that name; what it holds is not looked at."""
    return FacePack(ANTELOPEV2, tmp_path / ANTELOPEV2, dim=512, licence="")


@pytest.fixture
def fetch_cached(tmp_path):
    return partial(fetch, cache_dir=tmp_path / "cache", endpoint="http://127.0.0.1:1", timeout=0.5)


def test_auraface_judges_where_the_adapter_has_antelopev2(tmp_path, analyzer, antelopev2, fetch_cached):
    files = {path.name: path.read_bytes() for path in write_tiny_pack(tmp_path / "tiny").iterdir()}
    write_cache(tmp_path / "cache", AURAFACE_REPO, files)
    judge = load_judge(analyzer, antelopev2, folder=tmp_path / "packs", fetch=fetch_cached)
    assert (judge.name, judge.licence) == ("auraface-v1", "AuraFace-v1: Apache-2.0")
    assert {path.name for path in (tmp_path / "packs" / "auraface-v1").iterdir()} == set(files)
    assert judge.measure(Image.new("RGB", (256, 256)), [np.ones(512, np.float32)]).band == "not measurable"


def test_without_the_hub_the_offline_pack_judges(tmp_path, analyzer, antelopev2, fetch_cached, caplog):
    judge = load_judge(analyzer, antelopev2, folder=tmp_path / "packs", fetch=fetch_cached)
    assert judge.name == "offline"
    assert "judged with the offline face pack" in caplog.text


def test_the_offline_pack_judges_its_own_photos_and_asks_no_hub(tmp_path, analyzer, face_pack):
    def forbidden(*args, **kwargs):
        raise AssertionError("asked")

    judge = load_judge(analyzer, face_pack, folder=tmp_path / "packs", fetch=forbidden)
    assert judge.name == "offline"
    assert list(tmp_path.iterdir()) == []  # nothing was built a second time


def test_an_app_without_a_judge_starts_and_says_so(tmp_path, analyzer, antelopev2, caplog):
    def refuse(*args, **kwargs):
        raise SetupError("its sha256 is another")

    with caplog.at_level(logging.WARNING):
        assert load_judge(analyzer, antelopev2, folder=tmp_path, fetch=refuse) is None
    assert "likeness is not measured: its sha256 is another" in caplog.text
