"""faceid.faces.same_person: groups of linked embeddings."""

import numpy as np
import pytest

from faceid.faces.same_person import SAME_PERSON_COSINE, find_odd_ones
from faceid.settings import FACE_PACKS

ANNA, BERT, CARL = np.eye(6)[:3]


def between(a, b, cosine):
    """A vector at `cosine` to a, in the plane of a and b; a length that must not matter."""
    return 7 * (cosine * a + np.sqrt(1 - cosine**2) * b)


def test_every_pack_has_a_threshold():
    assert set(SAME_PERSON_COSINE) == set(FACE_PACKS) - {"auto"}


def test_one_person_has_no_odd_one():
    assert find_odd_ones([ANNA, 3 * ANNA, between(ANNA, BERT, 0.9)], "offline") == []


def test_one_photo_is_never_odd():
    assert find_odd_ones([ANNA], "offline") == []


@pytest.mark.parametrize("place", range(4))
def test_the_odd_one_is_found_wherever_it_stands(place):
    embeddings = [ANNA, ANNA, ANNA]
    embeddings.insert(place, BERT)
    assert find_odd_ones(embeddings, "offline") == [place]


def test_of_two_the_second_is_odd():
    assert find_odd_ones([ANNA, BERT], "antelopev2") == [1]


def test_all_who_are_not_the_largest_group_are_odd():
    assert find_odd_ones([CARL, ANNA, BERT, ANNA, CARL, ANNA], "offline") == [0, 2, 4]


def test_a_chain_of_similar_photos_holds_together():
    profile = between(ANNA, BERT, 0.6)
    assert find_odd_ones([ANNA, BERT, profile], "offline") == []
    assert find_odd_ones([ANNA, BERT], "offline") == [1]


@pytest.mark.parametrize(("face_pack", "threshold"), SAME_PERSON_COSINE.items())
def test_the_threshold_decides(face_pack, threshold):
    assert find_odd_ones([ANNA, between(ANNA, BERT, threshold + 0.01)], face_pack) == []
    assert find_odd_ones([ANNA, between(ANNA, BERT, threshold - 0.01)], face_pack) == [1]
