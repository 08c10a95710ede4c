"""PuLID beside what else is put on a Flux: FirstBlockCache, offloading, LoRA, fused QKV. Toy width."""

from functools import partial

import accelerate
import pytest
import torch
from accelerate.hooks import remove_hook_from_module
from diffusers.hooks import FirstBlockCacheConfig, apply_group_offloading
from parity_recipe import named_tensor
from pulid_toys import (
    STEPS,
    attach,
    build_pipeline,
    build_transformer,
    close,
    count_passes,
    draw,
    draw_person,
    one_thread,
    person,
    predict,
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def adapter():
    return attach(build_transformer())


@pytest.fixture
def transformer(adapter):
    return adapter.transformer


@pytest.fixture
def pipeline(transformer):
    return build_pipeline(transformer)


@pytest.fixture(scope="module")
def drawn():
    """What an untouched transformer draws: plain, and person a with true CFG from step 1."""
    adapter = attach(build_transformer())
    pipeline = build_pipeline(adapter.transformer)
    plain = draw(pipeline)
    return {"plain": plain, "a": draw_person(adapter, pipeline, "a"), "b": draw_person(adapter, pipeline, "b")}


# --- FirstBlockCache ---

NEVER_SKIP, SKIP_ALWAYS = 0.0, 1e9


def test_first_block_cache_that_never_skips_changes_nothing(adapter, transformer, pipeline, drawn):
    transformer.enable_cache(FirstBlockCacheConfig(threshold=NEVER_SKIP))
    assert torch.equal(draw_person(adapter, pipeline, "a"), drawn["a"])


def test_first_block_cache_runs_no_cross_attention_on_skipped_blocks(adapter, transformer, pipeline):
    transformer.enable_cache(FirstBlockCacheConfig(threshold=SKIP_ALWAYS))
    calls = [0] * 6
    for index, cross_attention in enumerate(transformer.pulid_ca):

        def count(module, args, output, index):
            calls[index] += 1

        cross_attention.register_forward_hook(partial(count, index=index))
    with adapter.identity(person("a")):
        draw(pipeline)
    assert calls == [STEPS, 1, 1, 1, 1, 1]  # after step 1 only the first block computes


def test_first_block_cache_skipping_adds_what_the_skipped_blocks_did(adapter, transformer):
    """Step 2 repeats step 1 exactly, so skipping must give the same prediction; an identity added twice would not."""
    transformer.enable_cache(FirstBlockCacheConfig(threshold=SKIP_ALWAYS))
    passes = []
    transformer.single_transformer_blocks[3].attn.register_forward_hook(lambda *_: passes.append(1))
    with adapter.identity(person("a")):
        predictions = []
        for _ in range(2):
            with transformer.cache_context("cond"):
                predictions.append(predict(transformer))
    assert len(passes) == 1
    assert close(*predictions, tolerance=1e-3)


def test_first_block_cache_keeps_nothing_of_a_visitor_after_an_exception(adapter, transformer, pipeline):
    transformer.enable_cache(FirstBlockCacheConfig(threshold=SKIP_ALWAYS))
    plain = draw(pipeline)

    def interrupt(pipe, step, timestep, state):
        raise InterruptedError

    with pytest.raises(InterruptedError), adapter.identity(person("a")):
        draw(pipeline, on_step=interrupt)
    assert torch.equal(draw(pipeline), plain)


def test_an_identity_takes_nothing_from_a_plain_picture_that_failed(adapter, transformer, pipeline):
    transformer.enable_cache(FirstBlockCacheConfig(threshold=SKIP_ALWAYS))
    wanted = draw_person(adapter, pipeline, "a")

    def interrupt(pipe, step, timestep, state):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        draw(pipeline, on_step=interrupt)
    assert torch.equal(draw_person(adapter, pipeline, "a"), wanted)


def test_a_cache_must_come_after_the_adapter_and_leave_before_it(adapter, transformer, drawn):
    transformer.enable_cache(FirstBlockCacheConfig(threshold=NEVER_SKIP))
    with pytest.raises(RuntimeError, match="disable_cache"):
        adapter.detach()
    transformer.disable_cache()
    adapter.detach()
    assert torch.equal(draw(build_pipeline(transformer)), drawn["plain"])
    transformer.enable_cache(FirstBlockCacheConfig(threshold=NEVER_SKIP))
    with pytest.raises(RuntimeError, match="attach PuLID first"):
        attach(transformer)


# --- offloading; the accelerator is the CPU here, the hooks are the real ones ---


def test_model_offload_follows_and_the_gate_outlives_its_renewal(adapter, transformer, pipeline, drawn):
    """enable_model_cpu_offload is cpu_offload_with_hook per model, and taken off and put on again after every call."""
    for name in "ab":
        accelerate.cpu_offload_with_hook(transformer, execution_device="cpu")
        passes = count_passes(transformer)
        assert torch.equal(draw_person(adapter, pipeline, name), drawn[name])
        assert len(passes) == 2 * STEPS - 1
        with pytest.raises(RuntimeError, match="remove_all_hooks"):
            adapter.detach()
        remove_hook_from_module(transformer, recurse=True)
    adapter.detach()
    assert torch.equal(draw(pipeline), drawn["plain"])


def test_sequential_offload_with_weights_on_meta(adapter, transformer, pipeline, drawn):
    accelerate.cpu_offload(transformer, execution_device=torch.device("cpu"))
    accelerate.cpu_offload(pipeline.vae, execution_device=torch.device("cpu"))
    assert transformer.pulid_ca[0].to_q.weight.is_meta
    assert torch.equal(draw_person(adapter, pipeline, "a"), drawn["a"])
    assert torch.equal(draw(pipeline), drawn["plain"])


@pytest.mark.parametrize(
    "options", [{"offload_type": "leaf_level"}, {"offload_type": "block_level", "num_blocks_per_group": 1}]
)
def test_group_offload(adapter, transformer, pipeline, drawn, options):
    apply_group_offloading(transformer, onload_device=torch.device("cpu"), **options)
    assert torch.equal(draw_person(adapter, pipeline, "a"), drawn["a"])
    assert torch.equal(draw(pipeline), drawn["plain"])


def test_offloading_must_come_after_the_adapter():
    transformer = build_transformer()
    accelerate.cpu_offload_with_hook(transformer, execution_device="cpu")
    with pytest.raises(RuntimeError, match="attach PuLID first"):
        attach(transformer)
    transformer = build_transformer()
    apply_group_offloading(
        transformer, onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )
    with pytest.raises(RuntimeError, match="attach PuLID first"):
        attach(transformer)


# --- LoRA, fused QKV, layerwise casting ---


def lora_weights():
    """A rank-2 LoRA on attention layers of blocks with and without an identity."""
    weights = {}
    for block in ("transformer_blocks.0", "transformer_blocks.1", "single_transformer_blocks.4"):
        for layer in ("to_q", "to_v"):
            name = f"transformer.{block}.attn.{layer}"
            weights[f"{name}.lora_A.weight"] = named_tensor(f"{name}.A", (2, 48), "lora")
            weights[f"{name}.lora_B.weight"] = named_tensor(f"{name}.B", (48, 2), "lora")
    return weights


def test_lora_loaded_before_and_after_attaching_draws_the_same(drawn):
    before = build_transformer()
    before.load_lora_adapter(lora_weights(), prefix="transformer")
    after = build_transformer()
    drawings = []
    for transformer, load_later in ((before, False), (after, True)):
        adapter = attach(transformer)
        if load_later:
            transformer.load_lora_adapter(lora_weights(), prefix="transformer")
        drawings.append(draw_person(adapter, build_pipeline(transformer), "a"))
        assert not any("lora" in name for name, _ in transformer.pulid_ca.named_modules())
    assert torch.equal(*drawings)
    assert not close(drawings[0], drawn["a"])


def test_lora_unloaded_leaves_the_identity(adapter, transformer, pipeline, drawn):
    transformer.load_lora_adapter(lora_weights(), prefix="transformer")
    transformer.unload_lora()
    assert torch.equal(draw_person(adapter, pipeline, "a"), drawn["a"])


def test_fused_qkv(adapter, transformer, pipeline, drawn):
    transformer.fuse_qkv_projections()
    assert close(draw_person(adapter, pipeline, "a"), drawn["a"])
    transformer.unfuse_qkv_projections()
    assert close(draw_person(adapter, pipeline, "a"), drawn["a"])


def test_layerwise_casting_stores_the_cross_attentions_small_too(adapter, transformer, pipeline, drawn):
    transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    assert transformer.pulid_ca[0].to_q.weight.dtype == torch.float8_e4m3fn
    plain = draw(pipeline)
    with_identity = draw_person(adapter, pipeline, "a")
    assert torch.isfinite(with_identity).all()
    assert (with_identity - drawn["a"]).abs().mean() < 0.5 * (with_identity - plain).abs().mean()
