"""A Hub cache with all that a base model is made of, at toy width: pipelines, PuLID, the vision tower, face packs."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, FluxPipeline
from safetensors.torch import save
from tiny_hub import write_cache
from tiny_pack import write_tiny_pack
from torch import nn

from faceid.base_models import FACE_PACK_WEIGHTS, find_base_model
from faceid.flux.fast import config
from faceid.flux.fast.build import build_pipeline, seeded
from faceid.flux.pipeline import Sources
from faceid.flux.snapshot import SHARED_COMPONENTS, download_pipeline
from faceid.hub import fetch
from faceid.pulid import weights
from faceid.pulid.cross_attention import IdentityCrossAttention
from faceid.pulid.encoder import IdentityEncoder
from faceid.pulid.face_picture import LABELS
from faceid.pulid.vision_tower import VisionTower

ARCHITECTURE = weights.PuLIDArchitecture(
    encoder=config.IDENTITY_ENCODER,
    cross_attention={"dim": config.WIDTH, **config.ADAPTER},
    num_cross_attentions=2,
    tower=config.VISION_TOWER,
)


AUTOENCODER = {
    "latent_channels": 16,
    "encoder_block_out_channels": (48, 48, 48),  # 3 stages: 4 times smaller
    "decoder_block_out_channels": (48, 48, 48),
    "num_encoder_blocks": (1, 1, 1),
    "num_decoder_blocks": (1, 1, 1),
}


def read_folder(folder: Path, without: Collection[str] = ()) -> dict[str, bytes]:
    """The folder's files by their path in it, without those of some subfolders."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name.split("/")[0] not in without}


def build_hub_pipeline() -> FluxPipeline:
    """`fast`'s pipeline with an autoencoder that is whole again after it was saved, as those on the Hub are."""
    pipeline = build_pipeline()
    pipeline.register_modules(vae=AutoencoderTiny(**AUTOENCODER).eval().requires_grad_(False))
    return pipeline


def write_base_models(cache: Path, scratch: Path) -> None:
    """flux1-dev as a whole; flux1-schnell without text encoders and VAE; PuLID; the tower; both face packs."""
    with seeded(0):
        pipeline = build_hub_pipeline()
        pipeline.save_pretrained(scratch / "dev")
        schnell = {**pipeline.transformer.config, "guidance_embeds": False}
        pipeline.register_modules(transformer=type(pipeline.transformer).from_config(schnell))
        pipeline.save_pretrained(scratch / "schnell")
        write_pulid(cache)
    write_cache(cache, find_base_model("flux1-dev").repo, read_folder(scratch / "dev"))
    write_cache(cache, find_base_model("flux1-schnell").repo, read_folder(scratch / "schnell", SHARED_COMPONENTS))
    pack = read_folder(write_tiny_pack(scratch / "pack"))
    for face_pack in FACE_PACK_WEIGHTS.values():
        write_cache(cache, face_pack.repo, pack)


def write_pulid(cache: Path) -> None:
    """PuLID's checkpoint and the tower's, with random weights, keys as in the real ones."""
    cross_attentions = nn.ModuleList(
        IdentityCrossAttention(**ARCHITECTURE.cross_attention) for _ in range(ARCHITECTURE.num_cross_attentions)
    )
    pulid = nn.ModuleDict({"pulid_encoder": IdentityEncoder(**ARCHITECTURE.encoder), "pulid_ca": cross_attentions})
    write_cache(cache, weights.PULID_REPO, {weights.PULID_FILE: save_bfloat16(pulid)})
    tower = VisionTower(**ARCHITECTURE.tower)
    open_clip = {f"visual.trunk.{name}": weight.half() for name, weight in tower.trunk.state_dict().items()}
    write_cache(cache, weights.TOWER_REPO, {weights.TOWER_FILE: save(open_clip)})


def save_bfloat16(module: nn.Module) -> bytes:
    return save({name: weight.to(torch.bfloat16).contiguous() for name, weight in module.state_dict().items()})


def see_skin(aligned: np.ndarray) -> np.ndarray:
    """A face parser to which every pixel is skin."""
    return np.full(aligned.shape[:2], LABELS.index("skin"))


def cache_sources(cache: Path, *, free: float | None = None) -> Sources:
    """The real loading code on the cache, for the CPU, which is taken for a device with `free` GB."""
    return Sources(
        download=partial(download_pipeline, cache_dir=cache),
        load_pulid=partial(
            weights.load_pulid_flux,
            fetch=partial(fetch, cache_dir=cache),
            load_parser=lambda: see_skin,
            architecture=ARCHITECTURE,
        ),
        cross_attention=config.ADAPTER,
        device="cpu",
        free_memory=lambda device: free,
    )
