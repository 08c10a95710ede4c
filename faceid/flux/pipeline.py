"""Loads base models with their identity adapter: `fast` made here, the others from the Hub. Owns what they share.

Knows repositories and devices; `snapshot` downloads, `memory` decides where it lies, `generator` draws with it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline
from safetensors import SafetensorError
from torch import nn

from faceid.base_models import BaseModel, Rung
from faceid.errors import SetupError
from faceid.flux.fast import config as fast_config
from faceid.flux.fast.build import build_fast
from faceid.flux.fast.enlarging import load_enlarger
from faceid.flux.fast.weight_files import FOLDER
from faceid.flux.generator import FluxGenerator
from faceid.flux.memory import choose_rung, free_memory, warn_of_a_whole_card
from faceid.flux.placement import load_transformer, place_pipeline
from faceid.flux.snapshot import SHARED_COMPONENTS, download_pipeline
from faceid.pulid.adapter import PuLIDAdapter
from faceid.pulid.face_encoder import PuLIDFaceEncoder
from faceid.pulid.weights import PuLIDFlux, load_pulid_flux

logger = logging.getLogger(__name__)

DEV_SEQUENCE_LENGTH, SCHNELL_SEQUENCE_LENGTH = 512, 256  # T5 tokens each was trained with (its model card)


@dataclass(frozen=True)
class Engine:
    """A loaded base model: what draws, what encodes faces for it, and how it lies in memory (None: on the CPU)."""

    base_model: BaseModel
    generator: FluxGenerator
    encoder: PuLIDFaceEncoder
    rung: Rung | None = None

    def compile(self) -> None:
        """Compile the generator's blocks; SetupError where they are offloaded."""
        if self.rung and self.rung.offload:
            raise SetupError(
                f"FACEID_COMPILE=true: {self.base_model.slug} lies in memory as {self.rung.name} here, and offloaded "
                "blocks cannot be compiled. Unset it, or use a GPU with more free memory."
            )
        self.generator.compile()


@dataclass(frozen=True)
class Sources:
    """Where the parts of a base model come from and go to: the Hub and a CUDA device, or what stands in for them.

    cross_attention: sizes of the adapter, where they are not PuLID-FLUX's. free_memory gives the free GB of `device`.
    """

    download: Callable[..., Path] = download_pipeline
    load_pulid: Callable[..., PuLIDFlux] = load_pulid_flux
    cross_attention: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cuda"
    free_memory: Callable[[str], float | None] = free_memory


def load_engines(
    base_models: Sequence[BaseModel],
    *,
    lock_dir: Path,
    face_pack: str,
    token: str | None = None,
    sources: Sources = Sources(),
) -> tuple[Engine, ...]:
    """`base_models`, ready to draw, in their order.

    `face_pack` names the loaded pack; `token` reads gated repositories. Those of the Hub share one adapter's weights
    and face encoder and, within a family, text encoders and VAE; they lie on `sources.device` as its free memory
    allows. What encodes faces stays on the CPU. Where their `rung` offloads, they must not draw at the same time.
    SetupError: no CUDA device or too little memory, another face pack, a licence to accept, weights not to be had.
    """
    for base_model in base_models:
        _check_face_pack(base_model, face_pack)
    of_the_hub = [base_model for base_model in base_models if base_model.repo is not None]
    engines = [load_fast(base_model, face_pack) for base_model in base_models if base_model.repo is None]
    if of_the_hub:
        engines += _load_flux(of_the_hub, lock_dir=lock_dir, token=token, sources=sources)
    return tuple(sorted(engines, key=lambda engine: base_models.index(engine.base_model)))


def load_engine(base_model: BaseModel, **options: Any) -> Engine:
    """One base model alone; `options` are those of `load_engines`."""
    (engine,) = load_engines((base_model,), **options)
    return engine


def load_fast(base_model: BaseModel, face_pack: str, weights: Path | None = FOLDER) -> Engine:
    """The base model `fast`, ready to draw, with the weights of a folder, by default the project's; None: random ones.

    `face_pack` names the loaded pack. SetupError: a file of the weights is missing, damaged or of another version.
    """
    pipeline, adapter, encoder = build_fast(face_pack=face_pack, weights=weights)
    generator = FluxGenerator(
        base_model,
        pipeline,
        adapter,
        encoder.unconditional(),
        max_sequence_length=fast_config.MAX_SEQUENCE_LENGTH,
        enlarge=load_enlarger(weights) if weights else None,
    )
    return Engine(base_model, generator, encoder)


def _check_face_pack(base_model: BaseModel, face_pack: str) -> None:
    if base_model.face_pack not in (None, face_pack):
        raise SetupError(
            f"{base_model.slug} needs the face pack {base_model.face_pack}, loaded is {face_pack}: "
            f"set FACEID_FACE_PACK={base_model.face_pack}, or FACEID_BASE_MODEL=fast."
        )


def _load_flux(
    base_models: Sequence[BaseModel], *, lock_dir: Path, token: str | None, sources: Sources
) -> list[Engine]:
    # 1. Refuse before 34 GB are downloaded
    names = ", ".join(base_model.slug for base_model in base_models)
    if torch.device(sources.device).type == "cuda" and not torch.cuda.is_available():
        raise SetupError(
            f"{names} needs a CUDA device and there is none: set FACEID_BASE_MODEL=fast to draw on the CPU."
        )
    free = sources.free_memory(sources.device)
    rung = choose_rung(base_models, free)
    logger.info("%s: %s on %s%s", names, rung.name, sources.device, "" if free is None else f" ({free:.1f} GB free)")
    warn_of_a_whole_card(base_models)
    # 2. The small parts first: they fail sooner
    pulid = sources.load_pulid(lock_dir=lock_dir, token=token)
    unconditional_tokens = pulid.face_encoder.unconditional()
    # 3. One pipeline after the other; of a family the first brings what they share
    engines, shared = [], {}
    for base_model in base_models:
        parts = shared.setdefault(base_model.lane, {})
        folder = sources.download(base_model.repo, lock_dir=lock_dir, token=token, without=tuple(parts))
        pipeline = load_pipeline(folder, rung, parts)
        parts |= {name: pipeline.components[name] for name in SHARED_COMPONENTS}
        # 4. The adapter, before anything wraps the transformer
        adapter = PuLIDAdapter(pipeline.transformer, pulid.cross_attentions, **sources.cross_attention)
        # 5. Where it lies
        place_pipeline(pipeline, rung, sources.device)
        length = _sequence_length(pipeline)
        generator = FluxGenerator(base_model, pipeline, adapter, unconditional_tokens, max_sequence_length=length)
        engines.append(Engine(base_model, generator, pulid.face_encoder, rung))
        logger.info("%s is loaded", base_model.slug)
    return engines


def load_pipeline(folder: Path, rung: Rung, shared: Mapping[str, nn.Module]) -> FluxPipeline:
    """The pipeline in `folder`, on the CPU, in the number formats of `rung`; `shared` components are not loaded again.

    SetupError: a file is damaged.
    """
    try:
        transformer = load_transformer(folder, rung)
        return FluxPipeline.from_pretrained(folder, transformer=transformer, dtype=torch.bfloat16, **shared)
    except (OSError, SafetensorError) as error:
        raise SetupError(
            f"The pipeline in {folder} cannot be loaded ({error}). Delete the folder to download it again."
        ) from error


def _sequence_length(pipeline: FluxPipeline) -> int:
    """FLUX.1-schnell is the one without a guidance embedding."""
    return DEV_SEQUENCE_LENGTH if pipeline.transformer.config.guidance_embeds else SCHNELL_SEQUENCE_LENGTH
