"""The real sizes, on the device `meta`: keys and shapes of every network, and whether the memory ladder adds up."""

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from parity_recipe import load_shapes
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from faceid.base_models import ADAPTER_WEIGHTS, BASE_MODELS, FLUX_LADDER, PULID_FLUX
from faceid.flux.placement import PRECISE_LAYERS
from faceid.pulid import weights
from faceid.pulid.adapter import PuLIDAdapter, identity_blocks
from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.vision_tower import VisionTower

GB = 10**9
ACTIVATIONS = 4  # GB for a picture of 1024 px: a guess until it is measured
SIDE = 64  # tokens of a 1024 px picture
# config.json of the components in black-forest-labs/FLUX.1-dev
T5_XXL = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 16,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


def build_flux(*, guidance_embeds: bool) -> FluxTransformer2DModel:
    """FLUX.1 [dev] or, without a guidance embedding, [schnell]: diffusers' defaults are its sizes."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            return FluxTransformer2DModel(guidance_embeds=guidance_embeds).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(default)


def count(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.fixture(scope="module")
def dev():
    return build_flux(guidance_embeds=True)


@pytest.fixture(scope="module")
def adapter_state():
    """What the published file holds for the cross-attentions, without numbers."""
    shapes = load_shapes("pulid_flux_manifest")
    with torch.device("meta"):
        checkpoint = {name: torch.empty(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    return weights.split_checkpoint(checkpoint)[1]


@pytest.fixture(scope="module")
def adapter(dev, adapter_state):
    dev.x_embedder.to_empty(device="cpu")  # a transformer whose first layer is on meta counts as offloaded
    adapter = PuLIDAdapter(dev, adapter_state)
    dev.x_embedder.to_empty(device="meta")
    return adapter


def test_flux_has_its_known_size(dev):
    assert sum(weight.numel() for name, weight in dev.named_parameters() if "pulid" not in name) == 11_901_408_320
    schnell = build_flux(guidance_embeds=False)
    assert count(schnell) == 11_891_178_560
    of_dev = {name for name in dev.state_dict() if "pulid" not in name}
    assert of_dev - set(schnell.state_dict()) == {
        f"time_text_embed.guidance_embedder.linear_{layer}.{kind}" for layer in (1, 2) for kind in ("weight", "bias")
    }


def test_the_published_cross_attentions_fit_flux_block_by_block(adapter, adapter_state):
    transformer = adapter.transformer
    assert len(identity_blocks(transformer)) == len(transformer.pulid_ca) == 20
    got = {name: tuple(weight.shape) for name, weight in transformer.pulid_ca.state_dict().items()}
    assert got == {name: tuple(weight.shape) for name, weight in adapter_state.items()}
    assert {weight.dtype for weight in transformer.pulid_ca.parameters()} == {torch.bfloat16}


@torch.no_grad()
def test_from_pixels_to_a_step_of_flux(adapter):
    """Every shape between a face's 336 px and the prediction for a picture of 1024 px."""
    with torch.device("meta"):
        tower, encoder = VisionTower(), IdentityEncoder()
        features = tower(torch.empty(1, 3, 336, 336))
        arcface = torch.empty(1, 512)
        tokens = encoder(torch.cat([arcface, features.class_output], dim=-1), features.hidden_states)
        assert tokens.shape == (1, 32, 2048)
        options = {"dtype": torch.bfloat16}
        with adapter.identity(tokens):
            prediction = adapter.transformer(
                hidden_states=torch.empty(1, SIDE * SIDE, 64, **options),
                encoder_hidden_states=torch.empty(1, 512, 4096, **options),
                pooled_projections=torch.empty(1, 768, **options),
                timestep=torch.empty(1, **options),
                guidance=torch.empty(1, **options),
                img_ids=torch.empty(SIDE * SIDE, 3),
                txt_ids=torch.empty(512, 3),
                return_dict=False,
            )[0]
    assert prediction.shape == (1, SIDE * SIDE, 64)


def test_the_memory_ladder_adds_up(adapter):
    """Each rung wants at least its weights and what a picture takes; not so much more that a card lies idle."""
    transformer = adapter.transformer
    identity = 2 * count(transformer.pulid_ca) / GB
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    parts = [part for block in blocks for part in block.modules() if isinstance(part, torch.nn.Linear)]
    linear = sum(part.weight.numel() for part in parts) / GB
    bf16 = 2 * (count(transformer) / GB) - identity
    fp8 = bf16 - linear
    with torch.device("meta"):
        t5 = T5EncoderModel(T5Config(**T5_XXL, feed_forward_proj="gated-gelu", is_encoder_decoder=False))
        shared = 2 * (count(t5) + count(CLIPTextModel(CLIPTextConfig(**CLIP_L))) + count(AutoencoderKL(**VAE))) / GB
    largest_block = max(count(block) for block in blocks) / GB
    wanted = [
        bf16 + identity + shared,
        fp8 + identity + shared,
        fp8 + identity,
        identity + largest_block,
    ]
    for rung, weights_gb in zip(FLUX_LADDER, wanted):
        assert weights_gb + ACTIVATIONS <= rung.free <= weights_gb + ACTIVATIONS + 3.2, rung.name
    assert bf16 + identity <= FLUX_LADDER[0].further
    assert fp8 + identity <= FLUX_LADDER[1].further
    for model in BASE_MODELS:
        if model.repo:
            assert model.download_gb == pytest.approx(bf16 + shared, abs=0.5)
            assert model.shared_gb == pytest.approx(shared, abs=0.5)


def test_float8_spares_only_what_is_small(dev):
    names = {name for name, part in dev.named_modules() if isinstance(part, torch.nn.Linear) and "pulid" not in name}
    spared = {
        name
        for name in names
        if any(f"{layer}." in f"{name}.weight" or layer == f"{name}.weight" for layer in PRECISE_LAYERS)
    }
    assert spared == {name for name in names if "transformer_blocks." not in name}
    assert sum(dev.get_submodule(name).weight.numel() for name in spared) < 0.01 * count(dev)


def test_the_adapter_weighs_what_the_gallery_says():
    pulid, _ = ADAPTER_WEIGHTS[PULID_FLUX]
    assert pulid.gb == pytest.approx(2 * 571_033_600 / GB, abs=0.01)
