"""faceid.flux.memory and placement: which rung of the ladder a machine stands on, and what lies where then."""

import pytest
import torch
from diffusers import FluxPipeline
from pulid_toys import one_thread
from tiny_base_models import build_hub_pipeline
from torchao.quantization import Float8Tensor

from faceid.base_models import BASE_MODELS, FLUX_LADDER, find_base_model
from faceid.errors import SetupError
from faceid.flux.fast import config
from faceid.flux.fast.build import seeded
from faceid.flux.memory import choose_rung, free_memory, wanted_memory
from faceid.flux.placement import load_transformer, place_pipeline
from faceid.pulid.adapter import PuLIDAdapter

BF16, FP8, MODEL_OFFLOAD, GROUP_OFFLOAD = FLUX_LADDER
DEV, KREA, SCHNELL = (find_base_model(name) for name in ("flux1-dev", "flux1-krea-dev", "flux1-schnell"))


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.mark.parametrize(
    ("free", "rung"),
    [
        (None, BF16),
        (80.0, BF16),
        (40.0, BF16),
        (39.9, FP8),
        (28.0, FP8),
        (24.0, MODEL_OFFLOAD),
        (17.0, MODEL_OFFLOAD),
        (12.0, GROUP_OFFLOAD),
        (8.0, GROUP_OFFLOAD),
    ],
)
def test_the_rung_of_one_base_model(free, rung):
    assert choose_rung([DEV], free) is rung


@pytest.mark.parametrize(
    ("models", "free", "rung"),
    [
        ([DEV, KREA], 64.9, FP8),
        ([DEV, KREA], 65.0, BF16),
        ([DEV, KREA, SCHNELL], 54.0, FP8),
        ([DEV, KREA], 40.0, MODEL_OFFLOAD),
        ([DEV, KREA, SCHNELL], 8.0, GROUP_OFFLOAD),
    ],
)
def test_further_base_models_add_their_transformers(models, free, rung):
    assert choose_rung(models, free) is rung


def test_too_little_memory_says_how_much_would_do_and_what_runs():
    with pytest.raises(SetupError, match=r"flux1-dev, flux1-schnell: 7\.9 GB .* 8 GB .* FACEID_BASE_MODEL=fast"):
        choose_rung([DEV, SCHNELL], 7.9)


def test_every_ladder_asks_for_less_step_by_step():
    for model in BASE_MODELS:
        assert bool(model.ladder) == model.needs_cuda
        wanted = [wanted_memory([model], step) for step in range(len(model.ladder))]
        assert wanted == sorted(set(wanted), reverse=True)


def test_on_the_cpu_there_is_nothing_to_choose():
    assert free_memory("cpu") is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    with seeded(0):
        build_hub_pipeline().save_pretrained(folder)
    return folder


def load(folder, rung) -> tuple[FluxPipeline, PuLIDAdapter]:
    transformer = load_transformer(folder, rung)
    with seeded(1):
        adapter = PuLIDAdapter(transformer, **config.ADAPTER)
    return FluxPipeline.from_pretrained(folder, transformer=transformer, dtype=torch.bfloat16), adapter


def latents(pipeline, adapter) -> torch.Tensor:
    """What two steps with an identity come to, before the decoder."""
    tokens = torch.randn(1, 32, config.ADAPTER["kv_dim"], generator=torch.Generator().manual_seed(2))
    pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 2, "height": 64, "width": 64, "max_sequence_length": 32, "output_type": "latent"}
    generator = torch.Generator().manual_seed(3)
    with adapter.identity(tokens, device=pipeline._execution_device):
        return pipeline("a woman", generator=generator, **options).images.float()


@pytest.fixture(scope="module")
def fp8_latents(folder):
    pipeline, adapter = load(folder, FP8)
    place_pipeline(pipeline, FP8, "cpu")
    return latents(pipeline, adapter)


def test_float8_is_for_the_blocks_and_never_for_the_identity(folder):
    pipeline, _ = load(folder, FP8)
    weights = dict(pipeline.transformer.named_parameters())
    linear = {f"{name}.weight" for name, part in pipeline.transformer.named_modules() if type(part) is torch.nn.Linear}
    float8 = {name for name, weight in weights.items() if isinstance(weight, Float8Tensor)}
    assert float8 == {name for name in linear if name.startswith(("transformer_blocks.", "single_transformer_blocks."))}
    assert {weight.dtype for name, weight in weights.items() if name not in float8} == {torch.bfloat16}
    assert pipeline.transformer.pulid_ca[0].to_q.weight.dtype == torch.bfloat16
    assert not any(isinstance(weight, Float8Tensor) for weight in pipeline.text_encoder_2.parameters())


def test_float8_draws_nearly_the_same(folder, fp8_latents):
    exact = latents(*load(folder, BF16))
    error = (fp8_latents - exact).norm() / exact.norm()
    assert 0 < error < 0.02


@pytest.mark.parametrize("rung", [MODEL_OFFLOAD, GROUP_OFFLOAD])
def test_offloading_changes_no_number(folder, fp8_latents, rung):
    """The accelerator is the CPU here; the hooks are the real ones."""
    pipeline, adapter = load(folder, rung)
    place_pipeline(pipeline, rung, "cpu")
    for _ in range(2):
        assert torch.equal(latents(pipeline, adapter), fp8_latents)


def test_blocks_come_to_the_device_one_by_one_and_shared_parts_once(folder):
    first, _ = load(folder, GROUP_OFFLOAD)
    second, _ = load(folder, GROUP_OFFLOAD)
    second.register_modules(text_encoder_2=first.text_encoder_2)
    for pipeline in (first, second):
        place_pipeline(pipeline, GROUP_OFFLOAD, "cpu")
        blocks = [*pipeline.transformer.transformer_blocks, *pipeline.transformer.single_transformer_blocks]
        hooks = [block._diffusers_hook.get_hook("group_offloading") for block in blocks]
        assert [hook.group.modules for hook in hooks] == [[block] for block in blocks]
        for name in ("text_encoder", "text_encoder_2", "vae"):
            registries = [getattr(part, "_diffusers_hook", None) for part in pipeline.components[name].modules()]
            assert any(registry and registry.get_hook("group_offloading") for registry in registries)
