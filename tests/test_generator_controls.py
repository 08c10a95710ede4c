"""A generation's controls on the real `fast` pipeline: true CFG's start, faster, compiled blocks."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers.hooks import apply_group_offloading
from flux_toys import FAST, draw, fast_engine, identity, mean_change, pictures, short_request
from pulid_toys import GraphCounter, attach, build_pipeline, build_transformer, draw_person, one_thread
from pulid_toys import draw as draw_latents
from test_generator_caches import build, calls_of, draw_by

from faceid.flux.fast import config
from faceid.flux.fast.build import build_fast
from faceid.flux.first_block_cache import skip_blocks_from
from faceid.flux.generator import FluxGenerator
from faceid.pulid.adapter import PuLIDAdapter

NEVER_SKIP, SKIP_ALWAYS = 0.0, 1e9
GUIDED = {"true_cfg_scale": 3.0, "negative_prompt": "snow"}


@pytest.fixture
def skipping() -> FluxGenerator:
    return build(skipping_threshold=SKIP_ALWAYS)


@contextmanager
def computed(generator: FluxGenerator) -> Iterator[list]:
    """Grows with every pass in which the second block computes: FirstBlockCache skips all but the first."""
    with calls_of(generator.pipeline.transformer.transformer_blocks[1].attn) as calls:
        yield calls


# --- true CFG's start ---


@pytest.mark.parametrize("person", [{}, identity()], ids=["nobody", "somebody"])
@pytest.mark.parametrize(("start", "second_passes"), [(0.0, 4), (0.25, 3), (0.5, 2), (1.0, 0)])
def test_the_negative_pass_is_computed_from_its_start_on(person, start, second_passes):
    generator = build()
    with computed(generator) as passes:
        draw_by(generator, num_inference_steps=4, true_cfg_start=start, **GUIDED, **person)
    assert len(passes) == 4 + second_passes


@pytest.mark.parametrize("person", [{}, identity()], ids=["nobody", "somebody"])
def test_before_its_start_the_negative_prompt_changes_nothing(person):
    plain = draw(num_inference_steps=4, **person)
    never = draw(num_inference_steps=4, true_cfg_start=1.0, **GUIDED, **person)
    early = draw(num_inference_steps=4, true_cfg_start=0.0, **GUIDED, **person)
    late = draw(num_inference_steps=4, true_cfg_start=0.75, **GUIDED, **person)
    assert np.array_equal(never, plain)
    assert mean_change(late, plain) < mean_change(early, plain)
    assert not np.array_equal(late, plain)


# --- faster ---


@pytest.mark.parametrize(
    ("start", "guided", "passes"),
    [
        (0.0, {}, 1),  # the first step is computed whole, the other three are skipped
        (0.5, {}, 3),  # steps 0 and 1 before the identity, step 2 with it
        (1.0, {}, 4),
        (0.5, GUIDED | {"true_cfg_start": 0.25}, 3 + 2),  # the negative pass at steps 1 and 2
        (0.0, GUIDED | {"true_cfg_start": 0.5}, 1 + 1),  # its own first pass is computed whole
    ],
)
def test_faster_skips_after_the_step_where_the_identity_enters(skipping, start, guided, passes):
    request = short_request(
        num_images=2, num_inference_steps=4, identity_start=start, faster=True, **guided, **identity()
    )
    with computed(skipping) as computed_passes:
        _, second = pictures(skipping.generate(request))
    assert len(computed_passes) == 2 * passes
    assert np.array_equal(second, draw_by(skipping, **{**vars(request), "num_images": 1, "seed": 2}))


def test_faster_without_an_identity_starts_at_once(skipping):
    with computed(skipping) as passes:
        draw_by(skipping, num_inference_steps=4, identity_start=0.5, faster=True)
    assert len(passes) == 1


def test_the_identity_enters_although_everything_is_skipped(skipping):
    late = {"num_inference_steps": 4, "identity_start": 0.5, "faster": True}
    nobody, somebody = draw_by(skipping, **late), draw_by(skipping, **late, **identity())
    assert not np.array_equal(nobody, somebody)


def test_a_threshold_that_never_skips_changes_no_bit():
    request = {"num_inference_steps": 4, "identity_start": 0.25, **GUIDED, **identity()}
    assert np.array_equal(draw_by(build(skipping_threshold=NEVER_SKIP), faster=True, **request), draw(**request))


def test_after_a_faster_picture_the_next_is_as_ever(skipping):
    request = {"num_inference_steps": 4, **identity()}
    before, transformer = draw(**request), skipping.pipeline.transformer
    assert not np.array_equal(draw_by(skipping, faster=True, **request), before)
    assert not transformer.is_cache_enabled
    assert np.array_equal(draw(**request), before)


def test_a_faster_picture_that_was_interrupted_leaves_no_cache(skipping):
    request = {"num_inference_steps": 50, **identity()}
    results = skipping.generate(short_request(faster=True, **request))
    next(results)
    results.close()
    assert not skipping.pipeline.transformer.is_cache_enabled
    with calls_of(skipping.pipeline.transformer.transformer_blocks[1].attn) as passes:
        draw_by(skipping, num_inference_steps=4, **identity())
    assert len(passes) == 4


def test_faster_beside_group_offloading():
    """As latents: the blocks' weights come and go, some blocks are skipped."""
    here, offloaded = attach(build_transformer()), attach(build_transformer())
    apply_group_offloading(
        offloaded.transformer, onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )
    with one_thread():
        assert torch.equal(draw_skipping(offloaded), draw_skipping(here))


def draw_skipping(adapter: PuLIDAdapter) -> torch.Tensor:
    pipeline = build_pipeline(adapter.transformer)
    plain = draw_latents(pipeline)
    with skip_blocks_from(adapter.transformer, 0, SKIP_ALWAYS):
        drawn = draw_person(adapter, pipeline, "a")
    assert torch.equal(draw_latents(pipeline), plain)
    return drawn


# --- compiled blocks ---


def test_compiled_blocks_draw_the_same_and_compile_for_nobody_anew():
    torch.compiler.reset()
    pipeline, adapter, encoder = build_fast()
    generator = FluxGenerator(
        FAST, pipeline, adapter, encoder.unconditional(), max_sequence_length=config.MAX_SEQUENCE_LENGTH
    )
    counter = GraphCounter()
    generator.compile(backend=counter, fullgraph=True)
    guided = {**GUIDED, "true_cfg_start": 0.5}
    assert mean_change(draw_by(generator), draw()) < 0.5
    graphs = counter.graphs
    assert graphs <= 4  # one for each kind of block, and what differs in the first one
    for request in (identity(), identity(0.3, person=2), guided, {**guided, **identity(2.0)}):
        assert mean_change(draw_by(generator, **request), draw(**request)) < 0.5
    faster = {"num_inference_steps": 4, "faster": True, **identity()}
    assert mean_change(draw_by(generator, **faster), draw_by(fast_engine()[0], **faster)) < 0.5
    assert counter.graphs == graphs
    torch.compiler.reset()
