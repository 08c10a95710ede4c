"""Keeps the keys and values of the identities drawn last, so that a face that returns is not projected again.

Owns which identity is which (by its tokens' content) and how many are kept; does not know how they are projected.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from faceid.pulid.hooks import KeyValues

Project = Callable[[Tensor, torch.device], KeyValues]


@dataclass(frozen=True)
class _Identity:
    """Tokens that are equal if their content is."""

    tokens: Tensor = field(compare=False, repr=False)
    digest: bytes = field(repr=False)


class IdentityCache:
    """The last `size` identities, each 5.2 MB for Flux in bfloat16, where `project` put them; size 0 keeps nothing.

    Faces are biometric data: `clear` when a tune is deleted. Whoever keeps identities answers for it that the weights
    `project` uses no longer change.
    """

    def __init__(self, project: Project, size: int = 0):
        self._project = project
        self._kept = lru_cache(maxsize=size)(self._project_new)

    def key_values(self, tokens: Tensor, device: torch.device, dtype: torch.dtype) -> KeyValues:
        """What `project(tokens, device)` gave or gives; `dtype` is that of the result."""
        if not self._kept.cache_parameters()["maxsize"]:
            return self._project(tokens, device)
        return self._kept(_Identity(tokens, digest(tokens)), device, dtype)

    def clear(self) -> None:
        """Keep none of them any longer."""
        self._kept.cache_clear()

    def __len__(self) -> int:
        return self._kept.cache_info().currsize

    def _project_new(self, identity: _Identity, device: torch.device, dtype: torch.dtype) -> KeyValues:
        return self._project(identity.tokens, device)


def digest(tokens: Tensor) -> bytes:
    """SHA-256 of the tokens' shape, dtype and content."""
    content = tokens.detach().cpu().contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(f"{tuple(tokens.shape)} {tokens.dtype}".encode() + content.tobytes()).digest()
