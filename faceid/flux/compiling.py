"""Regional torch.compile: a transformer's blocks, each kind once. Owns what is compiled; not whether it may be.

Compiled is each block's own arithmetic, inside its hooks. diffusers' `compile_repeated_blocks` compiles the hooks too:
then the identity doubles the graphs, and FirstBlockCache, whose hooks differ from block to block, runs into torch's
limit of recompilations.
"""

from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import nn


def compile_blocks(transformer: FluxTransformer2DModel, **options: Any) -> None:
    """Compile every block of `transformer`; `options` are torch.compile's. Hooks may come before or after.

    Nothing is compiled yet: the first picture waits for it, and the first of another size.
    """
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        _compile_forward(block, options)


def _compile_forward(block: nn.Module, options: dict[str, Any]) -> None:
    hooked = getattr(block, "_diffusers_hook", None)
    if hooked and hooked._fn_refs:  # diffusers has no public way to what the first hook calls
        innermost = hooked._fn_refs[0]
        innermost.forward = torch.compile(innermost.forward, **options)
    else:
        block.forward = torch.compile(block.forward, **options)
