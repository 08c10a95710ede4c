"""faceid.finishing.face_correct: spandrel's GFPGAN at toy width, on a real face."""

import numpy as np
import pytest
import torch
from PIL import Image
from spandrel.architectures.GFPGAN import GFPGAN
from torch import nn

from faceid.faces.finder import FaceFinder
from faceid.finishing.face_correct import FaceCorrect


class Inverts(nn.Module):
    """A network with GFPGAN's call: it gives the negative back, and keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[torch.Tensor] = []

    def forward(self, pixels, return_rgb, randomize_noise):
        self.seen.append(pixels)
        return -pixels, []


@pytest.fixture(scope="module")
def photo(astronaut_path) -> Image.Image:
    return Image.open(astronaut_path).convert("RGB")


@pytest.fixture(scope="module")
def faces(photo, face_pack):
    return FaceFinder(face_pack)(np.asarray(photo))


def nose(picture: Image.Image, faces) -> np.ndarray:
    x, y = faces[0].landmarks[2].round().astype(int)
    return np.asarray(picture)[y, x].astype(int)


def test_the_network_gets_the_aligned_face_in_its_range(photo, faces):
    network = Inverts()
    FaceCorrect(network)(photo, faces, 1.0)
    (crop,) = network.seen
    assert crop.shape == (1, 3, 512, 512)
    assert -1 <= crop.min() < -0.9
    assert 0.5 < crop.max() <= 1


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_it_is_blended_by_its_strength(photo, faces, strength):
    corrected = FaceCorrect(Inverts())(photo, faces, strength)
    expected = (1 - strength) * nose(photo, faces) + strength * (255 - nose(photo, faces))
    assert np.abs(nose(corrected, faces) - expected).max() <= 6  # interpolated


def test_every_face_is_told(photo, faces):
    told = []
    FaceCorrect(Inverts())(photo, [*faces, *faces], 0.5, lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_gfpgan_itself_gives_the_same_face_each_time(photo, faces):
    torch.manual_seed(0)
    correct = FaceCorrect(
        GFPGAN(
            out_size=512,
            num_style_feat=32,
            channel_multiplier=1,
            num_mlp=1,
            input_is_latent=True,
            different_w=True,
            narrow=0.0625,
            sft_half=True,
        )
    )
    one, other = (np.asarray(correct(photo, faces, 1.0)) for _ in range(2))
    assert np.array_equal(one, other)
    assert (one != np.asarray(photo)).any()
