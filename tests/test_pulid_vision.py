"""What the vision tower is shown and what it gives, and the resampler's own check: toy width, timm's real class."""

import numpy as np
import pytest
import skimage.data
import timm
import torch
from parity_recipe import load_shapes, named_tensor
from pulid_toys import one_thread

from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_picture import (
    CLIP_MEAN,
    CLIP_STD,
    HIDDEN,
    LABELS,
    colour_picture,
    masked_grey_picture,
    tower_pixels,
)
from faceid.pulid.vision_tower import EVA02_CLIP, HIDDEN_BLOCKS, VisionTower

HAIR, CLOTH = LABELS.index("hair"), LABELS.index("cloth")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    overrides = {"img_size": 56, "embed_dim": 32, "num_heads": 2, "depth": 3, "num_classes": 24}
    return VisionTower(hidden_blocks=(0, 2), **overrides).eval()


def crop():
    return skimage.data.astronaut()  # NASA, public domain; (512, 512, 3)


def halves(aligned):
    """Left half hair, right half cloth."""
    labels = np.full(aligned.shape[:2], HAIR, np.uint8)
    labels[:, 256:] = CLOTH
    return labels


# --- pictures ---


def test_hidden_labels_are_those_of_the_reference_by_number():
    assert [index for index, name in enumerate(LABELS) if name in HIDDEN] == [0, 7, 8, 9, 14, 15, 16, 18]
    assert len(LABELS) == 19
    assert set(LABELS) >= HIDDEN


def test_masked_picture_is_grey_face_on_white():
    aligned = crop()
    picture = masked_grey_picture(aligned, halves(aligned))
    assert picture.shape == (1, 3, 512, 512)
    assert (picture[..., 256:] == 1).all()
    wanted = torch.from_numpy(aligned[:, :256] / 255 @ np.array([0.299, 0.587, 0.114])).float()
    assert torch.allclose(picture[0, :, :, :256], wanted.expand(3, -1, -1), atol=1e-6)


def test_colour_picture_is_the_crop():
    picture = colour_picture(crop())
    assert np.array_equal((picture[0].permute(1, 2, 0) * 255).round().byte().numpy(), crop())


def test_tower_pixels_are_normalised_by_channel():
    pixels = tower_pixels(torch.ones(1, 3, 512, 512), 56)
    assert pixels.shape == (1, 3, 56, 56)
    wanted = (1 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    assert torch.allclose(pixels.mean((0, 2, 3)), wanted, atol=1e-5)


def test_labels_of_another_size_are_refused():
    with pytest.raises(ValueError, match="labels"):
        masked_grey_picture(crop(), np.full((256, 256), HAIR))


# --- the tower ---


def test_timm_statistics_are_those_used_here():
    config = timm.get_pretrained_cfg(EVA02_CLIP)
    assert config.mean == CLIP_MEAN
    assert config.std == CLIP_STD


def test_original_eva_clip_keys_become_timms():
    with torch.device("meta"):
        trunk = VisionTower().trunk
    original = {
        f"visual.{name}": torch.empty(s, device="meta") for name, s in load_shapes("eva_visual_manifest").items()
    }
    converted = timm.models.eva.checkpoint_filter_fn(original, trunk)
    wanted = {name: weight.shape for name, weight in trunk.state_dict().items()}
    assert {name: weight.shape for name, weight in converted.items()} == wanted
    assert len(wanted) == 512
    assert sum(weight.numel() for weight in trunk.parameters()) == 304_432_832


def test_tower_gives_the_states_that_leave_its_blocks(tower):
    states = []
    handles = [block.register_forward_hook(lambda m, a, out: states.append(out)) for block in tower.trunk.blocks]
    pixels = named_tensor("pixels", (2, 3, 56, 56), "tower")
    features = tower(pixels)
    for handle in handles:
        handle.remove()
    assert [torch.equal(a, b) for a, b in zip(features.hidden_states, (states[0], states[2]))] == [True, True]
    assert features.hidden_states[0].shape == (2, tower.num_tokens, tower.width) == (2, 17, 32)
    assert torch.allclose(features.class_output, tower.trunk(pixels), atol=1e-5)
    assert features.class_output.shape == (2, tower.output_dim)


def test_hidden_blocks_of_pulid():
    assert HIDDEN_BLOCKS == (3, 7, 11, 15, 19)


def test_tower_checkpoint_with_missing_weights_is_refused(tower):
    weights = dict(tower.trunk.state_dict())
    weights.pop("cls_token")
    with pytest.raises(RuntimeError, match="cls_token"):
        VisionTower.from_checkpoint(weights, img_size=56, embed_dim=32, num_heads=2, depth=3, num_classes=24)


# --- the resampler ---


def test_encoder_depth_must_be_shared_evenly():
    with pytest.raises(ValueError, match="4 layers"):
        IdentityEncoder(depth=4)
