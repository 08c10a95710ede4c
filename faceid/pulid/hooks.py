"""Where the identity enters a stock Flux: diffusers hooks on blocks and on the transformer.

Owns which keys and values each denoiser call sees; does not know where they come from (`adapter`). A pipeline names its
passes by `transformer.cache_context("cond" | "uncond")`, which reaches `PassTracker` outside of any compiled region.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.hooks import BaseState, CacheContext, StateManager
from torch import Tensor, nn

from faceid.pulid.cross_attention import IdentityCrossAttention

KeyValues = Sequence[tuple[Tensor, Tensor]]  # one pair per cross-attention
COND, UNCOND = "cond", "uncond"


@dataclass(frozen=True)
class Generation:
    """What one generation injects: keys and values per pass, and the steps (from 0) at which it and true CFG begin."""

    key_values: Mapping[str, KeyValues] = field(default_factory=dict)
    start_step: int = 0
    start_cfg: int = 0


NO_IDENTITY = Generation()


class IdentityHook(ModelHook):
    """Adds one cross-attention to a block's image stream; without keys and values the block is as it was."""

    def __init__(self, cross_attention: IdentityCrossAttention):
        super().__init__()
        self.cross_attention = cross_attention
        self.key_value: tuple[Tensor, Tensor] | None = None

    def post_forward(self, module: nn.Module, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if self.key_value is None:
            return output
        encoder_hidden_states, hidden_states = output
        return encoder_hidden_states, hidden_states + self.cross_attention(hidden_states, *self.key_value)


class GuidanceGate(ModelHook):
    """On the transformer: before true CFG begins, the negative pass hands back the positive prediction.

    neg + s (pos - neg) is then pos, bit for bit, and the second pass is not computed. This is the reference's
    `timestep_to_start_cfg`, which stock pipelines lack. `keeps` and `reuses` are set by the tracker per pass.
    """

    _is_stateful = True  # diffusers announces contexts to the StateManagers of stateful hooks only

    def __init__(self, identity_hooks: Sequence[IdentityHook]):
        super().__init__()
        self.tracker = PassTracker(self, identity_hooks)
        self.close()

    def close(self) -> None:
        """Compute every pass, forget the kept prediction."""
        self.keeps = self.reuses = False
        self.prediction: Any = None

    def new_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self.reuses and self.prediction is not None:
            return self.prediction
        output = self.fn_ref.original_forward(*args, **kwargs)
        if self.keeps:
            self.prediction = output
        return output

    def reset_state(self, module: nn.Module) -> nn.Module:
        self.tracker.rewind()
        return module


class PassTracker(StateManager):
    """Counts the steps of a generation and gives every identity hook the keys and values of the pass that comes."""

    def __init__(self, gate: GuidanceGate, identity_hooks: Sequence[IdentityHook]):
        super().__init__(BaseState)
        self._gate = gate
        self._identity_hooks = identity_hooks
        self._generation = NO_IDENTITY
        self._step = -1

    def begin(self, generation: Generation) -> None:
        """What follows draws with `generation`, from its first step."""
        self._generation = generation
        self.rewind()

    def rewind(self) -> None:
        """Back to before the first step: a pipeline does so after each call (`_reset_stateful_cache`).

        Until a pass is announced the positive keys and values lie ready if the identity starts at step 0: calls of the
        transformer outside of any `cache_context` get them.
        """
        self._context = None
        self._step = -1
        self._gate.close()
        self._select(COND if self._generation.start_step == 0 else None)

    def set_context(self, context: CacheContext | None) -> None:
        super().set_context(context)
        if context is None or self._generation is NO_IDENTITY:
            return
        if context.name == COND:
            self._step = self._step + 1 if context.step_index is None else context.step_index
        self._select(context.name if self._step >= self._generation.start_step else None)
        gated = self._step < self._generation.start_cfg
        self._gate.keeps = gated and context.name == COND
        self._gate.reuses = gated and context.name == UNCOND

    def reset(self, *args: Any, **kwargs: Any) -> None:
        self.rewind()

    def _select(self, name: str | None) -> None:
        pairs = self._generation.key_values.get(name) if name else None
        for index, hook in enumerate(self._identity_hooks):
            hook.key_value = pairs[index] if pairs else None


def remove_hook_exactly(module: nn.Module, name: str) -> None:
    """Remove the hook; if it was the only one, also the registry and the `forward` it left in the instance."""
    registry = HookRegistry.check_if_exists_or_initialize(module)
    registry.remove_hook(name, recurse=False)
    if not registry.hooks:
        del module._diffusers_hook
    if module.__dict__.get("forward") == type(module).forward.__get__(module):
        del module.forward
