"""What a generator keeps of a request, and when it forgets: the same bits, few of them, nothing of a deleted tune."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from flux_toys import FAST, draw, fast_engine, identity, identity_tokens, pictures, short_request

from faceid.domain import WeightedIdentity
from faceid.errors import Unavailable
from faceid.flux import gpu
from faceid.flux.generator import FluxGenerator
from faceid.pulid.identity_cache import IdentityCache

GUIDED = {"true_cfg_scale": 2.0, "negative_prompt": "snow"}


def build(**options) -> FluxGenerator:
    """Another generator over the pipeline that all tests share."""
    shared, _ = fast_engine()
    tokens, length = shared.unconditional_tokens.numpy(), shared.max_sequence_length
    return FluxGenerator(FAST, shared.pipeline, shared.adapter, tokens, max_sequence_length=length, **options)


@pytest.fixture
def generator() -> FluxGenerator:
    return build()


@contextmanager
def calls_of(module: torch.nn.Module) -> Iterator[list]:
    calls = []
    handle = module.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        yield calls
    finally:
        handle.remove()


def draw_by(generator: FluxGenerator, **changes) -> np.ndarray:
    (picture,) = pictures(generator.generate(short_request(**changes)))
    return picture


def encodings(generator: FluxGenerator):
    return calls_of(generator.pipeline.text_encoder_2)


def projections(generator: FluxGenerator):
    return calls_of(generator.pipeline.transformer.pulid_ca[0].to_kv)


def test_kept_and_new_give_the_same_bits(generator):
    requests = [identity(1.0), identity(0.4), identity(1.7, person=2), identity(1.0), {}]
    kept = [draw_by(generator, **GUIDED, **request) for request in requests]
    forgetful = build(prompts_kept=0, identities_kept=0)
    with encodings(forgetful) as encoded, projections(forgetful) as projected:
        for request, picture in zip(requests, kept):
            assert np.array_equal(draw_by(forgetful, **GUIDED, **request), picture)
    assert (len(encoded), len(projected)) == (10, 8)


def test_a_text_is_encoded_once_until_it_is_forgotten(generator):
    with encodings(generator) as encoded:
        draw_by(generator, num_inference_steps=1)
        draw_by(generator, num_inference_steps=1, seed=2)
        assert len(encoded) == 1
        draw_by(generator, num_inference_steps=1, **GUIDED)
        assert len(encoded) == 2
        generator.forget()
        draw_by(generator, num_inference_steps=1)
    assert len(encoded) == 3


def test_an_identity_is_projected_once_whatever_its_strength(generator):
    with projections(generator) as projected:
        draw_by(generator, num_inference_steps=1, **identity(1.0))
        draw_by(generator, num_inference_steps=1, **identity(0.3))
        assert len(projected) == 1
        draw_by(generator, num_inference_steps=1, **GUIDED, **identity(0.5))
        assert len(projected) == 2  # what the encoder makes of zeros
        generator.forget()
        draw_by(generator, num_inference_steps=1, **identity(1.0))
    assert len(projected) == 3


def test_the_number_kept_is_bounded():
    generator = build(prompts_kept=2, identities_kept=2)
    with encodings(generator) as encoded, projections(generator) as projected:
        for person in (1, 2, 3, 2, 3, 1):
            draw_by(generator, num_inference_steps=1, prompt=f"person {person}", **identity(person=person))
    assert (len(encoded), len(projected)) == (4, 4)


def test_tokens_that_differ_in_one_value_are_another_person(generator):
    tokens = identity_tokens(1).copy()
    tokens[0, 3, 7] += 4
    other = {"identities": (WeightedIdentity(tokens),)}
    draw_by(generator, **identity())
    assert not np.array_equal(draw_by(generator, **other), draw_by(generator, **identity()))


def test_tokens_are_told_apart_by_shape_and_type():
    cache = IdentityCache(lambda tokens, device: [(tokens, tokens)], size=8)
    for tokens in (torch.zeros(1, 2, 8), torch.zeros(1, 4, 4), torch.zeros(1, 2, 8, dtype=torch.int32)):
        assert cache.key_values(tokens, tokens.device, torch.float32)[0][0] is tokens
    assert len(cache) == 3
    cache.key_values(torch.zeros(1, 2, 8), torch.device("cpu"), torch.bfloat16)
    assert len(cache) == 4  # the network computes in another dtype now


@pytest.mark.parametrize("size", [0, 4])
def test_what_is_forgotten_while_it_is_drawn_is_not_kept_afterwards(size):
    generator = build(identities_kept=size)
    before = draw(**identity())
    results = generator.generate(short_request(**identity()))
    next(results)
    generator.forget()
    assert np.array_equal(pictures(results)[0], before)
    with encodings(generator) as encoded, projections(generator) as projected:
        draw_by(generator, num_inference_steps=1, **identity())
    assert (len(encoded), len(projected)) == (1, 1)


def test_a_deletion_is_told_to_every_registered_generator(studio, tune, make_studio, restore_registered):
    generator = build()
    gpu.register(generator)
    studio = make_studio(forget=gpu.forget)
    draw_by(generator, num_inference_steps=1, **identity())
    with encodings(generator) as encoded, projections(generator) as projected:
        draw_by(generator, num_inference_steps=1, **identity())
        assert (encoded, projected) == ([], [])
        studio.delete_tune("me", tune.id)
        draw_by(generator, num_inference_steps=1, **identity())
    assert (len(encoded), len(projected)) == (1, 1)


@pytest.mark.parametrize(("keep", "again"), [(True, 0), (False, 1)])
def test_a_worker_that_hears_of_no_deletion_keeps_nothing(generator, keep, again):
    request = short_request(num_inference_steps=1, **identity())
    list(gpu.draw_once(generator, request, keep=keep))
    with encodings(generator) as encoded, projections(generator) as projected:
        list(gpu.draw_once(generator, request, keep=keep))
    assert (len(encoded), len(projected)) == (again, again)


PLACES = {
    "text": lambda pipeline: pipeline.text_encoder_2,
    "identity": lambda pipeline: pipeline.transformer.pulid_ca[-1].to_kv,
    "step": lambda pipeline: pipeline.transformer.single_transformer_blocks[3],
    "decoder": lambda pipeline: pipeline.vae.decoder,
}


@pytest.mark.parametrize(("place", "faster"), [*((place, False) for place in PLACES), ("step", True)])
def test_out_of_memory_is_said_wherever_it_happens_and_the_next_request_works(generator, place, faster):
    request = short_request(num_inference_steps=2, faster=faster, **GUIDED, **identity())
    before = pictures(generator.generate(request))
    generator.forget()

    def run_out(module, args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = PLACES[place](generator.pipeline).register_forward_pre_hook(run_out)
    try:
        with pytest.raises(Unavailable, match="ran out of GPU memory at 64 × 64 px"):
            list(generator.generate(request))
    finally:
        handle.remove()
    with encodings(generator) as encoded, projections(generator) as projected:
        after = pictures(generator.generate(request))
    assert np.array_equal(after[0], before[0])
    assert (len(encoded), len(projected)) == (2, 2)  # nothing stays in a memory that is full
