"""Teaches attention to look at its own place: the part of copying that takes longest to be found by chance.

Flux has no absolute positions, and a resampler's queries start anywhere. While `fast` learns, the queries of token n
are told, by cross-entropy, that the answer lies at place n. Owns that loss; changes no module.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from faceid.pulid.cross_attention import IdentityCrossAttention
from faceid.pulid.encoder import PerceiverAttention

RoutedAttention = IdentityCrossAttention | PerceiverAttention


@contextmanager
def listen(attentions: list[RoutedAttention], own: Tensor | None = None) -> Iterator[list[Tensor]]:
    """Inside, each forward of `attentions` appends its routing loss to the list that is yielded.

    own (Q,): the key that belongs to each query; -1: none. By default the key of the same number.
    """
    losses: list[Tensor] = []

    def hear(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        losses.append(routing_loss(*_queries_and_keys(module, inputs), own))

    handles = [attention.register_forward_pre_hook(hear) for attention in attentions]
    try:
        yield losses
    finally:
        for handle in handles:
            handle.remove()


def routing_loss(query: Tensor, key: Tensor, own: Tensor | None = None) -> Tensor:
    """Cross-entropy of the attention of query n to key own[n]: (B, heads, N, d), (B, heads, M, d) -> number.

    Queries that have no key of their own, -1, are left out.
    """
    own = torch.arange(query.shape[2]) if own is None else own
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # (B, heads, N, M)
    return functional.cross_entropy(scores.flatten(0, 2), own.expand(scores.shape[:-1]).flatten(), ignore_index=-1)


def own_places(shape: Sequence[int], square: int) -> Tensor:
    """Which place of a square of `square`² shows what each place of a grid (rows, columns) shows, centred; -1: none."""
    rows, columns = (torch.arange(count) - (count - square) // 2 for count in shape)
    inside = ((rows >= 0) & (rows < square))[:, None] & ((columns >= 0) & (columns < square))[None]
    return torch.where(inside, rows[:, None] * square + columns[None], -1).flatten()


def _queries_and_keys(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    if isinstance(module, IdentityCrossAttention):
        hidden_states, key, _ = inputs
        query = module.to_q(module.norm2(hidden_states))
    else:
        context, latents = inputs
        query = module.to_q(module.norm2(latents))
        key = _split_heads(module.to_kv(module.norm1(context)).chunk(2, dim=-1)[0], module.dim_head)
    return _split_heads(query, module.dim_head), key


def _split_heads(states: Tensor, dim_head: int) -> Tensor:
    return states.unflatten(-1, (-1, dim_head)).transpose(1, 2)  # (B, heads, N, dim_head)
