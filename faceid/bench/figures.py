"""The figures as data: name, unit, target, where the target comes from, what measures it. Knows no library."""

import pkgutil
from collections.abc import Iterable, Sequence
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
    measured_by: str
    source: str
    unit: str = ""
    target: float | None = None
    inclusive: bool = True
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


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table for a Measurement's `done`, a line each."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


GOAL = "goal of the project, for 2 cores"
KNOW = "no goal: to know it"

FIGURES: tuple[Figure, ...] = (
    Figure(
        "adapter-step",
        "a step with the identity over one without: hidden 3072, 1024 image tokens, CPU, bfloat16",
        "faceid.bench.adapter_step:measure_adapter_step",
        "goal of the project; by its multiplications the adapter is 2.4 % of such a step",
        target=1.04,
    ),
    Figure(
        "tune",
        "a tune from one 1920 × 1080 photo, offline face pack, models warm",
        "faceid.bench.use_cases:measure_tune",
        GOAL,
        unit="s",
        target=1.0,
    ),
    Figure(
        "existing-tune",
        "face models called to create a tune that exists and to draw with it (counted)",
        "faceid.bench.use_cases:count_existing_tune",
        "goal of the project: a tune is a cached identity",
        unit="calls",
        target=0,
    ),
    Figure(
        "fast",
        "one picture of `fast` in 8 steps, with an identity, saved",
        "faceid.bench.use_cases:measure_fast",
        GOAL,
        unit="s",
        target=1.5,
        inclusive=False,
    ),
    Figure(
        "import",
        "`import faceid.studio` in a fresh Python",
        "faceid.bench.processes:measure_import",
        "goal of the project: the use cases load no engine",
        unit="s",
        target=0.3,
        inclusive=False,
    ),
    Figure(
        "start",
        "`python app.py` to its first page, on an empty data folder",
        "faceid.bench.processes:measure_start",
        GOAL,
        unit="s",
        target=15,
        inclusive=False,
    ),
    Figure(
        "memory",
        "the app's peak memory with `fast`: start, tune, pictures",
        "faceid.bench.processes:measure_memory",
        "goal of the project, for a small machine",
        unit="GB",
        target=1.5,
        inclusive=False,
    ),
    Figure(
        "loop",
        "the denoise loop of `fast` with an identity over that of diffusers' own FluxPipeline",
        "faceid.bench.generation:measure_loop",
        KNOW,
    ),
    Figure(
        "kept",
        "a request of `fast` with prompt and identity kept over one without",
        "faceid.bench.generation:measure_kept",
        "what is kept must save time",
        target=1,
        inclusive=False,
    ),
    Figure(
        "faster",
        "a picture of `fast` with FirstBlockCache over one without, and how it changes the picture",
        "faceid.bench.generation:measure_faster",
        "what is called faster must be",
        target=1,
        inclusive=False,
    ),
    Figure(
        "duration",
        "the seconds asked of ZeroGPU for drawing over those used, beside a reference plan; the worst of six",
        "faceid.bench.duration:measure_duration",
        "goal of the project: a visitor's quota must cover what is asked",
        target=1.3,
    ),
    Figure(
        "finishing",
        "all finishing steps of a 1024 px picture on the CPU, without what Flux draws: time, memory, as a table",
        "faceid.bench.finishing:measure_finishing",
        KNOW,
        unit="s",
    ),
    Figure(
        "http-get",
        "p95 of 200 concurrent GET /tunes/:id over that of a bare FastAPI route with the same JSON, in turn",
        "faceid.bench.http_calls:measure_get",
        "goal of the project",
        target=3,
    ),
    Figure(
        "http-page",
        "the first page of GET /tunes with 100,000 tunes of one owner over that with 100",
        "faceid.bench.http_calls:measure_first_page",
        "goal of the project",
        target=2,
    ),
    Figure(
        "http-malformed",
        "what the app's memory grows by over 1,000 malformed bodies, each of which is refused with a 4xx",
        "faceid.bench.http_calls:measure_malformed",
        "goal of the project: memory flat",
        unit="MB",
        target=20,
    ),
    Figure(
        "gpu",
        "a picture of each base model on each rung of its memory ladder: seconds and peak memory, as a table",
        "faceid.bench.gpu:measure_gpu",
        KNOW,
        unit="s",
        needs_cuda=True,
    ),
)
