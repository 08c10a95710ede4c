"""What finishing may ask of a base model: a finished picture, or a part of it, drawn again as the request's person.

Owns how such a pass differs from the first: the identity begins at once, and there is no true CFG. Knows no tile and no
face.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from faceid.domain import GenerationRequest
from faceid.flux.image_to_image import ImageToImage

Tell = Callable[[str], Callable[[int, int], None]]  # a finishing step's name -> done, of how many


@dataclass(frozen=True, eq=False)
class Redraw:
    """Draws pictures again with the words and the identity of one request.

    texts: FluxPipeline's arguments for the prompt. identity: gives the adapter's context of the person, or of nobody.
    side: the native side (px) of the base model, the largest that should be drawn. enlarge: what a picture goes through
    for a model that draws smaller than it shows.
    """

    image_to_image: ImageToImage
    texts: dict[str, Tensor]
    identity: Callable[[], AbstractContextManager[None]]
    num_inference_steps: int
    guidance_scale: float
    max_sequence_length: int
    side: int
    enlarge: Callable[[Image.Image], Image.Image] | None = None

    def __call__(
        self, picture: Image.Image, *, strength: float, seed: int, mask: Image.Image | None = None
    ) -> Image.Image:
        """`picture` (RGB, sides multiples of 16) drawn again, where `mask` (L) says or as a whole, by `strength`."""
        with self.identity():
            drawn = self.image_to_image(
                picture,
                self.texts,
                strength=strength,
                num_inference_steps=self.num_inference_steps,
                guidance_scale=self.guidance_scale,
                seed=seed,
                mask=mask,
                max_sequence_length=self.max_sequence_length,
            )
        return self.enlarge(drawn) if self.enlarge else drawn


@dataclass(frozen=True, eq=False)
class Work:
    """One picture on its way: the request, its number (from 1) and seed, who draws again, whom every part is told."""

    request: GenerationRequest
    number: int
    seed: int
    redraw: Redraw
    tell: Tell
