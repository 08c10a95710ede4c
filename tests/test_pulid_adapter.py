"""faceid.pulid.adapter at toy width: what an identity changes, for whom and when."""

import pytest
import torch
from pulid_toys import STEPS, attach, build_pipeline, build_transformer, count_passes, draw, one_thread, person, predict

from faceid.pulid.adapter import identity_blocks


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture
def transformer():
    return build_transformer()


@pytest.fixture
def adapter(transformer):
    return attach(transformer)


@pytest.fixture
def pipeline(adapter):
    return build_pipeline(adapter.transformer)


def close(a, b):
    return torch.allclose(a, b, atol=1e-4, rtol=1e-4)


# --- where and whom ---


def test_blocks_are_every_second_double_and_every_fourth_single(transformer):
    double, single = transformer.transformer_blocks, transformer.single_transformer_blocks
    assert identity_blocks(transformer) == [double[0], double[2], double[4], single[0], single[4], single[8]]


def test_an_identity_changes_the_picture_and_two_people_differ(adapter, pipeline):
    plain = draw(pipeline)
    with adapter.identity(person("a")):
        first = draw(pipeline)
    with adapter.identity(person("b")):
        second = draw(pipeline)
    assert not close(plain, first)
    assert not close(first, second)


def test_a_batch_draws_each_sample_its_own_identity_and_weight(adapter, pipeline):
    both = torch.cat([person("a"), person("b")])
    with adapter.identity(both, weight=[0.5, 1.5]):
        together = draw(pipeline, batch=2)
    for index, (name, weight) in enumerate((("a", 0.5), ("b", 1.5))):
        alone = torch.cat([person(name)] * 2)
        with adapter.identity(alone, weight=weight):
            assert close(together[index], draw(pipeline, batch=2)[index])


def test_one_identity_serves_a_whole_batch_with_a_weight_each(adapter, pipeline):
    with adapter.identity(person("a"), weight=torch.tensor([0.5, 1.5])):
        shared = draw(pipeline, batch=2)
    with adapter.identity(torch.cat([person("a")] * 2), weight=[0.5, 1.5]):
        assert close(shared, draw(pipeline, batch=2))


def test_weight_zero_is_the_plain_picture(adapter, pipeline):
    plain = draw(pipeline)
    with adapter.identity(person("a"), weight=0):
        assert close(plain, draw(pipeline))


def test_two_visitors_one_after_the_other_never_mix(adapter, pipeline):
    alone = {}
    for name in "ab":
        fresh = attach(build_transformer())
        with fresh.identity(person(name), person(f"not {name}"), start_cfg=1):
            alone[name] = draw(build_pipeline(fresh.transformer), true_cfg=3)
    for name in "abba":
        with adapter.identity(person(name), person(f"not {name}"), start_cfg=1):
            assert torch.equal(draw(pipeline, true_cfg=3), alone[name])


def test_several_pictures_of_one_generation_each_start_at_step_zero(adapter, pipeline):
    with adapter.identity(person("a"), person("nobody"), start_step=2, start_cfg=1):
        assert torch.equal(draw(pipeline, true_cfg=3), draw(pipeline, true_cfg=3))


# --- when ---


def latents_by_step(pipeline):
    steps = []
    draw(pipeline, on_step=lambda pipe, step, time, state: steps.append(state["latents"].clone()) or {})
    return steps


@pytest.mark.parametrize("start_step", [0, 1, 3])
def test_the_identity_joins_at_its_start_step(adapter, pipeline, start_step):
    plain = latents_by_step(pipeline)
    with adapter.identity(person("a"), start_step=start_step):
        with_identity = latents_by_step(pipeline)
    same = [torch.equal(a, b) for a, b in zip(plain, with_identity)]
    assert same == [step < start_step for step in range(STEPS)]


def test_a_start_after_the_last_step_is_the_plain_picture(adapter, pipeline):
    plain = draw(pipeline)
    with adapter.identity(person("a"), start_step=STEPS):
        assert torch.equal(draw(pipeline), plain)


def test_a_step_index_from_the_pipeline_is_believed(adapter, transformer):
    with adapter.identity(person("a")):
        wanted = predict(transformer)
    with adapter.identity(person("a"), start_step=2):
        with transformer.cache_context("cond", step_index=1):
            assert not torch.equal(predict(transformer), wanted)
        with transformer.cache_context("cond", step_index=2):
            assert torch.equal(predict(transformer), wanted)


def test_calls_without_a_context_draw_the_identity_from_step_zero_only(adapter, transformer):
    plain = predict(transformer)
    with adapter.identity(person("a")):
        assert not torch.equal(predict(transformer), plain)
    with adapter.identity(person("a"), start_step=1):
        assert torch.equal(predict(transformer), plain)
    assert torch.equal(predict(transformer), plain)


# --- true CFG ---


def test_the_negative_pass_has_tokens_of_its_own(adapter, transformer):
    plain = predict(transformer)
    with adapter.identity(person("nobody")):
        nobody = predict(transformer)
    with adapter.identity(person("a"), person("nobody")), transformer.cache_context("cond"):
        predict(transformer)
        with transformer.cache_context("uncond"):
            assert torch.equal(predict(transformer), nobody)
    with adapter.identity(person("a")), transformer.cache_context("uncond"):
        assert torch.equal(predict(transformer), plain)


def test_true_cfg_begins_at_its_start_step_and_saves_the_passes_before(adapter, pipeline):
    passes = count_passes(pipeline.transformer)
    with adapter.identity(person("a"), person("nobody")):
        without_guidance = latents_by_step(pipeline)
        passes.clear()
        draw(pipeline, true_cfg=3)
    assert len(passes) == 2 * STEPS
    steps = []
    passes.clear()
    with adapter.identity(person("a"), person("nobody"), start_cfg=2):
        draw(
            pipeline,
            true_cfg=3,
            on_step=lambda pipe, step, time, state: steps.append(state["latents"].clone()) or {},
        )
    assert len(passes) == 2 * STEPS - 2
    assert [torch.equal(a, b) for a, b in zip(without_guidance, steps)] == [True, True, False, False]


def test_true_cfg_of_a_plain_picture_is_not_gated(adapter, pipeline):
    plain = draw(pipeline, true_cfg=3)
    with adapter.identity(person("a"), person("nobody"), start_cfg=STEPS):
        draw(pipeline, true_cfg=3)
    passes = count_passes(pipeline.transformer)
    assert torch.equal(draw(pipeline, true_cfg=3), plain)
    assert len(passes) == 2 * STEPS
