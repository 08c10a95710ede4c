"""What the identity adds to a denoiser step: Flux's own block width, few blocks, random weights.

Why three blocks speak for 57: Flux has 19 double and 38 single blocks, one to two, and each kind costs the same all
along. PuLID joins every 2nd and every 4th: 10 + 10 cross-attentions of equal cost, 20 / 57 a block. That spacing over
1 double and 2 single blocks joins 1 + 1, 2 / 3 a block: what they add is measured nearly twice as large as in Flux,
which halves the noise, and is scaled back by 20 / 57 over 2 / 3.

Why within a pass: a pass takes seconds, and a machine's speed wanders by more than 4 % from one to the next. Of one
and the same pass, the seconds in the cross-attentions and those outside of them are slow or fast together.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from faceid.bench.figures import Measurement
from faceid.bench.timing import Clock, time_in_turn
from faceid.pulid.adapter import DOUBLE_BLOCK_INTERVAL, SINGLE_BLOCK_INTERVAL, PuLIDAdapter, identity_blocks

ROUNDS = 3  # a pass takes minutes on a CPU without bfloat16 arithmetic
FLUX_DOUBLE_BLOCKS, FLUX_SINGLE_BLOCKS = 19, 38  # black-forest-labs/FLUX.1-dev, transformer/config.json
WEIGHT_RANGE = 0.02  # keeps activations ordinary: neither infinite nor denormal
IDENTITY_TOKENS = 32


@dataclass(frozen=True)
class StepSize:
    """The widths that are measured. The defaults are FLUX.1's and PuLID-FLUX's, but for the number of blocks."""

    num_layers: int = 1
    num_single_layers: int = 2
    num_attention_heads: int = 24
    attention_head_dim: int = 128
    axes_dims_rope: tuple[int, int, int] = (16, 56, 56)
    joint_attention_dim: int = 4096
    pooled_projection_dim: int = 768
    image_side: int = 32  # tokens: a square of 1024
    text_tokens: int = 512
    adapter: Mapping[str, int] = field(default_factory=lambda: {"dim_head": 128, "heads": 16, "kv_dim": 2048})


def measure_adapter_step(size: StepSize = StepSize(), rounds: int = ROUNDS) -> Measurement:
    """The step's time with an identity over its time without, for the share of cross-attentions that Flux has."""
    transformer = build_transformer(size)
    adapter = PuLIDAdapter(transformer, **size.adapter)
    randomise(transformer.pulid_ca)
    tokens = torch.randn(1, IDENTITY_TOKENS, adapter.kv_dim, dtype=torch.bfloat16)
    joined, blocks = len(identity_blocks(transformer)), size.num_layers + size.num_single_layers
    step = build_step(transformer, size)
    ratios: list[float] = []

    def step_with_shares() -> None:
        with added_seconds(transformer.pulid_ca) as added:
            start = time.perf_counter()
            step()
            seconds = time.perf_counter() - start
        if added:  # the identity's turn
            ratios.append(scale_to_flux(seconds / (seconds - sum(added)), joined / blocks))

    with torch.inference_mode():
        without, with_identity = time_in_turn(step_with_shares, [nullcontext, lambda: adapter.identity(tokens)], rounds)
    counted = ratios[1:]
    return Measurement(
        median(counted),
        f"{size.num_layers} double + {size.num_single_layers} single blocks, {joined} cross-attentions, "
        f"{size.image_side**2} image + {size.text_tokens} text tokens; the clock's seconds of a pass over those "
        f"outside of the cross-attentions, median of {rounds} ({min(counted):.4f} to {max(counted):.4f}), scaled to "
        f"Flux's 20 in 57 blocks; whole passes in turn, medians: {with_identity:.2f} s with, {without:.2f} s without, "
        f"scaled {scale_to_flux(with_identity / without, joined / blocks):.3f}",
    )


@contextmanager
def added_seconds(cross_attentions: nn.ModuleList, clock: Clock = time.perf_counter) -> Iterator[list[float]]:
    """Inside, each call of a cross-attention appends its seconds to what is yielded."""
    starts, seconds = [], []
    handles = [module.register_forward_pre_hook(lambda *_: starts.append(clock())) for module in cross_attentions]
    handles += [
        module.register_forward_hook(lambda *_: seconds.append(clock() - starts.pop())) for module in cross_attentions
    ]
    try:
        yield seconds
    finally:
        for hook in handles:
            hook.remove()


def scale_to_flux(ratio: float, share: float) -> float:
    """The ratio that Flux's 57 blocks would show, from one measured with `share` cross-attentions a block."""
    flux = math.ceil(FLUX_DOUBLE_BLOCKS / DOUBLE_BLOCK_INTERVAL) + math.ceil(FLUX_SINGLE_BLOCKS / SINGLE_BLOCK_INTERVAL)
    return 1 + (ratio - 1) * flux / (FLUX_DOUBLE_BLOCKS + FLUX_SINGLE_BLOCKS) / share


def build_transformer(size: StepSize) -> FluxTransformer2DModel:
    """A Flux transformer of that size in bfloat16 with random weights, made without the slow usual initialisation."""
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(
            num_layers=size.num_layers,
            num_single_layers=size.num_single_layers,
            num_attention_heads=size.num_attention_heads,
            attention_head_dim=size.attention_head_dim,
            axes_dims_rope=size.axes_dims_rope,
            joint_attention_dim=size.joint_attention_dim,
            pooled_projection_dim=size.pooled_projection_dim,
            guidance_embeds=True,
        )
    transformer = transformer.bfloat16().to_empty(device="cpu").eval().requires_grad_(False)
    randomise(transformer)
    return transformer


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Small uniform weights, always the same."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.uniform_(-WEIGHT_RANGE, WEIGHT_RANGE, generator=generator)


def build_step(transformer: FluxTransformer2DModel, size: StepSize) -> Callable[[], Tensor]:
    """One pass of the transformer over fixed inputs, batch 1: -> (1, image tokens, channels)."""
    side, channels = size.image_side, transformer.config.in_channels
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image_ids = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)  # (L, 3)
    inputs = {
        "hidden_states": torch.randn(1, side**2, channels, dtype=torch.bfloat16),
        "encoder_hidden_states": torch.randn(1, size.text_tokens, size.joint_attention_dim, dtype=torch.bfloat16),
        "pooled_projections": torch.randn(1, size.pooled_projection_dim, dtype=torch.bfloat16),
        "timestep": torch.tensor([0.5], dtype=torch.bfloat16),
        "guidance": torch.tensor([3.5], dtype=torch.bfloat16),
        "img_ids": image_ids.to(torch.bfloat16),
        "txt_ids": torch.zeros(size.text_tokens, 3, dtype=torch.bfloat16),
    }
    return lambda: transformer(**inputs, return_dict=False)[0]
