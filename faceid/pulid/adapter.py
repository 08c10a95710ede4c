"""PuLID on a stock FluxTransformer2DModel: attach, draw with an identity, detach.

Owns the cross-attentions' place in the network and the life of an identity (one generation). It composes with
torch.compile, FirstBlockCache, offloading, LoRA and fused QKV because only diffusers' ModelHook is used. It does not
know how tokens are made (`encoder`) nor where weights come from (`weights`).
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from diffusers import FluxTransformer2DModel
from diffusers.hooks import HookRegistry
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn

from faceid.pulid.cross_attention import IdentityCrossAttention, Weight, weigh
from faceid.pulid.hooks import (
    COND,
    NO_IDENTITY,
    UNCOND,
    Generation,
    GuidanceGate,
    IdentityHook,
    KeyValues,
    remove_hook_exactly,
)
from faceid.pulid.identity_cache import IdentityCache

logger = logging.getLogger(__name__)

HOOK = "pulid_identity"
GATE = "pulid_guidance_gate"
DOUBLE_BLOCK_INTERVAL, SINGLE_BLOCK_INTERVAL = 2, 4  # PuLID-FLUX: 10 of 19 double, 10 of 38 single blocks


class PuLIDAdapter:
    """Identity cross-attentions on every 2nd double-stream and every 4th single-stream block of `transformer`.

    Attach before everything that wraps the network's forward: caches, group, model or sequential offloading
    (RuntimeError otherwise); LoRA and torch.compile may come before or after. The modules become
    `transformer.pulid_ca`, so they follow `.to()` and offloading, and `save_pretrained` writes them until `detach`.

    state_dict: keys `N.norm1.weight`, … (those of `pulid_ca.N.*` without the prefix), loaded strictly, cast to the
    transformer's dtype; None: fresh weights from torch's global generator. The sizes' defaults are PuLID-FLUX's.
    """

    def __init__(
        self,
        transformer: FluxTransformer2DModel,
        state_dict: Mapping[str, Tensor] | None = None,
        *,
        dim_head: int = 128,
        heads: int = 16,
        kv_dim: int = 2048,
    ):
        self.transformer = transformer = unwrap_module(transformer)
        self.kv_dim = kv_dim
        self._blocks = identity_blocks(transformer)
        _check_attachable(transformer, self._blocks)
        device, dtype = transformer.device, transformer.dtype
        with torch.device(device if state_dict is None else "meta"):
            cross_attentions = nn.ModuleList(
                IdentityCrossAttention(transformer.inner_dim, dim_head, heads, kv_dim) for _ in self._blocks
            )
        if state_dict is not None:
            cross_attentions.load_state_dict(state_dict, strict=True, assign=True)
        transformer.pulid_ca = cross_attentions.to(device, dtype).eval().requires_grad_(False)
        hooks = [IdentityHook(cross_attention) for cross_attention in cross_attentions]
        for block, hook in zip(self._blocks, hooks):
            HookRegistry.check_if_exists_or_initialize(block).register_hook(hook, HOOK)
        gate = GuidanceGate(hooks)
        root = HookRegistry.check_if_exists_or_initialize(transformer)
        root.register_hook(gate, GATE)
        root.invalidate_child_registries_cache()
        self._tracker = gate.tracker
        self._in_use = threading.Lock()
        self._identities = IdentityCache(self._project)
        logger.info("PuLID attached: %d cross-attentions on %s, %s", len(hooks), device, dtype)

    @contextmanager
    def identity(
        self,
        tokens: Tensor,
        uncond_tokens: Tensor | None = None,
        weight: Weight = 1.0,
        start_step: int = 0,
        start_cfg: int = 0,
        device: torch.device | str | None = None,
    ) -> Iterator[None]:
        """Every call of the transformer in this context draws the identity; afterwards nothing of it remains.

        tokens, uncond_tokens: (B, N, kv_dim), or (1, N, kv_dim) for all samples, any dtype or device; B is the batch
        the transformer sees, prompt-major. uncond_tokens go to the negative pass of true CFG; None: no identity there.
        weight: 0 to 3, one number or one per sample. start_step, start_cfg: the steps (from 0) at which the identity
        and true CFG begin. device: where the transformer computes, if that is not where it lies (offloading).

        Passes are told apart by `transformer.cache_context("cond" | "uncond")`, entered inside this context; without
        them every call gets `tokens`, if start_step is 0. Each pipeline call starts again at step 0.

        RuntimeError: another identity is active, in this thread or another; the adapter was detached.
        ValueError: shapes do not fit.
        """
        self._check_tokens(tokens, weight)
        if uncond_tokens is not None:
            self._check_tokens(uncond_tokens, weight)
        with self._one_at_a_time():
            key_values = {COND: self._key_values(tokens, weight, device)}
            if uncond_tokens is not None:
                key_values[UNCOND] = self._key_values(uncond_tokens, weight, device)
            self._reset_caches()
            self._tracker.begin(Generation(key_values, start_step, start_cfg))
            yield

    @contextmanager
    def nobody(self, start_cfg: int = 0) -> Iterator[None]:
        """Every call of the transformer in this context draws without an identity; true CFG begins at step `start_cfg`.

        The counterpart of `identity`: passes are told apart as there, and one of both is active at a time.
        """
        with self._one_at_a_time():
            self._reset_caches()
            self._tracker.begin(Generation(start_cfg=start_cfg))
            yield

    def keep_identities(self, size: int) -> None:
        """From now on keep the keys and values of the last `size` identities; the adapter's weights change no more."""
        self._identities = IdentityCache(self._project, size)

    def forget_identities(self) -> None:
        """Keep none of the identities drawn so far; what is being drawn is finished with its own."""
        self._identities.clear()

    def detach(self) -> None:
        """Give the transformer back as it was: its own forwards, state-dict keys and outputs, bit for bit.

        RuntimeError: an identity is active, or a cache or offloading that was put on later must be taken off first.
        """
        if getattr(self.transformer, "pulid_ca", None) is None:
            return
        if self._in_use.locked():
            raise RuntimeError("detach() inside an identity() context: leave the context first.")
        _check_unwrapped(self.transformer, self._blocks)
        for block in self._blocks:
            remove_hook_exactly(block, HOOK)
        HookRegistry.check_if_exists_or_initialize(self.transformer).invalidate_child_registries_cache()
        remove_hook_exactly(self.transformer, GATE)
        del self.transformer.pulid_ca

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError(
                "This transformer is drawing another identity. It draws one at a time: leave the first identity() "
                "context, or stack the identities of a batch in `tokens`."
            )
        with ExitStack() as cleanup:  # from the last line to the first, whatever happens
            cleanup.callback(self._in_use.release)
            cleanup.callback(self._reset_caches)
            cleanup.callback(self._tracker.begin, NO_IDENTITY)
            yield

    def _key_values(self, tokens: Tensor, weight: Weight, device: torch.device | str | None) -> KeyValues:
        """Of every cross-attention, weighed, where the network computes."""
        home = self.transformer.device
        target = torch.device(device) if device else (tokens.device if home.type == "meta" else home)
        pairs = self._identities.key_values(tokens, target, self.transformer.dtype)
        return [(key, weigh(value, weight)) for key, value in pairs]

    def _project(self, tokens: Tensor, target: torch.device) -> KeyValues:
        """Keys and values of every cross-attention at weight 1, computed where its weights lie, kept on `target`."""
        dtype = self.transformer.dtype
        pairs = []
        for cross_attention in self.transformer.pulid_ca:
            parameter = cross_attention.norm1.weight
            place = target if parameter.is_meta else parameter.device  # meta: accelerate brings the weights
            key, value = cross_attention.project(tokens.to(place, dtype))
            pairs.append((key.to(target, dtype), value.to(target, dtype)))
        return pairs

    def _reset_caches(self) -> None:
        """Forget what FirstBlockCache and its like kept of another picture: a failed pipeline call leaves it."""
        HookRegistry.check_if_exists_or_initialize(self.transformer).reset_stateful_hooks(recurse=True)

    def _check_tokens(self, tokens: Tensor, weight: Weight) -> None:
        if getattr(self.transformer, "pulid_ca", None) is None:
            raise RuntimeError("This PuLIDAdapter was detached: make a new one.")
        if tokens.ndim != 3 or tokens.shape[-1] != self.kv_dim:
            raise ValueError(f"tokens: shape {tuple(tokens.shape)}, takes (batch, tokens, {self.kv_dim}).")
        weights = torch.as_tensor(weight).numel()
        if weights != 1 and len(tokens) not in (1, weights):
            raise ValueError(f"weight: {weights} values for {len(tokens)} identities; give one, or one each.")


