"""The seconds ZeroGPU is asked for beside those a drawing takes: `fast`, several plans, on this machine's CPU.

A machine is faster or slower than the pace that stands in `flux.gpu`, and today busier than yesterday. So CPU seconds
of one thread are taken, and every plan is held against one reference plan of the same minutes: what is judged is
whether the estimate grows as the seconds do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from faceid.bench.figures import Measurement, markdown_table
from faceid.bench.generation import build_generator, build_request, time_works_in_turn
from faceid.domain import GenerationRequest
from faceid.flux.fast.enlarging import load_enlarger
from faceid.flux.generator import FluxGenerator
from faceid.flux.gpu import estimate_duration, estimate_seconds

ROUNDS = 3
REFERENCE = {"num_inference_steps": 8, "num_images": 4}
TRUE_CFG = {"true_cfg_scale": 4.0, "negative_prompt": "rain", "true_cfg_start": 1 / 28}
PLANS: Mapping[str, Mapping[str, Any]] = {
    "1 picture, 8 steps": {"num_inference_steps": 8},
    "1 picture, 28 steps": {"num_inference_steps": 28},
    "1 picture, 28 steps, negative prompt": {"num_inference_steps": 28, **TRUE_CFG},
    "8 pictures, 1 step": {"num_inference_steps": 1, "num_images": 8},
    "8 pictures, 8 steps": {"num_inference_steps": 8, "num_images": 8},
    "2 pictures, 8 steps, 96 × 48 px": {"num_inference_steps": 8, "num_images": 2, "width": 96, "height": 48},
}
HEADER = ("plan", "asked of ZeroGPU, s", "of it drawing, s", "used here, s", "beside the reference")


class Row(NamedTuple):
    """A plan: the whole seconds asked for, those of the drawing, those used, and how far the estimate is off.

    `off` is 1 where drawing and used stand to each other as they do for the reference plan; 1.3: 30 % more or less.
    """

    plan: str
    asked: int
    drawing: float
    used: float
    off: float


def measure_duration(plans: Mapping[str, Mapping[str, Any]] = PLANS, rounds: int = ROUNDS) -> Measurement:
    """How far the estimate is off, at worst; `done` is the table of every plan."""
    generator = build_generator(enlarge=load_enlarger())
    base = build_request(steps=1)
    reference = replace(base, **REFERENCE)
    rows = [measure_plan(generator, name, replace(base, **plan), reference, rounds) for name, plan in plans.items()]
    steps, images = REFERENCE["num_inference_steps"], REFERENCE["num_images"]
    done = (
        f"`fast` with an identity; the reference plan is {images} pictures, {steps} steps; CPU seconds of one thread, "
        f"medians of {rounds} in turn"
    )
    return Measurement(max(row.off for row in rows), "\n".join([done, *table(rows)]))


def measure_plan(
    generator: FluxGenerator, name: str, request: GenerationRequest, reference: GenerationRequest, rounds: int
) -> Row:
    """One plan, in turn with the reference."""
    draws = [partial(_draw, generator, each) for each in (request, reference)]
    used, used_by_reference = time_works_in_turn(draws, rounds)
    drawing = estimate_seconds(request)
    ratio = (drawing / used) / (estimate_seconds(reference) / used_by_reference)
    return Row(name, estimate_duration(request), drawing, used, max(ratio, 1 / ratio))


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown, a line each."""
    cells = [(row.plan, str(row.asked), f"{row.drawing:.2f}", f"{row.used:.2f}", f"{row.off:.2f}") for row in rows]
    return markdown_table(HEADER, cells)


def _draw(generator: FluxGenerator, request: GenerationRequest) -> None:
    """All of `request`; nothing is kept of it."""
    for _ in generator.generate(request):
        pass
