"""Seconds a picture and peak memory on this machine's GPU: every base model on every rung of its memory ladder.

Downloads what is not there yet (34 GB a base model, less what they share). Memory is what torch reserved, GB of 10^9.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from faceid.base_models import BASE_MODELS, BaseModel, Rung
from faceid.bench.figures import Measurement, markdown_table
from faceid.bench.timing import time_once
from faceid.domain import GenerationRequest, WeightedIdentity
from faceid.errors import FaceIDError, SetupError
from faceid.flux.memory import GB
from faceid.flux.pipeline import Sources, load_engine
from faceid.settings import Settings

HEADER = ("base model", "rung", "steps", "seconds a picture", "peak GB")


class Cost(NamedTuple):
    """What one picture cost; `missing` says why it could not be drawn."""

    seconds: float | None = None
    peak_gb: float | None = None
    missing: str = ""


class PeakMemory(NamedTuple):
    """How peak memory is read: `reset()`, then `read()` in bytes."""

    reset: Callable[[], None] = torch.cuda.reset_peak_memory_stats
    read: Callable[[], int] = torch.cuda.max_memory_reserved


HUB, GPU_MEMORY = Sources(), PeakMemory()
Row = tuple[BaseModel, Rung, Cost]


def measure_gpu() -> Measurement:
    """Seconds of the first picture that fits; `done` is the README's table, filled. SetupError: no CUDA device."""
    if not torch.cuda.is_available():
        raise SetupError("There is no CUDA device here: run it on the machine whose GPU is to be known.")
    settings = Settings.from_env()
    lock_dir = settings.data_dir / "packs"
    rows = []
    for model, rung in rungs():
        cost = measure_rung(model, rung, lock_dir=lock_dir, token=settings.hf_token)
        rows.append((model, rung, cost))
        gc.collect()
        torch.cuda.empty_cache()
    seconds = [cost.seconds for _, _, cost in rows if cost.seconds is not None]
    if not seconds:
        raise SetupError("\n".join(f"{model.slug}, {rung.name}: {cost.missing}" for model, rung, cost in rows))
    reasons = [f"{model.slug}, {rung.name}: {cost.missing}" for model, rung, cost in rows if cost.missing]
    device = torch.cuda.get_device_name()
    return Measurement(seconds[0], "\n".join([f"{device}, with an identity", *table(rows), *reasons]))


def rungs(models: Sequence[BaseModel] = BASE_MODELS) -> Iterator[tuple[BaseModel, Rung]]:
    """Every base model that has a ladder, with every rung of it."""
    for model in models:
        for rung in model.ladder:
            yield model, rung


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown, a line each; a picture that could not be drawn has empty cells."""
    lines = []
    for model, rung, cost in rows:
        figures = [f"{value:.1f}" if value is not None else "" for value in (cost.seconds, cost.peak_gb)]
        lines.append((f"`{model.slug}`", rung.name, str(model.default_steps), *figures))
    return markdown_table(HEADER, lines)


def measure_rung(
    model: BaseModel,
    rung: Rung,
    *,
    lock_dir: Path,
    token: str | None = None,
    sources: Sources = HUB,
    memory: PeakMemory = GPU_MEMORY,
) -> Cost:
    """The second picture's seconds and what was reserved at most, weights included; the first one warms up."""
    free = sources.free_memory(sources.device)
    if free is not None and free < rung.free:
        return Cost(missing=f"{free:.1f} GB are free, {rung.free:g} GB are wanted")
    on_this_rung = replace(sources, free_memory=lambda device: rung.free)
    memory.reset()
    try:
        engine = load_engine(model, lock_dir=lock_dir, face_pack=model.face_pack, token=token, sources=on_this_rung)
        request = build_request(model, engine.encoder.unconditional())
        list(engine.generator.generate(request))
        seconds = time_once(lambda: list(engine.generator.generate(request)))
    except FaceIDError as error:
        return Cost(missing=str(error))
    return Cost(seconds, memory.read() / GB)


def build_request(model: BaseModel, tokens: np.ndarray) -> GenerationRequest:
    """One picture as `model` draws it where nothing else is said, with an identity: that of an empty face."""
    return GenerationRequest(
        base_model=model.slug,
        prompt="photo of a woman trekking in the alps, warm light",
        seed=1,
        num_images=1,
        num_inference_steps=model.default_steps,
        guidance_scale=model.default_guidance,
        width=model.native_side,
        height=model.native_side,
        identities=(WeightedIdentity(tokens),),
        identity_start=model.identity_start,
    )