def identity_blocks(transformer: FluxTransformer2DModel) -> list[nn.Module]:
    """The blocks whose output the identity joins, in the order of `pulid_ca`: double-stream 0, 2, …; single 0, 4, …"""
    double = transformer.transformer_blocks[::DOUBLE_BLOCK_INTERVAL]
    single = transformer.single_transformer_blocks[::SINGLE_BLOCK_INTERVAL]
    return [*double, *single]


def _check_attachable(transformer: FluxTransformer2DModel, blocks: list[nn.Module]) -> None:
    if getattr(transformer, "pulid_ca", None) is not None:
        raise RuntimeError("PuLID is already attached to this transformer: detach() the first adapter.")
    if transformer.is_cache_enabled:
        raise RuntimeError("A cache is enabled: attach PuLID first, then enable_cache(), so that the cache wraps it.")
    if hasattr(transformer, "_hf_hook") or transformer.x_embedder.weight.is_meta:
        raise RuntimeError("Offloading is enabled: attach PuLID first, then enable model or sequential offloading.")
    for module in (transformer, *blocks):
        if hasattr(module, "_diffusers_hook") and module._diffusers_hook.hooks:
            raise RuntimeError("The transformer has other hooks: attach PuLID first, then group offloading and others.")


def _check_unwrapped(transformer: FluxTransformer2DModel, blocks: list[nn.Module]) -> None:
    if transformer.is_cache_enabled:
        raise RuntimeError("A cache wraps PuLID: call disable_cache() on the transformer, then detach().")
    if any(hasattr(module, "_hf_hook") for module in (transformer, *blocks)):
        raise RuntimeError("Offloading wraps PuLID: call remove_all_hooks() on the pipeline, then detach().")
