"""The memory ladder: how base models lie in a GPU's memory, chosen by what is free. Knows no pipeline.

Choosing is pure; `base_models` owns the numbers, `placement` carries it out. Imports no diffusers: the doctor has
ten seconds.
"""

import logging
from collections.abc import Sequence

import torch
from spaces.config import Config

from faceid.base_models import BaseModel, Rung
from faceid.errors import SetupError

logger = logging.getLogger(__name__)

GB = 10**9
HALF_CARD = 45.1  # GB; above, ZeroGPU gives every call a whole card, at twice the quota


def free_memory(device: str) -> float | None:
    """The free GB of a CUDA device; None where there is nothing to choose: on the CPU, and on ZeroGPU, where all lies
    on a GPU that is not there yet."""
    if torch.device(device).type != "cuda" or Config.zero_gpu:
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free / GB


def wanted_memory(base_models: Sequence[BaseModel], step: int = 0) -> float:
    """The GB to be free for all of `base_models` on the step of their ladders (0: the best): text encoders and VAE are
    there once, and one picture is drawn at a time."""
    rungs = [model.ladder[step] for model in base_models]
    return max(rung.free for rung in rungs) + sum(sorted(rung.further for rung in rungs)[1:])


def choose_rung(base_models: Sequence[BaseModel], free: float | None) -> Rung:
    """The best rung on which `base_models` fit together into `free` GB (None: the best of all).

    SetupError: they fit on none; it says what would be enough and what runs here.
    """
    first = base_models[0]
    for step, rung in enumerate(first.ladder):
        if free is None or free >= wanted_memory(base_models, step):
            return rung
    names = ", ".join(model.slug for model in base_models)
    least = wanted_memory(base_models, len(first.ladder) - 1)
    raise SetupError(
        f"{names}: {free:.1f} GB of GPU memory are free, {least:.0f} GB are wanted at least. Close what else uses the "
        "GPU, or set FACEID_BASE_MODEL=fast, which draws on the CPU."
    )


def warn_of_a_whole_card(base_models: Sequence[BaseModel]) -> None:
    """On ZeroGPU: say in the log when the weights pass half a card."""
    wanted = wanted_memory(base_models)
    if Config.zero_gpu and wanted > HALF_CARD:
        logger.warning(
            "the base models want %.0f GB: above %.1f GB ZeroGPU gives every call a whole card, at twice the quota",
            wanted,
            HALF_CARD,
        )
