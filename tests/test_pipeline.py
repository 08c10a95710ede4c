"""faceid.flux.pipeline: base models loaded, from the project or from a Hub cache that is made here, at toy width."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from flux_toys import FAST, identity, pictures, short_request
from offline_mode import offline  # noqa: F401
from pictures import encode, magenta_square
from pulid_toys import one_thread
from tiny_base_models import cache_sources, write_base_models

from faceid.base_models import find_base_model
from faceid.domain import WeightedIdentity
from faceid.errors import SetupError
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.packs import load_face_pack
from faceid.flux.fast import config
from faceid.flux.pipeline import Engine, load_engine, load_engines
from faceid.flux.snapshot import SHARED_COMPONENTS
from faceid.hub import fetch
from faceid.pulid import weights

DEV, SCHNELL = find_base_model("flux1-dev"), find_base_model("flux1-schnell")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_base_models(folder, tmp_path_factory.mktemp("scratch"))
    return folder


@pytest.fixture(scope="module")
def two(cache, tmp_path_factory) -> tuple[Engine, ...]:
    """flux1-dev and flux1-schnell, loaded in bfloat16."""
    lock_dir = tmp_path_factory.mktemp("lock")
    return load_engines([DEV, SCHNELL], lock_dir=lock_dir, face_pack="antelopev2", sources=cache_sources(cache))


@pytest.fixture(scope="module")
def exact(two) -> list[np.ndarray]:
    """What the two draw of one person in bfloat16."""
    return [draw(engine, **identity()) for engine in two]


def draw(engine: Engine, **changes) -> np.ndarray:
    request = replace(short_request(**changes), base_model=engine.base_model.slug)
    (picture,) = pictures(engine.generator.generate(request))
    return picture


def test_fast_needs_nothing_but_the_project(tmp_path):
    engine = load_engine(FAST, lock_dir=tmp_path, face_pack="offline")
    assert engine.base_model is FAST
    assert engine.encoder.key.face_pack == "offline"
    assert engine.rung is None
    assert len(pictures(engine.generator.generate(short_request(**identity())))) == 1
    assert not list(tmp_path.iterdir())


def test_from_a_photo_to_a_picture_with_nothing_but_a_hub_cache(cache, tmp_path):
    """The face pack, PuLID, the tower and the base model: all by the code that loads the real ones."""
    get = partial(fetch, cache_dir=cache)
    pack = load_face_pack("antelopev2", folder=tmp_path, fetch=get)
    engine = load_engine(DEV, lock_dir=tmp_path, face_pack=pack.name, sources=cache_sources(cache))
    face = FaceAnalyzer(pack).detect_face(encode(magenta_square()))
    tokens = engine.encoder.encode([face])
    assert tokens.shape == (1, config.IDENTITY_ENCODER["num_queries"], config.WIDTH)
    somebody, nobody = draw(engine, identities=(WeightedIdentity(tokens),)), draw(engine)
    assert (somebody != nobody).any()
    locked = (tmp_path / "weights.lock.json").read_text()
    for name in (DEV.repo, weights.PULID_REPO, weights.TOWER_REPO, "glintr100.onnx"):
        assert name in locked


def test_all_of_it_is_bfloat16_with_its_own_weights(two):
    for engine in two:
        transformer = engine.generator.pipeline.transformer
        assert {weight.dtype for weight in transformer.parameters()} == {torch.bfloat16}
        assert engine.rung.name == "bf16"


def test_base_models_share_all_but_the_transformer(two, exact):
    first, second = two
    assert (first.base_model, second.base_model) == (DEV, SCHNELL)
    for name in SHARED_COMPONENTS:
        assert second.generator.pipeline.components[name] is first.generator.pipeline.components[name]
    assert second.encoder is first.encoder
    assert second.generator.pipeline.transformer is not first.generator.pipeline.transformer
    assert (exact[0] != exact[1]).any()


def test_dev_reads_longer_texts_than_schnell(two):
    assert [engine.generator.max_sequence_length for engine in two] == [512, 256]


def test_engines_come_in_the_order_of_the_base_models(cache, tmp_path):
    engines = load_engines([FAST, DEV], lock_dir=tmp_path, face_pack="antelopev2", sources=cache_sources(cache))
    assert [engine.base_model for engine in engines] == [FAST, DEV]


@pytest.mark.parametrize(("free", "name"), [(45, "fp8"), (20, "fp8, model offload"), (10, "fp8, group offload")])
def test_every_rung_draws_for_two_base_models_in_turn(cache, exact, tmp_path, free, name, caplog):
    with caplog.at_level("INFO", logger="faceid"):
        engines = load_engines(
            [DEV, SCHNELL], lock_dir=tmp_path, face_pack="antelopev2", sources=cache_sources(cache, free=free)
        )
    assert [engine.rung.name for engine in engines] == [name, name]
    assert sum(f": {name} on cpu" in line for line in caplog.messages) == 1
    for index in (0, 1, 0):
        error = np.abs(draw(engines[index], **identity()) - exact[index]).mean()
        assert 0 < error < 2  # of 255: float8 is not bfloat16


def test_too_little_memory_is_refused_before_anything_is_read(tmp_path):
    sources = cache_sources(tmp_path / "nothing", free=3.0)
    with pytest.raises(SetupError, match=r"flux1-dev: 3\.0 GB .* 8 GB .*FACEID_BASE_MODEL=fast"):
        load_engine(DEV, lock_dir=tmp_path, face_pack="antelopev2", sources=sources)


def test_another_face_pack_is_refused_with_the_cure(tmp_path):
    with pytest.raises(SetupError, match="FACEID_FACE_PACK=antelopev2"):
        load_engine(DEV, lock_dir=tmp_path, face_pack="offline")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_nothing_is_downloaded(tmp_path):
    def download(*args, **kwargs):
        raise AssertionError("asked")

    sources = replace(cache_sources(tmp_path), device="cuda", download=download, load_pulid=download)
    with pytest.raises(SetupError, match="FACEID_BASE_MODEL=fast"):
        load_engine(DEV, lock_dir=tmp_path, face_pack="antelopev2", sources=sources)


def test_damaged_weights_are_a_setup_error(cache, tmp_path):
    shutil.copytree(cache, tmp_path / "hub")
    (path,) = (tmp_path / "hub").glob("*FLUX.1-dev/snapshots/*/transformer/*.safetensors")
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(SetupError, match="cannot be loaded"):
        load_engine(DEV, lock_dir=tmp_path, face_pack="antelopev2", sources=cache_sources(tmp_path / "hub"))
