"""AutoencoderDC with the word that Flux's image-to-image pipelines read latents by. Adds no weight."""

from dataclasses import dataclass

from diffusers import AutoencoderDC
from diffusers.models.autoencoders.vae import EncoderOutput
from torch import Tensor


@dataclass
class Latents(EncoderOutput):
    """`latent` as AutoencoderDC calls it, `latents` as `retrieve_latents` asks for it."""

    @property
    def latents(self) -> Tensor:
        return self.latent


class FluxAutoencoderDC(AutoencoderDC):
    """Encodes and decodes as its parent does, bit for bit."""

    def encode(self, x: Tensor, return_dict: bool = True) -> Latents | tuple[Tensor]:
        encoded = super().encode(x, return_dict=False)
        return Latents(*encoded) if return_dict else encoded
