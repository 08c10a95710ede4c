"""FirstBlockCache for one picture: steps that would change little reuse what the step before computed.

Owns when it is on; which steps change little is decided by diffusers. Source: ParaAttention (chengzeyi), diffusers'
hooks/first_block_cache.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diffusers import FluxTransformer2DModel
from diffusers.hooks import FirstBlockCacheConfig

# The change of the first block's residual below which the others are skipped: ParaAttention's default for FLUX.
THRESHOLD = 0.08

BeforeStep = Callable[[int], None]


@contextmanager
def skip_blocks_from(
    transformer: FluxTransformer2DModel, first_step: int | None, threshold: float = THRESHOLD
) -> Iterator[BeforeStep]:
    """Let blocks be skipped after step `first_step` (from 0; None: never) of the picture drawn inside.

    The value is to be called with the number of each step before it. The cache is made at `first_step` and has nothing
    to reuse there: that step, where an identity enters, is computed whole. Afterwards the transformer is without a
    cache, whatever happened.
    """

    def before_step(step: int) -> None:
        if step == first_step:
            transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))

    try:
        before_step(0)
        yield before_step
    finally:
        if transformer.is_cache_enabled:
            transformer.disable_cache()
