"""Redrawing with a base model of the Hub at toy width, however it lies in memory: a picture, tiles, a mask."""

from dataclasses import replace

import numpy as np
import pytest
from flux_toys import identity, mean_change, pictures, short_request
from offline_mode import offline  # noqa: F401
from PIL import Image
from pulid_toys import one_thread
from tiny_base_models import cache_sources, write_base_models

from faceid.base_models import find_base_model
from faceid.faces.detection import Detection
from faceid.finishes import Finishing
from faceid.finishing.chain import FinishingChain
from faceid.finishing.weights import Networks
from faceid.flux.pipeline import load_engine
from faceid.starting_pictures import StartingPicture

DEV = replace(find_base_model("flux1-dev"), native_side=64)  # 1024 px would be 16,384 tokens here
FREE = {"bf16": 80, "fp8": 30, "fp8, model offload": 20, "fp8, group offload": 10}


@pytest.fixture(autouse=True, scope="module")
def quick():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    write_base_models(folder, tmp_path_factory.mktemp("scratch"))
    return folder


@pytest.fixture(scope="module")
def load(cache, tmp_path_factory):
    def load_on(rung: str):
        lock_dir, sources = tmp_path_factory.mktemp("lock"), cache_sources(cache, free=FREE[rung])
        engine = load_engine(DEV, lock_dir=lock_dir, face_pack="antelopev2", sources=sources)
        assert engine.rung.name == rung
        face = Detection((24, 24, 33, 33), np.zeros((5, 2), np.float32), 0.9)
        engine.generator.finish = FinishingChain(Networks(), lambda rgb: [face])
        return engine.generator

    return load_on


@pytest.fixture(scope="module")
def start(astronaut_path) -> StartingPicture:
    pixels = np.asarray(Image.open(astronaut_path).convert("RGB").crop((170, 0, 298, 128)).resize((64, 64)))
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    return StartingPicture(pixels, 0.75, mask)


def draw(generator, **changes) -> np.ndarray:
    request = short_request(**{"base_model": DEV.slug, "num_inference_steps": 2} | identity() | changes)
    return pictures(generator.generate(request))[0]


@pytest.fixture(scope="module")
def exact(load, start) -> dict[str, np.ndarray]:
    """Each way of redrawing in bfloat16."""
    generator = load("bf16")
    return {name: draw(generator, **changes) for name, changes in ways(start).items()}


def ways(start) -> dict[str, dict]:
    return {
        "plain": {},
        "start": {"start": StartingPicture(start.pixels, 0.5)},
        "mask": {"start": start},
        "tiles": {"finishing": Finishing(hires_fix=True)},
        "faces": {"finishing": Finishing(inpaint_faces=True)},
    }


def test_every_way_is_another_picture(exact):
    for name, picture in exact.items():
        assert picture.shape == (64, 64, 3)
        assert all(not np.array_equal(picture, other) for key, other in exact.items() if key != name)


@pytest.mark.parametrize("rung", list(FREE)[1:])
def test_every_rung_redraws(load, start, exact, rung):
    generator = load(rung)
    for name, changes in (*ways(start).items(), ("plain", {})):  # what is offloaded comes back
        assert 0 < mean_change(draw(generator, **changes), exact[name]) < 4, name  # float8 is not bfloat16


def test_the_networks_are_not_cast(load):
    generator = load("fp8")
    before = {name: str(weight.dtype) for name, weight in generator.pipeline.transformer.named_parameters()}
    draw(generator, finishing=Finishing(hires_fix=True))
    assert {name: str(w.dtype) for name, w in generator.pipeline.transformer.named_parameters()} == before
    assert {w.dtype for w in generator.pipeline.vae.parameters()} == {generator.pipeline.dtype}


def test_only_small_faces_are_drawn_again(load, exact):
    generator = load("bf16")
    changed = np.abs(draw(generator, finishing=Finishing(inpaint_faces=True)) - exact["plain"]).max(axis=2) > 0
    assert changed[26:31, 26:31].any()
    assert not changed[48:].any()
    assert not changed[:, 48:].any()
