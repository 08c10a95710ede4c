"""Teaches attention to look at its own place: the part of copying that takes longest to be found by chance.

Flux has no absolute positions. While `fast` learns, the query of an image token is told, by cross-entropy, which
identity token shows its place. Owns that loss; changes no module.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from faceid.pulid.cross_attention import IdentityCrossAttention


@contextmanager
def listen(attentions: Sequence[IdentityCrossAttention], own: Tensor) -> Iterator[list[Tensor]]:
    """Inside, each forward of `attentions` appends its routing loss to the list that is yielded.

    own (N,): the key that belongs to each query; -1: none.
    """
    losses: list[Tensor] = []

    def hear(attention: IdentityCrossAttention, inputs: tuple[Tensor, ...]) -> None:
        hidden_states, key, _ = inputs
        query = attention.to_q(attention.norm2(hidden_states)).unflatten(-1, (-1, attention.dim_head))
        losses.append(routing_loss(query.transpose(1, 2), key, own))

    handles = [attention.register_forward_pre_hook(hear) for attention in attentions]
    try:
        yield losses
    finally:
        for handle in handles:
            handle.remove()


def routing_loss(query: Tensor, key: Tensor, own: Tensor) -> Tensor:
    """Cross-entropy of the attention of query n to key own[n]: (B, heads, N, d), (B, heads, M, d) -> number.

    Queries that have no key of their own, -1, are left out.
    """
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # (B, heads, N, M)
    return functional.cross_entropy(scores.flatten(0, 2), own.expand(scores.shape[:-1]).flatten(), ignore_index=-1)


def own_places(shape: Sequence[int], square: int) -> Tensor:
    """Which place of a square of `square`² shows what each place of a grid (rows, columns) shows, centred; -1: none."""
    rows, columns = (torch.arange(count) - (count - square) // 2 for count in shape)
    inside = ((rows >= 0) & (rows < square))[:, None] & ((columns >= 0) & (columns < square))[None]
    return torch.where(inside, rows[:, None] * square + columns[None], -1).flatten()
