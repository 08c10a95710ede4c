"""faceid.flux.generator: order, repetition, interruption and refusal, on the real `fast` pipeline."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from flux_toys import draw, fast_engine, identity, identity_tokens, mean_change, pictures, short_request

from faceid.domain import Picture, StepDone, WeightedIdentity
from faceid.errors import Unavailable

VISIBLE = 4.0  # of 255, the mean change of a channel
DRAWING_THREAD = "draw-fast"


@pytest.fixture
def generator():
    return fast_engine()[0]


@contextmanager
def before_each_pass(generator, act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` with the number (from 1) of every pass through the transformer, before it."""
    count = 0

    def hook(module, args):
        nonlocal count
        count += 1
        act(count)

    handle = generator.pipeline.transformer.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def drawing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == DRAWING_THREAD]


def test_steps_and_pictures_come_in_order(generator):
    results = list(generator.generate(short_request(num_images=3, num_inference_steps=2, seed=40)))
    shape = [tuple(r) if isinstance(r, StepDone) else (r.index, r.seed) for r in results]
    assert shape == [(0, 1, 2), (0, 2, 2), (0, 40), (1, 1, 2), (1, 2, 2), (1, 41), (2, 1, 2), (2, 2, 2), (2, 42)]


def test_pictures_are_rgb_of_the_size_asked(generator):
    *_, picture = generator.generate(short_request(width=96, height=64))
    assert picture.image.mode == "RGB"
    assert picture.image.size == (96, 64)


def test_eight_pictures_all_differ(generator):
    drawn = pictures(generator.generate(short_request(num_images=8, num_inference_steps=1)))
    assert len({picture.tobytes() for picture in drawn}) == 8


def test_the_same_request_gives_the_same_bits():
    request = {**identity(), "true_cfg_scale": 2.0, "negative_prompt": "blurry", "num_inference_steps": 3}
    assert np.array_equal(draw(**request), draw(**request))


def test_picture_i_is_the_picture_of_seed_plus_i(generator):
    drawn = pictures(generator.generate(short_request(num_images=3, seed=7, **identity())))
    for index, picture in enumerate(drawn):
        assert np.array_equal(picture, draw(seed=7 + index, **identity()))


def test_the_seed_after_the_last_one_is_the_first(generator):
    results = generator.generate(short_request(num_images=2, seed=2**32 - 1, num_inference_steps=1))
    assert [r.seed for r in results if isinstance(r, Picture)] == [2**32 - 1, 0]


def test_the_identity_is_visible_and_grows_with_its_strength():
    nobody, faint, somebody = draw(), draw(**identity(0.3)), draw(**identity(1.0))
    assert mean_change(nobody, somebody) > VISIBLE
    assert mean_change(nobody, faint) < mean_change(nobody, somebody)
    assert mean_change(somebody, draw(**identity(person=2))) > VISIBLE / 2


def test_strength_0_is_nobody():
    assert np.array_equal(draw(**identity(0.0)), draw())


def test_nothing_of_an_identity_stays_behind():
    before = draw()
    draw(**identity(3.0))
    assert np.array_equal(draw(), before)


def test_the_identity_starts_at_its_fraction_of_the_steps_in_every_picture(generator):
    late = short_request(num_images=2, num_inference_steps=4, identity_start=0.5, **identity())
    first, second = pictures(generator.generate(late))
    assert np.array_equal(second, draw(seed=2, num_inference_steps=4, identity_start=0.5, **identity()))
    assert not np.array_equal(first, draw(num_inference_steps=4, **identity()))
    never = draw(num_inference_steps=4, identity_start=1.0, **identity())
    assert np.array_equal(never, draw(num_inference_steps=4))


def test_words_change_the_picture():
    assert mean_change(draw(), draw(prompt="pencil sketch of a boy in the night city")) > VISIBLE


def test_the_negative_prompt_counts_with_true_cfg_only(generator):
    plain = draw(num_inference_steps=3)
    assert np.array_equal(draw(num_inference_steps=3, negative_prompt="snow"), plain)
    snow = draw(num_inference_steps=3, negative_prompt="snow", true_cfg_scale=4.0)
    beach = draw(num_inference_steps=3, negative_prompt="pixel art of a beach", true_cfg_scale=4.0)
    assert not np.array_equal(snow, plain)
    assert not np.array_equal(snow, beach)


