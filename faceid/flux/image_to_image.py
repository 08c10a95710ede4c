"""Draws a picture again from a picture, or a part of it, with the networks of a loaded pipeline.

Owns the two pipelines diffusers has for it, which share every network with the first, and the names of their passes:
they announce none to the transformer, and the identity adapter lives by them. Knows no request and no identity.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import FluxImg2ImgPipeline, FluxInpaintPipeline, FluxPipeline, FluxTransformer2DModel
from PIL import Image, ImageFilter
from torch import Tensor

from faceid.flux.redrawing_steps import count_steps
from faceid.pulid.hooks import COND, UNCOND
from faceid.starting_pictures import StartingPicture

EDGE = 128  # of the longer side: how soft a mask's edge becomes


def on_step_end(tell: Callable[[int], None]) -> Callable[..., dict[str, Tensor]]:
    """diffusers' `callback_on_step_end` that tells the number, from 1, of every step that is done."""

    def told(pipeline: Any, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        tell(step + 1)
        return tensors

    return told


class LabelledPasses:
    """A transformer whose calls enter `cache_context` by turns: `cond`, and with true CFG `uncond` after it."""

    def __init__(self, transformer: FluxTransformer2DModel):
        self._transformer = transformer
        self._names: tuple[str, ...] = (COND,)
        self._calls = 0

    def begin(self, *, true_cfg: bool) -> None:
        """What follows is a new picture: its first step, its first pass."""
        self._names = (COND, UNCOND) if true_cfg else (COND,)
        self._calls = 0
        self._transformer._reset_stateful_cache()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self._names[self._calls % len(self._names)]
        self._calls += 1
        with self._transformer.cache_context(name):
            return self._transformer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transformer, name)


class ImageToImage:
    """Redraws pictures with the networks of `pipeline`, where and in the number formats in which they lie."""

    def __init__(self, pipeline: FluxPipeline):
        self._passes = LabelledPasses(pipeline.transformer)
        # Not `from_pipe`: it casts the networks it shares, to float32 where nothing is said, and quantized or offloaded
        # ones must not be cast at all. The scheduler has a state, so theirs is a copy.
        parts = pipeline.components | {
            "transformer": self._passes,
            "scheduler": type(pipeline.scheduler).from_config(pipeline.scheduler.config),
        }
        self._whole, self._part = FluxImg2ImgPipeline(**parts), FluxInpaintPipeline(**parts)
        for redrawing in (self._whole, self._part):
            redrawing.set_progress_bar_config(disable=True)

    def start_from(self, start: StartingPicture, texts: dict[str, Tensor], **options: Any) -> Image.Image:
        """`start` drawn again; what its mask keeps is put back as it was. `options` as for `__call__`."""
        picture = Image.fromarray(start.pixels)
        if start.mask is None:
            return self(picture, texts, strength=start.strength, **options)
        mask = Image.fromarray(start.mask)
        drawn = self(picture, texts, strength=start.strength, mask=mask, **options)
        return Image.composite(drawn, picture, mask.filter(ImageFilter.GaussianBlur(max(picture.size) / EDGE)))

    def __call__(
        self,
        picture: Image.Image,
        texts: dict[str, Tensor],
        *,
        strength: float,
        num_inference_steps: int,
        seed: int,
        true_cfg_scale: float = 1.0,
        mask: Image.Image | None = None,
        tell: Callable[[int, int], None] = lambda done, of: None,
        **options: Any,
    ) -> Image.Image:
        """`picture` (RGB, sides multiples of 16) drawn again, by `strength`: 0 leaves it, 1 draws from noise.

        mask (L, the picture's size): 128 and above is drawn, the rest stays nearly as it is (it goes through the VAE).
        texts: FluxPipeline's arguments for the prompt and, with true CFG, the negative one. `tell(done, of)` is called
        after every step; `options` are the pipelines'. Call it inside the adapter's `identity` or `nobody`.
        """
        steps = count_steps(num_inference_steps, strength)
        if not steps:
            return picture
        self._passes.begin(true_cfg=true_cfg_scale > 1)
        redrawing, masked = (self._whole, {}) if mask is None else (self._part, {"mask_image": mask})
        output = redrawing(
            image=picture,
            **masked,
            **texts,
            strength=strength,
            true_cfg_scale=true_cfg_scale,
            width=picture.width,
            height=picture.height,
            num_inference_steps=num_inference_steps,
            generator=torch.Generator("cpu").manual_seed(seed),  # the same noise on every device
            callback_on_step_end=on_step_end(lambda step: tell(step, steps)),
            **options,
        )
        return output.images[0]
