"""Where the weights of PuLID-FLUX come from, and that they are what the classes expect. The package's only downloads.

Knows repositories, files and keys; `fetch` (faceid.hub) knows caches, locks and hashes.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from faceid.base_models import ADAPTER_WEIGHTS, PARSER_FILE, PULID_FLUX
from faceid.domain import IdentityKey
from faceid.errors import SetupError
from faceid.hub import fetch as fetch_from_hub
from faceid.hub import sha256_of
from faceid.pulid.cross_attention import IdentityCrossAttention
from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_encoder import PuLIDFaceEncoder
from faceid.pulid.face_picture import FaceParser
from faceid.pulid.vision_tower import VisionTower

logger = logging.getLogger(__name__)

(PULID_REPO, (PULID_FILE,)), (TOWER_REPO, (TOWER_FILE,)) = ((w.repo, w.files) for w in ADAPTER_WEIGHTS[PULID_FLUX])
FACE_PACK = "antelopev2"  # whose vectors PuLID-FLUX was trained on
ENCODER_PREFIX, CROSS_ATTENTION_PREFIX = "pulid_encoder.", "pulid_ca."


class Fetch(Protocol):
    """`faceid.hub.fetch`, or what stands in for it."""

    def __call__(self, repo: str, filename: str, *, lock_dir: Path, token: str | None = None) -> Path: ...


@dataclass(frozen=True)
class PuLIDArchitecture:
    """The sizes a checkpoint is held to, as arguments of the classes. The defaults are PuLID-FLUX's."""

    encoder: Mapping[str, Any] = field(default_factory=dict)
    cross_attention: Mapping[str, Any] = field(default_factory=dict)
    num_cross_attentions: int = 20
    tower: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PuLIDFlux:
    """A loaded adapter: what encodes faces, and the `state_dict` of a PuLIDAdapter, in the file's dtype on the CPU."""

    key: IdentityKey
    face_encoder: PuLIDFaceEncoder
    cross_attentions: Mapping[str, Tensor] = field(repr=False)


def load_pulid_flux(
    *,
    lock_dir: Path,
    token: str | None = None,
    fetch: Fetch = fetch_from_hub,
    load_parser: Callable[[], FaceParser] | None = None,
    architecture: PuLIDArchitecture = PuLIDArchitecture(),
) -> PuLIDFlux:
    """PuLID-FLUX v0.9.1, the EVA02-CLIP tower and the face parser. `lock_dir` and `token` go to `fetch`.

    The identity key names the file: tokens of other weights are never mixed with these. SetupError: a file cannot be
    had or is not what it should be; it names the first keys that differ.
    """
    path = fetch(PULID_REPO, PULID_FILE, lock_dir=lock_dir, token=token)
    encoder_state, cross_attentions = split_checkpoint(_load_safetensors(path))
    with torch.device("meta"):
        encoder = IdentityEncoder(**architecture.encoder)
        template = nn.ModuleList(
            IdentityCrossAttention(**architecture.cross_attention) for _ in range(architecture.num_cross_attentions)
        )
    check_state_dict(encoder, encoder_state, source=f"{PULID_FILE}, {ENCODER_PREFIX}*")
    check_state_dict(template, cross_attentions, source=f"{PULID_FILE}, {CROSS_ATTENTION_PREFIX}*")
    encoder.load_state_dict({name: weight.float() for name, weight in encoder_state.items()}, assign=True)
    tower = load_vision_tower(fetch, lock_dir=lock_dir, token=token, config=architecture.tower)
    parser = (load_parser or load_face_parser)()
    key = IdentityKey(f"{PULID_FLUX}@{sha256_of(path)[:12]}", FACE_PACK)
    face_encoder = PuLIDFaceEncoder(key, tower, encoder.requires_grad_(False), parser)
    return PuLIDFlux(key, face_encoder, cross_attentions)


def load_vision_tower(
    fetch: Fetch, *, lock_dir: Path, token: str | None = None, config: Mapping[str, Any] | None = None
) -> VisionTower:
    """EVA02-CLIP-L/14-336 from the Hub (float16 there, float32 here). SetupError: not there, or not that network."""
    state_dict = _load_safetensors(fetch(TOWER_REPO, TOWER_FILE, lock_dir=lock_dir, token=token))
    try:
        return VisionTower.from_checkpoint(state_dict, **(config or {}))
    except RuntimeError as error:
        raise SetupError(f"{TOWER_REPO}, {TOWER_FILE} is not the vision tower PuLID-FLUX needs: {error}") from error


def load_face_parser(open_model: Callable[[], Callable[[np.ndarray], np.ndarray]] | None = None) -> FaceParser:
    """uniface's BiSeNet (ResNet-18, 19 labels in the order of LABELS); its own release, its own sha256, its own cache.

    open_model: what gives the network, BGR crop in, labels out. SetupError: it cannot be downloaded or opened.
    """
    try:
        network = (open_model or _open_bisenet)()
    except (OSError, RuntimeError) as error:  # uniface: ConnectionError (download or hash), RuntimeError (onnxruntime)
        raise SetupError(
            f"The face parser that PuLID-FLUX needs cannot be had: {error}. Connect to the internet once, or put "
            f"uniface's {PARSER_FILE} in its cache, ~/.uniface/models (UNIFACE_CACHE_DIR)."
        ) from error

    def parse_face(aligned: np.ndarray) -> np.ndarray:
        return network(cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR))

    return parse_face


def split_checkpoint(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The encoder's and the cross-attentions' weights, without their prefixes. SetupError: keys of neither."""
    encoder, cross_attentions, foreign = {}, {}, []
    for name, weight in state_dict.items():
        if name.startswith(ENCODER_PREFIX):
            encoder[name.removeprefix(ENCODER_PREFIX)] = weight
        elif name.startswith(CROSS_ATTENTION_PREFIX):
            cross_attentions[name.removeprefix(CROSS_ATTENTION_PREFIX)] = weight
        else:
            foreign.append(name)
    if foreign:
        raise SetupError(f"{PULID_FILE}: {foreign[0]} is not a weight of PuLID-FLUX ({len(foreign)} such keys).")
    return encoder, cross_attentions


def check_state_dict(module: nn.Module, state_dict: Mapping[str, Tensor], *, source: str) -> None:
    """SetupError where keys or shapes are not those of `module` (which may lie on meta); names the first three."""
    wanted = {name: tuple(weight.shape) for name, weight in module.state_dict().items()}
    given = {name: tuple(weight.shape) for name, weight in state_dict.items()}
    wrong = [f"{name} is missing" for name in wanted if name not in given]
    wrong += [f"{name} is not expected" for name in given if name not in wanted]
    wrong += [
        f"{name} is {given[name]}, not {shape}" for name, shape in wanted.items() if given.get(name, shape) != shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise SetupError(f"{source}: {'; '.join(wrong[:3])}{more}. Delete the file and start again to fetch it anew.")


def _open_bisenet() -> Callable[[np.ndarray], np.ndarray]:
    from uniface.parsing import BiSeNet

    logger.info("loading the face parser, uniface BiSeNet (ResNet-18)")
    return BiSeNet(providers=["CPUExecutionProvider"])


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise SetupError(f"{path.name} cannot be read as safetensors: {error}. Delete it and start again.") from error
