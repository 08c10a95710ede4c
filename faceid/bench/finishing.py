"""What finishing a picture costs on the CPU: seconds and memory of each step, and its share of the whole.

Seconds are the processor's, of all cores together: whatever else the machine does is not counted.

Networks have their real widths and random weights: their time does not depend on what they have learned. What Flux
draws (hires_fix, inpaint_faces) is left out, its tiles and masks are not. face_swap's network cannot be had without
accepting its licence: it is not measured.
"""

import ctypes
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.GFPGAN import GFPGAN

from faceid.bench.figures import Measurement, markdown_table
from faceid.bench.photo import PORTRAIT
from faceid.bench.processes import read_peak_memory
from faceid.bench.timing import time_once
from faceid.faces.detection import Detection
from faceid.finishing import film
from faceid.finishing.face_correct import FaceCorrect
from faceid.finishing.super_resolution import SCALE, TILE, SuperResolution
from faceid.flux.hires_fix import hires_fix
from faceid.flux.inpaint_faces import inpaint_faces

SIDE = 1024
HEADER = ("step", "picture", "CPU seconds", "memory, MB", "share")
CLEAR_PEAK = Path("/proc/self/clear_refs")


class Cost(NamedTuple):
    """A step on a picture of `side` px: CPU seconds, and the bytes it had resident beyond what was there before."""

    step: str
    side: int
    seconds: float
    peak: int


def measure_finishing(
    side: int = SIDE, networks: Callable[[], tuple[SuperResolution, FaceCorrect]] | None = None
) -> Measurement:
    """The CPU seconds of all steps together on a picture of `side` px; SetupError: not on Linux.

    super_resolution is measured on one tile and counted for all: on a CPU the whole takes minutes.
    """
    super_resolution, face_correct = (networks or build_networks)()
    with Image.open(PORTRAIT) as portrait:
        picture = portrait.convert("RGB").resize((side, side))
    tile = picture.resize((min(TILE, side),) * 2)
    large = picture.resize((SCALE * side,) * 2)
    face = Detection((0.4 * side, 0.1 * side, 0.55 * side, 0.25 * side), _landmarks(side), 0.9)
    small = [face._replace(box=tuple(SCALE * edge for edge in face.box))]
    tiles = super_resolution.count_tiles(side, side)
    costs = [
        measure("face_correct", side, lambda: face_correct(picture, [face], 0.8)),
        measure("super_resolution", side, lambda: super_resolution(tile), times=tiles),
        measure("hires_fix, without drawing", SCALE * side, lambda: hires_fix(large, lambda part, n: part, side=side)),
        measure(
            "inpaint_faces, without drawing",
            SCALE * side,
            lambda: inpaint_faces(large, small, lambda crop, mask, n: crop, side=side),
        ),
        measure("color_grading", SCALE * side, lambda: film.grade_colors(large, "Film Velvia")),
        measure("film_grain", SCALE * side, lambda: film.add_grain(large, 1)),
    ]
    whole = sum(cost.seconds for cost in costs)
    said = f"random weights of full width; super_resolution: {tiles} tiles of {tile.width} px, one of them measured"
    return Measurement(whole, "\n".join([said, *table(costs)]))


def build_networks() -> tuple[SuperResolution, FaceCorrect]:
    """Real-ESRGAN x4plus and GFPGAN v1.4 as spandrel builds them, with random weights, float32."""
    torch.manual_seed(0)
    restorer = GFPGAN(
        out_size=512,
        num_style_feat=512,
        channel_multiplier=2,
        num_mlp=8,
        input_is_latent=True,
        different_w=True,
        narrow=1,
        sft_half=True,
    )
    upscaler = ESRGAN(in_nc=3, out_nc=3, num_filters=64, num_blocks=23, scale=SCALE)
    return SuperResolution(upscaler), FaceCorrect(restorer)


def measure(step: str, side: int, work: Callable[[], object], *, times: int = 1) -> Cost:
    """`work` once, warm where it is short; its seconds count `times`."""
    if times == 1:
        work()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what earlier steps freed would be used again, and the peak not seen
    CLEAR_PEAK.write_text("5")  # the peak begins anew: proc(5)
    before = read_peak_memory(os.getpid())
    seconds = times * time_once(work, time.process_time)
    return Cost(step, side, seconds, max(0, read_peak_memory(os.getpid()) - before))


def table(costs: list[Cost]) -> list[str]:
    """Markdown, a line each."""
    whole = sum(cost.seconds for cost in costs)
    rows = []
    for cost in costs:
        figures = (f"{cost.seconds:.2f}", f"{cost.peak / 2**20:.0f}", f"{cost.seconds / whole:.1%}")
        rows.append((cost.step, f"{cost.side} px", *figures))
    return markdown_table(HEADER, rows)


def _landmarks(side: int) -> np.ndarray:
    points = np.array([[0.44, 0.16], [0.51, 0.16], [0.475, 0.19], [0.45, 0.22], [0.5, 0.22]], np.float32)
    return points * side
