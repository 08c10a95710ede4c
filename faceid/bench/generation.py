"""What a whole generation costs at `fast`'s width: the denoise loop, what is kept between requests, skipped blocks.

Times are CPU seconds on one thread, which other processes disturb less than those of the clock on the wall.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from diffusers import FluxPipeline

from faceid.base_models import find_base_model
from faceid.bench.figures import Measurement
from faceid.bench.timing import time_in_turn
from faceid.domain import GenerationRequest, Picture, WeightedIdentity
from faceid.flux.fast import config
from faceid.flux.fast.build import build_fast, build_pipeline, seeded
from faceid.flux.first_block_cache import THRESHOLD
from faceid.flux.generator import FluxGenerator

ROUNDS = 5
STEPS = 8
SMALLEST = 16  # px
IDENTITY_TOKENS = 32
PROMPT = "photo of a woman in the alps"


def measure_loop(rounds: int = ROUNDS, steps: int = STEPS) -> Measurement:
    """The seconds of a denoise loop with an identity over those of a FluxPipeline that PuLID never touched."""
    pipeline, adapter, encoder = build_fast()
    with seeded(0):
        stock = build_pipeline()
    stock.set_progress_bar_config(disable=True)
    pipeline.set_progress_bar_config(disable=True)
    texts = dict(zip(("prompt_embeds", "pooled_prompt_embeds"), _embed(pipeline)))
    side = find_base_model("fast").native_side
    options = {"num_inference_steps": steps, "height": side, "width": side, "output_type": "latent", **texts}

    def draw_somebody() -> None:
        with torch.no_grad(), adapter.identity(torch.from_numpy(encoder.unconditional())):
            pipeline(**options)

    with_identity, plain = time_works_in_turn([draw_somebody, lambda: stock(**options)], rounds)
    return Measurement(
        with_identity / plain,
        f"`fast`'s transformer, {side} × {side} px, {steps} steps to latents, the identity projected each time: "
        f"{with_identity:.3f} s, diffusers' own FluxPipeline of the same size {plain:.3f} s; medians of {rounds} in "
        "turn",
    )


def measure_kept(rounds: int = ROUNDS) -> Measurement:
    """The seconds of a request whose prompt and identity are kept over those of one where nothing is kept."""
    keeping, request = build_generator(), build_request(steps=1, side=SMALLEST)
    forgetting = build_generator(prompts_kept=0, identities_kept=0)
    kept, anew = time_works_in_turn([lambda: draw(keeping, request), lambda: draw(forgetting, request)], rounds)
    same = np.array_equal(draw(keeping, request), draw(forgetting, request))
    return Measurement(
        kept / anew,
        f"`fast`, {SMALLEST} × {SMALLEST} px, 1 step, so that little else is done: {kept * 1000:.1f} ms with prompt "
        "and identity kept from the request before, "
        f"{anew * 1000:.1f} ms without; {'the same bits' if same else 'NOT the same picture'}; medians of {rounds} in "
        "turn. At this width both are small; T5-XXL's pass and 336 MB of weights are what is saved for Flux",
    )


def measure_faster(rounds: int = ROUNDS, steps: int = 28) -> Measurement:
    """The seconds of a picture with FirstBlockCache over those without, and what it does to the picture."""
    generator = build_generator()
    plain, faster = build_request(steps=steps), build_request(steps=steps, faster=True)
    on, off = time_works_in_turn([lambda: draw(generator, faster), lambda: draw(generator, plain)], rounds)
    with counting_passes(generator) as whole:
        change = np.abs(draw(generator, faster) - draw(generator, plain)).mean()
    return Measurement(
        on / off,
        f"`fast` with an identity, {steps} steps: {on:.3f} s with, {off:.3f} s without; {len(whole) - steps} of "
        f"{steps} steps computed whole, threshold {THRESHOLD}; the picture's mean change is "
        f"{change:.2f} of 255; medians of {rounds} in turn",
    )


def time_works_in_turn(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The median CPU seconds of each of `works` on one thread, in turn: A B A B …; one round before is not counted."""
    chosen: list[Callable[[], object]] = []

    @contextmanager
    def choosing(work: Callable[[], object]) -> Iterator[None]:
        chosen[:] = [work]
        yield

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return time_in_turn(lambda: chosen[0](), [partial(choosing, work) for work in works], rounds, time.process_time)
    finally:
        torch.set_num_threads(threads)


def build_generator(**options: int) -> FluxGenerator:
    """`fast` by itself; `options` are the generator's."""
    pipeline, adapter, encoder = build_fast()
    return FluxGenerator(
        find_base_model("fast"),
        pipeline,
        adapter,
        encoder.unconditional(),
        max_sequence_length=config.MAX_SEQUENCE_LENGTH,
        **options,
    )


def build_request(*, steps: int, side: int | None = None, faster: bool = False) -> GenerationRequest:
    """One picture of `fast`'s own size (px), or of `side`'s, with an identity of random tokens, always the same."""
    model = find_base_model("fast")
    tokens = np.random.default_rng(0).standard_normal((1, IDENTITY_TOKENS, config.ADAPTER["kv_dim"])).astype(np.float16)
    return GenerationRequest(
        base_model=model.slug,
        prompt=PROMPT,
        seed=1,
        num_images=1,
        num_inference_steps=steps,
        guidance_scale=model.default_guidance,
        width=side or model.native_side,
        height=side or model.native_side,
        identities=(WeightedIdentity(tokens),),
        faster=faster,
    )


def draw(generator: FluxGenerator, request: GenerationRequest) -> np.ndarray:
    """The one picture of `request`, (height, width, 3) int16."""
    (picture,) = [result for result in generator.generate(request) if isinstance(result, Picture)]
    return np.asarray(picture.image).astype(np.int16)


@contextmanager
def counting_passes(generator: FluxGenerator) -> Iterator[list[None]]:
    """Grows by one with every pass whose last block computes: with FirstBlockCache, one that was not skipped."""
    passes: list[None] = []
    last = generator.pipeline.transformer.single_transformer_blocks[-1].attn
    handle = last.register_forward_hook(lambda *_: passes.append(None))
    try:
        yield passes
    finally:
        handle.remove()


@torch.no_grad()
def _embed(pipeline: FluxPipeline) -> tuple[torch.Tensor, torch.Tensor]:
    sequence, pooled, _ = pipeline.encode_prompt(PROMPT, max_sequence_length=config.MAX_SEQUENCE_LENGTH)
    return sequence, pooled
