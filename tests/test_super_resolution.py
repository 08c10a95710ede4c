"""faceid.finishing.super_resolution: tiled is whole, in bounded memory, with networks that spandrel reads."""

import numpy as np
import pytest
import torch
from PIL import Image
from spandrel import ModelLoader
from spandrel.architectures.Compact import Compact

from faceid.finishing.super_resolution import OVERLAP, SuperResolution
from faceid.flux.fast.enlarging import load_enlarger


@pytest.fixture(scope="module")
def upscaler() -> torch.nn.Module:
    """The project's own, with weights that see 11 px around each pixel."""
    return load_enlarger().network


@pytest.fixture(scope="module")
def picture(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB").resize((160, 144))


def enlarge(network, picture, **options) -> np.ndarray:
    return np.asarray(SuperResolution(network, **options)(picture)).astype(int)


def test_tiled_is_whole(upscaler, picture):
    whole = enlarge(upscaler, picture, tile=256)
    tiled = enlarge(upscaler, picture, tile=96, overlap=OVERLAP)
    assert whole.shape == tiled.shape == (576, 640, 3)
    difference = np.abs(whole - tiled)
    assert difference.mean() < 0.05  # of 255
    assert difference.max() <= 6
    assert not np.array_equal(whole, enlarge(upscaler, picture, tile=96, overlap=0))  # without overlap it shows


def test_seams_are_no_steeper_than_the_picture(upscaler, picture):
    tiled = enlarge(upscaler, picture, tile=96, overlap=OVERLAP)
    whole = enlarge(upscaler, picture, tile=256)
    for axis in (0, 1):
        extra = np.abs(np.diff(tiled, axis=axis)) - np.abs(np.diff(whole, axis=axis))
        assert extra.max() <= 4


def test_it_looks_like_the_picture(upscaler, picture):
    large = Image.fromarray(enlarge(upscaler, picture).astype(np.uint8))
    back = np.asarray(large.resize(picture.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(back - np.asarray(picture)).mean() < 4


def test_every_tile_is_told(upscaler, picture):
    told = []
    enlarger = SuperResolution(upscaler, tile=96, overlap=16)
    enlarger(picture, lambda done, of: told.append((done, of)))
    count = enlarger.count_tiles(*picture.size)
    assert told == [(number, count) for number in range(1, count + 1)]
    assert count == 4


def test_the_network_never_sees_more_than_a_tile(upscaler, picture):
    seen = []
    hook = upscaler.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    try:
        enlarge(upscaler, picture, tile=64, overlap=16)
    finally:
        hook.remove()
    assert set(seen) == {(1, 3, 64, 64)}


def test_spandrel_reads_what_it_is_given(tmp_path, picture):
    torch.manual_seed(0)
    network = Compact(num_feat=8, num_conv=2, upscale=4)
    torch.save(network.state_dict(), tmp_path / "small.pth")
    read = ModelLoader().load_from_file(tmp_path / "small.pth")
    assert read.scale == 4
    assert np.array_equal(enlarge(read.model, picture), enlarge(network, picture))
