"""Gives every loaded base model what finishes its pictures. Knows the loaders; `weights` says what can be had."""

from collections.abc import Callable
from pathlib import Path

from faceid import hub
from faceid.faces.finder import FaceFinder
from faceid.finishing.chain import FinishingChain
from faceid.finishing.super_resolution import SuperResolution
from faceid.finishing.weights import Networks, load_networks, steps_with_weights
from faceid.flux.fast.enlarging import load_enlarger
from faceid.flux.loading import Loaded
from faceid.settings import Settings


def load_finishing(settings: Settings, loaded: Loaded, *, fetch: Callable[..., Path] = hub.fetch) -> Networks:
    """The networks that could be had; the generators of `loaded` finish with them from now on.

    They lie where the base models do. A base model whose weights come with the project enlarges with its own upscaler.
    """
    base_models = [engine.base_model for engine in loaded.engines]
    networks = load_networks(
        steps_with_weights(base_models),
        lock_dir=settings.data_dir / "packs",
        offline=settings.face_pack == "offline",
        accept_inswapper=settings.accept_inswapper,
        device="cuda" if any(model.needs_cuda for model in base_models) else "cpu",
        token=settings.hf_token,
        fetch=fetch,
    )
    find_faces = FaceFinder(loaded.pack)
    for engine in loaded.engines:
        own = SuperResolution(load_enlarger().network) if engine.base_model.repo is None else None
        engine.generator.finish = FinishingChain(networks, find_faces, super_resolution=own)
    return networks
