"""The resampler that turns what is known of a face into identity tokens. Owns its arithmetic; knows no photo, no file.

Source: PuLID-FLUX's `IDFormer` (github.com/ToTheBeginning/PuLID), `pulid_encoder.*` of pulid_flux_v0.9.1.safetensors:
a perceiver resampler whose queries read five depths of the vision tower, the shallow ones first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class PerceiverAttention(nn.Module):
    """Latents attend to the context and to themselves."""

    def __init__(self, dim: int, dim_head: int, heads: int):
        super().__init__()
        inner_dim = dim_head * heads
        self.dim_head = dim_head
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner_dim, bias=False)
        self.to_kv = nn.Linear(dim, inner_dim * 2, bias=False)
        self.to_out = nn.Linear(inner_dim, dim, bias=False)

    def forward(self, context: Tensor, latents: Tensor) -> Tensor:
        """context (B, M, dim), latents (B, N, dim) -> what to add to the latents, same shape."""
        context, latents = self.norm1(context), self.norm2(latents)
        key, value = self.to_kv(torch.cat([context, latents], dim=1)).chunk(2, dim=-1)  # (B, M + N, heads * dim_head)
        query, key, value = (
            states.unflatten(-1, (-1, self.dim_head)).transpose(1, 2) for states in (self.to_q(latents), key, value)
        )  # (B, heads, ·, dim_head)
        answer = functional.scaled_dot_product_attention(query, key, value)
        return self.to_out(answer.transpose(1, 2).flatten(2))


class IdentityEncoder(nn.Module):
    """Face vector and vision states -> identity tokens (B, num_queries, output_dim).

    depth layers are shared out evenly over num_hidden_states. State-dict keys: latents, proj_out, layers.N.0 and .1,
    mapping_0 …, id_embedding_mapping. The defaults are PuLID-FLUX's (151,398,400 parameters).
    """

    def __init__(
        self,
        dim: int = 1024,
        depth: int = 10,
        dim_head: int = 64,
        heads: int = 16,
        num_id_token: int = 5,
        num_queries: int = 32,
        output_dim: int = 2048,
        ff_mult: int = 4,
        *,
        id_dim: int = 1280,
        hidden_state_dim: int = 1024,
        num_hidden_states: int = 5,
        mapping_dim: int = 1024,
    ):
        super().__init__()
        if depth % num_hidden_states:
            raise ValueError(f"depth: {depth} layers cannot be shared evenly by {num_hidden_states} hidden states.")
        self.num_queries = num_queries
        self.num_hidden_states = num_hidden_states
        self.id_dim = id_dim
        self.layers_per_state = depth // num_hidden_states
        self.latents = nn.Parameter(torch.randn(1, num_queries, dim) * dim**-0.5)
        self.proj_out = nn.Parameter(torch.randn(dim, output_dim) * dim**-0.5)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(dim, dim_head, heads), _feed_forward(dim, ff_mult)]) for _ in range(depth)
        )
        for index in range(num_hidden_states):
            self.add_module(f"mapping_{index}", _mapping(hidden_state_dim, mapping_dim, dim))
        self.id_embedding_mapping = _mapping(id_dim, mapping_dim, dim * num_id_token)

    def forward(self, id_cond: Tensor, hidden_states: Sequence[Tensor]) -> Tensor:
        """id_cond (B, id_dim), or (B, P, id_dim) for P photos of one person; hidden_states: each (B, L, width)."""
        batch, dim = id_cond.shape[0], self.latents.shape[-1]
        identity = self.id_embedding_mapping(id_cond).reshape(batch, -1, dim)  # (B, P * num_id_token, dim)
        latents = torch.cat([self.latents.expand(batch, -1, -1), identity], dim=1)
        for index, hidden_state in enumerate(hidden_states):
            mapped = self.get_submodule(f"mapping_{index}")(hidden_state)
            context = torch.cat([identity, mapped], dim=1)
            first = index * self.layers_per_state
            for attention, feed_forward in self.layers[first : first + self.layers_per_state]:
                latents = latents + attention(context, latents)
                latents = latents + feed_forward(latents)
        return latents[:, : self.num_queries] @ self.proj_out


def _feed_forward(dim: int, mult: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, dim * mult, bias=False),
        nn.GELU(),
        nn.Linear(dim * mult, dim, bias=False),
    )


def _mapping(in_dim: int, inner_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_dim, inner_dim),
        nn.LayerNorm(inner_dim),
        nn.LeakyReLU(),
        nn.Linear(inner_dim, inner_dim),
        nn.LayerNorm(inner_dim),
        nn.LeakyReLU(),
        nn.Linear(inner_dim, out_dim),
    )
