"""Shows `fast`'s small pictures four times larger, with the upscaler trained for it. Knows one network and one file."""

from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from spandrel import ModelLoader, UnsupportedModelError
from torch import nn
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from faceid.errors import SetupError
from faceid.flux.fast.weight_files import FOLDER, UPSCALER_FILE, find_file


class Enlarger:
    """Pictures (W, H) -> (4W, 4H), on the CPU. `network` takes and gives (B, 3, H, W), 0 to 1."""

    def __init__(self, network: nn.Module):
        self.network = network.float().eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> Image.Image:
        pixels = pil_to_tensor(picture.convert("RGB"))[None].float() / 255
        return to_pil_image(self.network(pixels)[0].clamp(0, 1))


def load_enlarger(folder: Path = FOLDER) -> Enlarger:
    """The upscaler of `folder`, read by spandrel. SetupError: it is missing, damaged, or unknown to spandrel."""
    file = find_file(folder, UPSCALER_FILE)
    try:
        return Enlarger(ModelLoader().load_from_file(file).model)
    except (SafetensorError, UnsupportedModelError) as error:
        raise SetupError(f"{file} cannot be read ({type(error).__name__}): install the project again.") from error
