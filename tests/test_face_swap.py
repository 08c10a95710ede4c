"""faceid.finishing.face_swap: insightface's INSwapper, through an ONNX file of its shapes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_pack import write_tiny_recogniser
from tiny_swapper import painted, write_tiny_swapper

from faceid.errors import SetupError
from faceid.faces.finder import FaceFinder
from faceid.finishing.face_swap import EMBEDDING_DIM, SWAP_SPACE, FaceSwap, SwapReader


@pytest.fixture(scope="module")
def swap(tmp_path_factory) -> FaceSwap:
    path = tmp_path_factory.mktemp("swapper") / "inswapper_128.onnx"
    write_tiny_swapper(path)
    return FaceSwap(path)


@pytest.fixture(scope="module")
def photo(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB")


@pytest.fixture(scope="module")
def face(photo, face_pack):
    return FaceFinder(face_pack)(np.asarray(photo))[0]


def somebody(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(EMBEDDING_DIM).astype(np.float32) * 20


@pytest.mark.parametrize("person", [1, 2])
def test_the_face_becomes_the_vector_s(swap, photo, face, person):
    swapped = np.asarray(swap(photo, face, somebody(person))).astype(float)
    x, y = face.landmarks[2].round().astype(int)  # the nose
    expected = 0.25 * np.asarray(photo)[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1)) + 0.75 * painted(somebody(person))
    assert np.abs(swapped[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1)) - expected).max() < 6


def test_the_vector_s_length_changes_nothing(swap, photo, face):
    one, other = (np.asarray(swap(photo, face, length * somebody(1))) for length in (1, 0.1))
    assert np.array_equal(one, other)


def test_the_rest_of_the_picture_is_untouched(swap, photo, face):
    swapped = np.asarray(swap(photo, face, somebody(1)))
    left, top, right, bottom = (round(edge) for edge in face.box)
    outside = np.ones(swapped.shape[:2], bool)
    outside[max(0, top - 60) : bottom + 60, left - 60 : right + 60] = False
    assert np.array_equal(swapped[outside], np.asarray(photo)[outside])


def test_nothing_is_printed(tmp_path, photo, face, capsys):
    path = tmp_path / "inswapper_128.onnx"
    write_tiny_swapper(path)
    FaceSwap(path)(photo, face, somebody(1))
    assert capsys.readouterr() == ("", "")


def test_a_damaged_file_is_named(tmp_path, photo, face):
    path = tmp_path / "inswapper_128.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(SetupError, match=r"inswapper_128\.onnx is no face swapper"):
        FaceSwap(path)(photo, face, somebody(1))


def test_the_reader_s_vectors_are_of_its_own_space(tmp_path, analyzer, astronaut):
    write_tiny_recogniser(tmp_path / "w600k_r50.onnx")
    reader = SwapReader(tmp_path / "w600k_r50.onnx")
    face = analyzer.detect_face(astronaut)
    vector = reader.embed_reference(face)
    assert reader.name == SWAP_SPACE != face.face_pack
    assert vector.shape == (EMBEDDING_DIM,)
    assert vector.dtype == np.float32
    darker = replace(face, aligned=(face.aligned * 0.5).astype(np.uint8))
    assert not np.array_equal(vector, reader.embed_reference(darker))
