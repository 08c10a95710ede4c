"""Where the networks that finish pictures come from: the Hugging Face Hub, or nowhere, with the reason in words.

`base_models` says which files; spandrel reads .pth files without unpickling code. What cannot be had is not an error:
the app starts, and the step says why it is off.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

from faceid import hub
from faceid.base_models import FINISHING_WEIGHTS, BaseModel
from faceid.errors import SetupError
from faceid.finishing.face_correct import FaceCorrect
from faceid.finishing.face_swap import FaceSwap, SwapReader
from faceid.finishing.super_resolution import SCALE, SuperResolution

logger = logging.getLogger(__name__)

# What spandrel and those below it raise for a file that is damaged, is another's, or holds code.
DAMAGE = (
    UnsupportedModelError,
    UnpicklingError,
    SafetensorError,
    ValueError,
    RuntimeError,
    OSError,
    LookupError,
    EOFError,
)
NOT_ACCEPTED = (
    "its weights are for non-commercial research only. Whoever runs this app accepts that with "
    "FACEID_ACCEPT_INSWAPPER=true"
)
NOT_ASKED = "its weights are not part of this app, which was started to download nothing (FACEID_FACE_PACK=offline)"
OUT_OF_REACH = "its weights could not be downloaded: the Hugging Face Hub was out of reach when this app was started"
UNUSABLE = "its weights could not be loaded when this app was started; its log says why"


class LeftOut(SetupError):
    """Weights that whoever runs the app does not want: the text is one for everybody."""


@dataclass(frozen=True)
class Networks:
    """What is loaded; `missing` gives, by the step's name, why it is not."""

    super_resolution: SuperResolution | None = None
    face_correct: FaceCorrect | None = None
    face_swap: FaceSwap | None = None
    swap_reader: SwapReader | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


def steps_with_weights(base_models: Iterable[BaseModel]) -> list[str]:
    """The finishing steps that load weights beside `base_models`: those of the project bring their own upscaler."""
    own_upscaler = all(model.repo is None for model in base_models)
    return [name for name in FINISHING_WEIGHTS if name != "super_resolution" or not own_upscaler]


def fetch_weights(
    name: str,
    *,
    lock_dir: Path,
    offline: bool,
    accept_inswapper: bool,
    token: str | None = None,
    fetch: Callable[..., Path] = hub.fetch,
) -> list[Path]:
    """The files of the finishing step `name`, in the order of FINISHING_WEIGHTS.

    SetupError: the licence was not accepted, the Hub is not to be asked (`offline`), or as `fetch`.
    """
    if name == "face_swap" and not accept_inswapper:
        raise LeftOut(NOT_ACCEPTED)
    if offline:
        raise LeftOut(NOT_ASKED)
    named = [(weights.repo, filename) for weights in FINISHING_WEIGHTS[name] for filename in weights.files]
    return [fetch(repo, filename, lock_dir=lock_dir, token=token) for repo, filename in named]


def load_networks(steps: Iterable[str] = tuple(FINISHING_WEIGHTS), *, device: str = "cpu", **options: Any) -> Networks:
    """What can be had for `steps`: torch networks on `device`, ONNX files for the CPU; `options` as `fetch_weights`."""
    loaded, missing = {}, {}
    for name in steps:
        try:
            loaded |= LOADERS[name](fetch_weights(name, **options), device)
        except SetupError as error:
            missing[name] = _for_users(error)
            logger.info("%s is off: %s", name, error)
    return Networks(**loaded, missing=missing)


def _for_users(error: SetupError) -> str:
    """Why a step is off, for those who cannot mend it; the log names files and repositories."""
    if isinstance(error, LeftOut):
        return str(error)
    return OUT_OF_REACH if isinstance(error, hub.HubUnreachable) else UNUSABLE


def _load_super_resolution(files: list[Path], device: str) -> dict[str, SuperResolution]:
    network = _read(files[0], scale=SCALE)
    half = torch.device(device).type == "cuda" and network.supports_half
    return {"super_resolution": SuperResolution(network.model.to(device, torch.float16 if half else torch.float32))}


def _load_face_correct(files: list[Path], device: str) -> dict[str, FaceCorrect]:
    return {"face_correct": FaceCorrect(_read(files[0], scale=1).model.to(device, torch.float32))}


def _load_face_swap(files: list[Path], device: str) -> dict[str, FaceSwap | SwapReader]:
    return {"face_swap": FaceSwap(files[0]), "swap_reader": SwapReader(files[1])}


LOADERS = {
    "super_resolution": _load_super_resolution,
    "face_correct": _load_face_correct,
    "face_swap": _load_face_swap,
}


def _read(path: Path, *, scale: int) -> ImageModelDescriptor:
    """The network in a file, by what spandrel sees in it. SetupError: another network, or no network."""
    try:
        network = ModelLoader().load_from_file(path)
    except DAMAGE as error:
        raise SetupError(f"{path} cannot be read ({type(error).__name__}): delete it to download it again.") from error
    if not isinstance(network, ImageModelDescriptor) or network.scale != scale:
        raise SetupError(f"{path} is another network than was expected: delete it to download it again.")
    return network
