"""Makes the modules of `fast`: with the trained weights that come with the project, or random ones from a seed.

`config` owns every number, `weight_files` the files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from faceid.base_models import PULID_FAST
from faceid.domain import IdentityKey
from faceid.flux.fast import config
from faceid.flux.fast.autoencoder import FluxAutoencoderDC
from faceid.flux.fast.tokenizers import build_tokenizer
from faceid.flux.fast.weight_files import FOLDER, load_weights
from faceid.pulid.adapter import PuLIDAdapter
from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_encoder import PuLIDFaceEncoder
from faceid.pulid.vision_tower import VisionTower

NETWORKS = ("vae", "text_encoder", "text_encoder_2", "transformer")  # of the pipeline


def build_fast(
    seed: int = 0, *, face_pack: str = "any", weights: Path | None = FOLDER
) -> tuple[FluxPipeline, PuLIDAdapter, PuLIDFaceEncoder]:
    """The pipeline, its identity adapter (attached) and what encodes faces for it: float32, on the CPU, in eval mode.

    weights: the folder of the trained weights, by default the project's; None: random ones, the same for the same
    seed. torch's global generator is left as it was. `face_pack` becomes part of the identity key: its detector decides
    the crop, its vectors are not used. SetupError: the folder's files are missing or of another version.
    """
    pipeline, adapter, tower, encoder = build_modules(seed)
    if weights:
        load_weights(name_modules(pipeline, tower, encoder), weights)
        revision = config.WEIGHTS_REVISION
    else:
        amplify(pipeline)
        revision = config.RANDOM_REVISION
    face_encoder = PuLIDFaceEncoder(
        IdentityKey(f"{PULID_FAST}@{revision}", face_pack),
        tower.requires_grad_(False),
        encoder.requires_grad_(False),
        picture="colour",
        arcface_slot="zeros",
        arcface_dim=config.ARCFACE_DIM,
    )
    return pipeline, adapter, face_encoder


def build_modules(seed: int) -> tuple[FluxPipeline, PuLIDAdapter, VisionTower, IdentityEncoder]:
    """Everything that has weights, with torch's own initialisation from `seed`."""
    with seeded(seed):
        pipeline = build_pipeline()
        adapter = PuLIDAdapter(pipeline.transformer, **config.ADAPTER)
        tower = VisionTower(**config.VISION_TOWER)
        encoder = IdentityEncoder(**config.IDENTITY_ENCODER)
    return pipeline, adapter, tower, encoder


def name_modules(pipeline: FluxPipeline, tower: VisionTower, encoder: IdentityEncoder) -> dict[str, nn.Module]:
    """What has weights, by the names the weight files use."""
    return {name: pipeline.components[name] for name in NETWORKS} | {"tower": tower, "encoder": encoder}


def build_pipeline() -> FluxPipeline:
    """A FluxPipeline of the config's widths, with torch's own initialisation from the global generator."""
    clip_tokenizer = build_tokenizer(config.CLIP_LENGTH, start=True)
    t5_tokenizer = build_tokenizer(config.MAX_SEQUENCE_LENGTH, start=False)
    vae = FluxAutoencoderDC(**config.AUTOENCODER)
    vae.register_to_config(**config.AUTOENCODER_FOR_FLUX)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**config.SCHEDULER),
        vae=vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(**config.CLIP_TEXT, **_special_ids(clip_tokenizer))),
        tokenizer=clip_tokenizer,
        text_encoder_2=T5EncoderModel(T5Config(**config.T5_TEXT, **_special_ids(t5_tokenizer))),
        tokenizer_2=t5_tokenizer,
        transformer=FluxTransformer2DModel(**config.TRANSFORMER),
    )
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.eval().requires_grad_(False)
    return pipeline


def amplify(pipeline: FluxPipeline) -> None:
    """Multiply random weights by the config's gains."""
    transformer = pipeline.transformer
    transformer.proj_out.weight.mul_(config.VELOCITY_GAIN)
    transformer.time_text_embed.text_embedder.linear_2.weight.mul_(config.PROMPT_GAIN)
    for cross_attention in transformer.pulid_ca:
        cross_attention.to_out.weight.mul_(config.IDENTITY_GAIN)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's CPU generator at `seed` inside, outside as it was; other devices' generators are not touched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
