"""The steps of one picture, from noise or from another. Knows a request's numbers; not whom the adapter draws."""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import FluxPipeline
from PIL import Image
from torch import Tensor

from faceid.domain import GenerationRequest
from faceid.flux.first_block_cache import skip_blocks_from
from faceid.flux.image_to_image import ImageToImage, on_step_end
from faceid.flux.redrawing_steps import drawn_steps


class Sampler:
    """Draws single pictures with a pipeline; `image_to_image` has the same networks."""

    def __init__(self, pipeline: FluxPipeline, max_sequence_length: int, skipping_threshold: float):
        self.pipeline, self.image_to_image = pipeline, ImageToImage(pipeline)
        self._max_sequence_length, self._skipping_threshold = max_sequence_length, skipping_threshold

    def __call__(
        self, request: GenerationRequest, texts: dict[str, Tensor], seed: int, tell: Callable[[int, int], None]
    ) -> Image.Image:
        """One picture (RGB) of `request` from the noise of `seed`; `tell(step, of)` is called after every step.

        texts: FluxPipeline's arguments. Call it inside the adapter's `identity` or `nobody`.
        """
        steps = drawn_steps(request)
        skipped = request.num_inference_steps - steps
        skip_from = max(0, request.identity_step - skipped) if request.identities else 0
        options = {
            "true_cfg_scale": request.true_cfg_scale,
            "num_inference_steps": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
            "max_sequence_length": self._max_sequence_length,
        }

        def told(step: int, of: int = steps) -> None:
            before_step(step)
            tell(step, of)

        caching = skip_blocks_from(
            self.pipeline.transformer, skip_from if request.faster else None, self._skipping_threshold
        )
        with caching as before_step:
            if request.start:
                return self.image_to_image.start_from(request.start, texts, seed=seed, tell=told, **options)
            return self._from_noise(request, texts, seed, told, **options)

    def _from_noise(
        self,
        request: GenerationRequest,
        texts: dict[str, Tensor],
        seed: int,
        tell: Callable[[int], None],
        **options: Any,
    ) -> Image.Image:
        output = self.pipeline(
            **texts,
            width=request.width,
            height=request.height,
            generator=torch.Generator("cpu").manual_seed(seed),  # the same noise on every device
            callback_on_step_end=on_step_end(tell),
            **options,
        )
        return output.images[0]
