"""Where the trained weights of `fast` lie: float16 safetensors beside this module, no file larger than Git is glad of.

Owns which tensor stands in which file; knows neither what the networks are nor how they were trained.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from faceid.errors import SetupError

FOLDER = Path(__file__).parent / "weights"
UPSCALER_FILE = "upscaler.safetensors"

FILES = {  # by the beginning of a tensor's name; the longest that fits
    "vae.": "autoencoder.safetensors",
    "text_encoder.": "texts.safetensors",
    "text_encoder_2.": "texts.safetensors",
    "transformer.": "transformer.safetensors",
    "transformer.single_transformer_blocks.": "transformer_single.safetensors",
    "transformer.pulid_ca.": "identity.safetensors",
    "tower.": "identity.safetensors",
    "encoder.": "identity.safetensors",
}


def load_weights(modules: Mapping[str, nn.Module], folder: Path) -> None:
    """Put the weights of `folder` into `modules`, by name: vae, text_encoder, …; they keep their own dtype.

    SetupError: a file is missing or damaged, or its tensors are not the modules'.
    """
    found: dict[str, Tensor] = {}
    for name in sorted(set(FILES.values())):
        file = find_file(folder, name)
        try:
            found |= load_file(file)
        except SafetensorError as error:
            raise SetupError(f"{file} is damaged: install the project again.") from error
    for prefix, module in modules.items():
        own = {name.removeprefix(f"{prefix}."): t for name, t in found.items() if name.startswith(f"{prefix}.")}
        try:
            module.load_state_dict(own, strict=True)
        except RuntimeError as error:
            raise SetupError(f"{folder} holds weights of another version of `fast`: {error}") from error


def find_file(folder: Path, name: str) -> Path:
    """The file `name` of the weights in `folder`. SetupError: it is missing."""
    file = folder / name
    if not file.is_file():
        raise SetupError(f"{file} is missing: install the project again, or train it (README, `fast`).")
    return file


def save_weights(modules: Mapping[str, nn.Module], folder: Path) -> None:
    """Write `modules` into the files of `folder`, as float16."""
    files: dict[str, dict[str, Tensor]] = {}
    for prefix, module in modules.items():
        for name, tensor in module.state_dict().items():
            files.setdefault(_file_of(f"{prefix}.{name}"), {})[f"{prefix}.{name}"] = _compact(tensor)
    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in files.items():
        save_file(tensors, folder / name)


def save_upscaler(upscaler: nn.Module, folder: Path) -> None:
    """Write the upscaler, by the names spandrel knows it by."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: _compact(tensor) for name, tensor in upscaler.state_dict().items()}, folder / UPSCALER_FILE)


def _file_of(name: str) -> str:
    return FILES[max((prefix for prefix in FILES if name.startswith(prefix)), key=len)]


def _compact(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
