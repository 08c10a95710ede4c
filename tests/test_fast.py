"""faceid.flux.fast: a real FluxPipeline with PuLID at toy width: the same from a seed, quick, open to any text."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from flux_toys import FAST, draw, fast_engine, identity, pictures, short_request
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from faceid.base_models import PULID_FAST
from faceid.domain import Face
from faceid.flux.fast import config
from faceid.flux.fast.build import build_fast
from faceid.flux.fast.tokenizers import END, PAD, SPECIAL_TOKENS, START, build_tokenizer, load_words, vocabulary
from faceid.sizes import drawn_size

CPU_SECONDS = 1.5  # of one core, for 8 steps at its own size


def weights(seed: int) -> dict[str, torch.Tensor]:
    pipeline, _, _ = build_fast(seed, weights=None)
    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    return {f"{name}.{key}": value for name, part in networks.items() for key, value in part.state_dict().items()}


def some_face(**changes) -> Face:
    aligned = np.arange(512 * 512 * 3, dtype=np.uint32).astype(np.uint8).reshape(512, 512, 3)
    face = Face(
        photo="pattern.png",
        face_pack="offline",
        box=(0, 0, 512, 512),
        landmarks=np.zeros((5, 2), np.float32),
        score=1.0,
        embedding=np.ones(128, np.float32),
        aligned=aligned,
        thumbnail=b"",
    )
    return replace(face, **changes)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = weights(0), weights(0), weights(1)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["transformer.proj_out.weight"], other["transformer.proj_out.weight"])
    assert "transformer.pulid_ca.0.to_q.weight" in first


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_fast()
    assert torch.equal(torch.rand(3), expected)


def test_it_is_a_flux_pipeline_on_the_cpu_that_does_not_train():
    pipeline = fast_engine()[0].pipeline
    assert isinstance(pipeline, FluxPipeline)
    assert pipeline.device == torch.device("cpu")
    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    assert len(networks) == 4
    assert not any(part.training or any(p.requires_grad for p in part.parameters()) for part in networks)


def test_it_draws_at_its_own_size():
    width, height = drawn_size(FAST)
    assert draw(width=width, height=height, num_inference_steps=1).shape == (height, width, 3)


def test_eight_steps_take_less_than_a_second_and_a_half():
    generator, _ = fast_engine()
    width, height = drawn_size(FAST)
    request = short_request(num_inference_steps=8, width=width, height=height, **identity())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # processor time of one core: other processes do not count
    try:
        draw(num_inference_steps=1)
        start = time.process_time()
        assert len(pictures(generator.generate(request))) == 1
        assert time.process_time() - start < CPU_SECONDS
    finally:
        torch.set_num_threads(threads)


def test_its_identity_key_names_adapter_weights_and_face_pack():
    _, _, encoder = build_fast(face_pack="offline")
    assert encoder.key == (f"{PULID_FAST}@{config.WEIGHTS_REVISION}", "offline")


def test_faces_become_tokens_of_the_adapter_s_width():
    _, encoder = fast_engine()
    tokens = encoder.encode([some_face()])
    assert tokens.shape == (1, config.IDENTITY_ENCODER["num_queries"], config.ADAPTER["kv_dim"])
    assert tokens.dtype == np.float16
    assert np.isfinite(tokens).all()
    assert encoder.unconditional().shape == tokens.shape


def test_no_input_of_fast_comes_from_the_judge():
    _, encoder = fast_engine()
    expected = encoder.encode([some_face()])
    other = some_face(embedding=np.full(512, 9, np.float32), face_pack="another")
    assert np.array_equal(encoder.encode([other]), expected)


def test_tokens_see_colour():
    _, encoder = fast_engine()
    face = some_face()
    swapped = replace(face, aligned=np.ascontiguousarray(face.aligned[..., ::-1]))
    assert not np.array_equal(encoder.encode([face]), encoder.encode([swapped]))


def test_the_special_tokens_stand_where_the_text_encoders_expect_them():
    assert tuple(piece for piece, _ in vocabulary()[:4]) == SPECIAL_TOKENS
    tokenizer = build_tokenizer(77, start=True)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)  # CLIP pools at the first end; 2: elsewhere
    pipeline = fast_engine()[0].pipeline
    assert pipeline.text_encoder.config.eos_token_id == pipeline.tokenizer.eos_token_id == 1
    assert pipeline.text_encoder_2.config.vocab_size == len(pipeline.tokenizer_2) == len(vocabulary())


def test_a_caption_costs_one_token_a_word():
    tokens = build_tokenizer(77, start=True).tokenize("Sepia photo of a woman, trekking (blue hour)")
    assert tokens == ["▁sepia", "▁photo", "▁of", "▁a", "▁woman", "▁,", "▁trekking", "▁(", "▁blue", "▁hour", "▁)"]


@pytest.mark.parametrize("word", ["pencil", "sketch", "pixel", "warm", "blue", "alps", "forest", "man", "person"])
def test_the_caption_grammar_is_in_the_vocabulary(word):
    assert word in load_words()


@pytest.mark.parametrize("start", [True, False])
def test_texts_end_with_the_end(start):
    tokenizer = build_tokenizer(16, start=start)
    ids = tokenizer("a photo", padding="max_length", max_length=8).input_ids
    beginning = [START] if start else []
    expected = [*beginning, "▁a", "▁photo", END]
    assert tokenizer.convert_ids_to_tokens(ids) == expected + [PAD] * (8 - len(expected))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_without_an_unknown_token(text):
    tokenizer = fast_engine()[0].pipeline.tokenizer_2
    ids = tokenizer(text).input_ids
    assert ids[-1] == tokenizer.eos_token_id
    assert not set(ids[:-1]) & {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
