"""The cross-attention that carries an identity into Flux. Owns its arithmetic; does not know where it is hooked in.

Source: PuLID (Guo et al., NeurIPS 2024, arXiv:2404.16022), `pulid_ca.N.*` of pulid_flux_v0.9.1.safetensors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Weight = float | Sequence[float] | Tensor


class IdentityCrossAttention(nn.Module):
    """Image tokens ask, identity tokens answer: what is added to the image stream, `weight * to_out(softmax(qk)v)`.

    State-dict keys: norm1, norm2 (weight, bias), to_q, to_kv, to_out (weight only). The defaults are PuLID-FLUX's.
    """

    def __init__(self, dim: int = 3072, dim_head: int = 128, heads: int = 16, kv_dim: int = 2048):
        super().__init__()
        inner_dim = dim_head * heads
        self.dim_head = dim_head
        self.norm1 = nn.LayerNorm(kv_dim)
        self.norm2 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner_dim, bias=False)
        self.to_kv = nn.Linear(kv_dim, inner_dim * 2, bias=False)
        self.to_out = nn.Linear(inner_dim, dim, bias=False)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `tokens` (B, N, kv_dim), each (B, heads, N, dim_head); they serve a whole generation."""
        key, value = self.to_kv(self.norm1(tokens)).chunk(2, dim=-1)  # (B, N, heads * dim_head) each
        return self._split_heads(key).contiguous(), self._split_heads(value).contiguous()

    def forward(self, hidden_states: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What to add to `hidden_states` (B, L, dim), same shape. `key` and `value` have B rows or one for all."""
        query = self._split_heads(self.to_q(self.norm2(hidden_states)))  # (B, heads, L, dim_head)
        batch = query.shape[0]
        answer = functional.scaled_dot_product_attention(
            query, key.expand(batch, -1, -1, -1), value.expand(batch, -1, -1, -1)
        )
        return self.to_out(answer.transpose(1, 2).flatten(2))

    def _split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (-1, self.dim_head)).transpose(1, 2)  # (B, heads, N, dim_head)


def weigh(value: Tensor, weight: Weight) -> Tensor:
    """`value` (B, heads, N, dim_head) times one number or one per sample, in its own dtype.

    `to_out` is linear without a bias, so the identity's weight goes into the values: w * to_out(a v) = to_out(a (w v)).
    With one row of values and B weights the result has B rows.
    """
    scale = torch.as_tensor(weight, dtype=torch.float32, device=value.device).reshape(-1, 1, 1, 1)
    return (value * scale).to(value.dtype)