def test_true_cfg_costs_a_second_pass(generator):
    passes = []
    request = short_request(num_inference_steps=4, true_cfg_scale=4.0, negative_prompt="snow")
    with before_each_pass(generator, passes.append):
        list(generator.generate(request))
    assert len(passes) == 8


@pytest.mark.parametrize("prompt", ["Zoë 在阿尔卑斯山 🏔️ straße", "a" * 4000, "</s> <pad>", "\u200b", " \n "])
def test_any_text_can_be_drawn(prompt):
    assert draw(prompt=prompt, num_inference_steps=1).shape == (64, 64, 3)


def test_a_text_that_is_cut_off_is_not_logged(generator):
    records = []
    recorder = logging.Handler()
    recorder.emit = records.append
    diffusers = logging.getLogger("diffusers.pipelines.flux.pipeline_flux")
    diffusers.addHandler(recorder)
    try:
        draw(prompt="secret " * 300, num_inference_steps=1)
    finally:
        diffusers.removeHandler(recorder)
    assert not any("secret" in record.getMessage() for record in records)


def test_closing_stops_within_a_step_and_ends_the_thread(generator):
    passes = []
    with before_each_pass(generator, passes.append):
        results = generator.generate(short_request(num_images=8, num_inference_steps=50))
        assert next(results) == StepDone(0, 1, 50)
        results.close()
    assert len(passes) <= 2
    assert not drawing_threads()


def test_after_an_interruption_the_next_picture_is_as_ever(generator):
    before = draw(**identity())
    results = generator.generate(short_request(num_inference_steps=50, true_cfg_scale=2.0, **identity(person=2)))
    next(results)
    results.close()
    assert np.array_equal(draw(**identity()), before)


def test_a_generation_never_read_never_starts(generator):
    generator.generate(short_request())
    assert not drawing_threads()
    assert draw().shape == (64, 64, 3)


def test_an_exception_in_the_thread_reaches_the_reader_and_leaves_nothing_behind(generator):
    before = draw()

    def fail(count):
        if count == 2:
            raise ArithmeticError("on purpose")

    with before_each_pass(generator, fail):
        results = generator.generate(short_request(num_inference_steps=4, **identity()))
        assert next(results) == StepDone(0, 1, 4)
        with pytest.raises(ArithmeticError, match="on purpose"):
            next(results)
    assert not drawing_threads()
    assert np.array_equal(draw(), before)


def test_out_of_memory_says_what_to_ask_for_instead(generator):
    def run_out(count):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with before_each_pass(generator, run_out), pytest.raises(Unavailable, match="64 × 64 px") as refusal:
        list(generator.generate(short_request()))
    assert refusal.value.__context__ is None  # its traceback would hold the tensors
    assert draw().shape == (64, 64, 3)


def test_a_pipeline_draws_one_request_at_a_time(generator):
    first = generator.generate(short_request(num_inference_steps=4))
    next(first)
    with pytest.raises(RuntimeError, match="one at a time"):
        next(generator.generate(short_request()))
    first.close()
    assert draw().shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"base_model": "flux1-dev"}, "flux1-dev"),
        ({"width": 100}, "100 × 64"),
        ({"identities": 2}, "2 for one picture"),
    ],
)
def test_a_request_that_should_not_have_come_is_refused(generator, changes, reason):
    if "identities" in changes:
        changes = {"identities": (WeightedIdentity(identity_tokens(1)), WeightedIdentity(identity_tokens(2)))}
    with pytest.raises(ValueError, match=reason):
        next(generator.generate(short_request(**changes)))


def test_the_text_is_embedded_once_for_all_pictures(generator):
    texts = []
    generator.forget()
    handle = generator.pipeline.text_encoder_2.register_forward_pre_hook(lambda module, args: texts.append(args))
    try:
        list(generator.generate(short_request(num_images=3, num_inference_steps=1)))
    finally:
        handle.remove()
    assert len(texts) == 1


def test_the_identity_is_projected_once_for_all_pictures(generator):
    projections = []
    generator.forget()
    projection = generator.pipeline.transformer.pulid_ca[0].to_kv
    handle = projection.register_forward_pre_hook(lambda module, args: projections.append(args))
    try:
        list(generator.generate(short_request(num_images=3, num_inference_steps=2, **identity())))
    finally:
        handle.remove()
    assert len(projections) == 1
