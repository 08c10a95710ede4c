"""Loads a base model with its identity adapter: `fast` made here, the others from the Hub. Owns where weights lie.

Knows repositories and devices; `generator` draws with what is loaded here.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from faceid.base_models import BaseModel
from faceid.errors import SetupError
from faceid.flux.fast import config as fast_config
from faceid.flux.fast.build import build_fast
from faceid.flux.generator import FluxGenerator
from faceid.hub import fetch
from faceid.pulid.adapter import PuLIDAdapter
from faceid.pulid.face_encoder import PuLIDFaceEncoder
from faceid.pulid.weights import PuLIDFlux, load_pulid_flux

logger = logging.getLogger(__name__)

# The diffusers layout; without the single-file checkpoints that lie beside it in black-forest-labs' repositories.
PIPELINE_FILES = ("model_index.json", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model")
DEV_SEQUENCE_LENGTH, SCHNELL_SEQUENCE_LENGTH = 512, 256  # T5 tokens each was trained with (its model card)


@dataclass(frozen=True)
class Engine:
    """A loaded base model: what draws, and what encodes faces for it."""

    base_model: BaseModel
    generator: FluxGenerator
    encoder: PuLIDFaceEncoder


def download_pipeline(repo: str, *, lock_dir: Path, token: str | None = None) -> Path:
    """The folder of `repo`'s pipeline, at the commit that `lock_dir`'s lock file holds (the first time: main's).

    SetupError: a licence to accept (it names the page), a Hub out of reach, a full disk.
    """
    commit = fetch(repo, "model_index.json", lock_dir=lock_dir, token=token).parent.name
    try:
        return Path(snapshot_download(repo, revision=commit, token=token, allow_patterns=list(PIPELINE_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SetupError(
            f"{repo} could not be downloaded as a whole ({type(error).__name__}): check the network and the free disk "
            f"space (34 GB), and that its licence is accepted at https://huggingface.co/{repo} by HF_TOKEN's account."
        ) from error


@dataclass(frozen=True)
class Sources:
    """Where the parts of a base model come from and go to: the Hub and a CUDA device, or what stands in for them.

    cross_attention: sizes of the adapter, where they are not PuLID-FLUX's.
    """

    download: Callable[..., Path] = download_pipeline
    load_pulid: Callable[..., PuLIDFlux] = load_pulid_flux
    cross_attention: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cuda"


def load_engine(
    base_model: BaseModel,
    *,
    lock_dir: Path,
    face_pack: str,
    token: str | None = None,
    sources: Sources = Sources(),
) -> Engine:
    """`base_model`, ready to draw. `face_pack` names the loaded pack; `token` reads gated repositories.

    The pipeline lies on `sources.device`, what encodes faces stays on the CPU. SetupError: no CUDA device, another
    face pack, a licence to accept, weights that cannot be had.
    """
    if base_model.face_pack not in (None, face_pack):
        raise SetupError(
            f"{base_model.slug} needs the face pack {base_model.face_pack}, loaded is {face_pack}: "
            f"set FACEID_FACE_PACK={base_model.face_pack}, or FACEID_BASE_MODEL=fast."
        )
    if base_model.repo is None:
        return _load_fast(base_model, face_pack)
    return _load_flux(base_model, lock_dir=lock_dir, token=token, sources=sources)


def _load_fast(base_model: BaseModel, face_pack: str) -> Engine:
    pipeline, adapter, encoder = build_fast(face_pack=face_pack)
    generator = FluxGenerator(
        base_model,
        pipeline,
        adapter,
        encoder.unconditional(),
        max_sequence_length=fast_config.MAX_SEQUENCE_LENGTH,
    )
    return Engine(base_model, generator, encoder)


def _load_flux(base_model: BaseModel, *, lock_dir: Path, token: str | None, sources: Sources) -> Engine:
    # 1. Refuse before 34 GB are downloaded
    if torch.device(sources.device).type == "cuda" and not torch.cuda.is_available():
        raise SetupError(
            f"{base_model.slug} needs a CUDA device and there is none: set FACEID_BASE_MODEL=fast to draw on the CPU."
        )
    # 2. The small parts first: they fail sooner
    pulid = sources.load_pulid(lock_dir=lock_dir, token=token)
    # 3. The pipeline
    folder = sources.download(base_model.repo, lock_dir=lock_dir, token=token)
    pipeline = FluxPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    # 4. The adapter, before anything wraps the transformer
    adapter = PuLIDAdapter(pipeline.transformer, pulid.cross_attentions, **sources.cross_attention)
    # 5. Where it lies
    place_pipeline(pipeline, sources.device)
    logger.info("%s loaded on %s", base_model.slug, sources.device)
    return Engine(
        base_model,
        FluxGenerator(
            base_model,
            pipeline,
            adapter,
            pulid.face_encoder.unconditional(),
            max_sequence_length=_sequence_length(pipeline),
        ),
        pulid.face_encoder,
    )


def place_pipeline(pipeline: FluxPipeline, device: str) -> None:
    """All of `pipeline` on `device`: 34 GB in bfloat16, 45 GB with what a 1024 px picture needs."""
    pipeline.to(device)


def _sequence_length(pipeline: FluxPipeline) -> int:
    """FLUX.1-schnell is the one without a guidance embedding."""
    return DEV_SEQUENCE_LENGTH if pipeline.transformer.config.guidance_embeds else SCHNELL_SEQUENCE_LENGTH
