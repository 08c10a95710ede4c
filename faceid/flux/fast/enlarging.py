"""Shows `fast`'s small pictures four times larger, with the upscaler trained for it. Knows one network and one file."""

from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from spandrel import ImageModelDescriptor, ModelLoader
from torch import nn
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from faceid.errors import SetupError
from faceid.flux.fast.weights import FOLDER, UPSCALER_FILE


class Enlarger:
    """Pictures (W, H) -> (4W, 4H), on the CPU. `network` takes and gives (B, 3, H, W), 0 to 1."""

    def __init__(self, network: nn.Module):
        self.network = network.float().eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> Image.Image:
        pixels = pil_to_tensor(picture.convert("RGB"))[None].float() / 255
        return to_pil_image(self.network(pixels)[0].clamp(0, 1))


def load_enlarger(folder: Path = FOLDER) -> Enlarger:
    """The upscaler of `folder`, read by spandrel. SetupError: it is missing, or no network that spandrel knows."""
    file = folder / UPSCALER_FILE
    if not file.is_file():
        raise SetupError(f"{file} is missing: install the project again, or train it (README, `fast`).")
    network = ModelLoader().load_from_state_dict(load_file(file))
    if not isinstance(network, ImageModelDescriptor):
        raise SetupError(f"{file} is not an upscaler of single pictures.")
    return Enlarger(network.model)
