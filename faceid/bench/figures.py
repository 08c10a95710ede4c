"""The figures as data: name, unit, target, where the target comes from, what measures it. Knows no library."""

import pkgutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """What came out: the value in the figure's unit, and what was done to get it."""

    value: float
    done: str


@dataclass(frozen=True)
class Figure:
    """One promise, or without a target something to know.

    `measured_by` is `module:function`, imported when it is run; the function takes no argument and returns a
    Measurement. `inclusive`: the target itself is still met ("at most", else "under"). `needs_cuda`: left out where
    there is no CUDA device, unless it is asked for by name.
    """

    name: str
    what: str
    unit: str
    target: float | None
    inclusive: bool
    source: str
    measured_by: str
    needs_cuda: bool = False

    def measure(self) -> Measurement:
        """Run it; takes seconds to minutes. SetupError: this machine cannot."""
        return pkgutil.resolve_name(self.measured_by)()

    def is_met(self, value: float) -> bool:
        """Whether `value` keeps the promise; without one, always."""
        if self.target is None:
            return True
        return value <= self.target if self.inclusive else value < self.target

    @property
    def promise(self) -> str:
        """The target as it is shown: `≤ 1.04`, `< 15 s`; empty where there is none."""
        if self.target is None:
            return ""
        return f"{'≤' if self.inclusive else '<'} {self.target:g} {self.unit}".rstrip()


GOAL = "goal of the project, for 2 cores"
KNOW = "no goal: to know it"

FIGURES: tuple[Figure, ...] = (
    Figure(
        name="adapter-step",
        what="a step with the identity over one without: hidden 3072, 1024 image tokens, CPU, bfloat16",
        unit="",
        target=1.04,
        inclusive=True,
        source="goal of the project; by its multiplications the adapter is 2.4 % of such a step",
        measured_by="faceid.bench.adapter_step:measure_adapter_step",
    ),
    Figure(
        name="tune",
        what="a tune from one 1920 × 1080 photo, offline face pack, models warm",
        unit="s",
        target=1.0,
        inclusive=True,
        source=GOAL,
        measured_by="faceid.bench.use_cases:measure_tune",
    ),
    Figure(
        name="existing-tune",
        what="face models called to create a tune that exists and to draw with it (counted)",
        unit="calls",
        target=0,
        inclusive=True,
        source="goal of the project: a tune is a cached identity",
        measured_by="faceid.bench.use_cases:count_existing_tune",
    ),
    Figure(
        name="fast",
        what="one picture of `fast` in 8 steps, with an identity, saved",
        unit="s",
        target=1.5,
        inclusive=False,
        source=GOAL,
        measured_by="faceid.bench.use_cases:measure_fast",
    ),
    Figure(
        name="import",
        what="`import faceid.studio` in a fresh Python",
        unit="s",
        target=0.3,
        inclusive=False,
        source="goal of the project: the use cases load no engine",
        measured_by="faceid.bench.processes:measure_import",
    ),
    Figure(
        name="start",
        what="`python app.py` to its first page, on an empty data folder",
        unit="s",
        target=15,
        inclusive=False,
        source=GOAL,
        measured_by="faceid.bench.processes:measure_start",
    ),
    Figure(
        name="memory",
        what="the app's peak memory with `fast`: start, tune, pictures",
        unit="GB",
        target=1.5,
        inclusive=False,
        source="goal of the project, for a small machine",
        measured_by="faceid.bench.processes:measure_memory",
    ),
    Figure(
        name="loop",
        what="the denoise loop of `fast` with an identity over that of diffusers' own FluxPipeline",
        unit="",
        target=None,
        inclusive=True,
        source=KNOW,
        measured_by="faceid.bench.generation:measure_loop",
    ),
    Figure(
        name="kept",
        what="a request of `fast` with prompt and identity kept over one without",
        unit="",
        target=1,
        inclusive=False,
        source="what is kept must save time",
        measured_by="faceid.bench.generation:measure_kept",
    ),
    Figure(
        name="faster",
        what="a picture of `fast` with FirstBlockCache over one without, and how it changes the picture",
        unit="",
        target=1,
        inclusive=False,
        source="what is called faster must be",
        measured_by="faceid.bench.generation:measure_faster",
    ),
    Figure(
        name="duration",
        what="the seconds asked of ZeroGPU for drawing over those used, beside a reference plan; the worst of six",
        unit="",
        target=1.3,
        inclusive=True,
        source="goal of the project: a visitor's quota must cover what is asked",
        measured_by="faceid.bench.duration:measure_duration",
    ),
    Figure(
        name="finishing",
        what="all finishing steps of a 1024 px picture on the CPU, without what Flux draws: time, memory, as a table",
        unit="s",
        target=None,
        inclusive=True,
        source=KNOW,
        measured_by="faceid.bench.finishing:measure_finishing",
    ),
    Figure(
        name="http-get",
        what="p95 of 200 concurrent GET /tunes/:id over that of a bare FastAPI route with the same JSON, in turn",
        unit="",
        target=3,
        inclusive=True,
        source="goal of the project",
        measured_by="faceid.bench.http_calls:measure_get",
    ),
    Figure(
        name="http-page",
        what="the first page of GET /tunes with 100,000 tunes of one owner over that with 100",
        unit="",
        target=2,
        inclusive=True,
        source="goal of the project",
        measured_by="faceid.bench.http_calls:measure_first_page",
    ),
    Figure(
        name="http-malformed",
        what="what the app's memory grows by over 1,000 malformed bodies, each of which is refused with a 4xx",
        unit="MB",
        target=20,
        inclusive=True,
        source="goal of the project: memory flat",
        measured_by="faceid.bench.http_calls:measure_malformed",
    ),
    Figure(
        name="gpu",
        what="a picture of each base model on each rung of its memory ladder: seconds and peak memory, as a table",
        unit="s",
        target=None,
        inclusive=True,
        source=KNOW,
        measured_by="faceid.bench.gpu:measure_gpu",
        needs_cuda=True,
    ),
)
