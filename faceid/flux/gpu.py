"""The GPU boundary: the one function that ZeroGPU runs in a worker of its own, and the seconds it asks for.

Everything that crosses it is plain data: requests, steps, pictures, refusals. Knows which generators are loaded, not
how. Off ZeroGPU `spaces.GPU` leaves the function as it is. Import it before torch.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import spaces
from spaces.config import Config

from faceid.domain import GenerationRequest, Picture, StepDone
from faceid.errors import Unavailable, UserError
from faceid.finishes import FinishStep
from faceid.flux.finishing_seconds import finishing_seconds
from faceid.flux.redrawing_steps import drawn_steps

if TYPE_CHECKING:
    from faceid.flux.generator import FluxGenerator


class Pace(NamedTuple):
    """Seconds a base model takes at its own square of `side` px: one denoiser pass, and what follows it per picture.

    `start` is a worker's, before the first step: its GPU made ready, the weights moved there.
    """

    side: int
    start: float
    denoising: float
    decoding: float


# As on the H200, for that is what `spaces` expects: on half an RTX PRO 6000 it asks for 1.5 times of it.
# FLUX.1-dev: 6.6 s for 28 steps on an H100 (read), with room; a guess until it is measured.
FLUX_PACE = Pace(side=1024, start=8.0, denoising=0.4, decoding=0.5)
PACES = {"fast": Pace(side=64, start=2.0, denoising=0.035, decoding=0.05)}  # 2 CPU cores, also in a worker
TEXT_TOKENS = 512
# Multiplications of a pass: 19 double and 38 single blocks of width 3072 have 12 · 3072² weights a token, and attention
# adds 2 · 3072 for every token: as many as the weights at this number of tokens.
ATTENTION_TOKENS = 6 * 3072
WORKER_ERROR, ABORTED = "ZeroGPU worker error", "GPU task aborted"  # how spaces/zero/wrappers.py puts it


class Refusal(NamedTuple):
    """A UserError on its way across: exceptions lose their text there, values do not."""

    message: str


_generators: dict[str, "FluxGenerator"] = {}


def register(generator: "FluxGenerator") -> None:
    """Make `generator` reachable for requests of its base model. Before the first request: workers are forked then."""
    _generators[generator.base_model.slug] = generator


def registered() -> dict[str, "FluxGenerator"]:
    """The generators that can draw, by the slug of their base model."""
    return dict(_generators)


def forget() -> None:
    """Keep nothing of the requests drawn so far: a tune was deleted. It reaches this process only."""
    for generator in _generators.values():
        generator.forget()


def estimate_duration(request: GenerationRequest, *args: Any, **kwargs: Any) -> int:
    """The seconds to ask ZeroGPU for: tight, for a visitor's quota must cover what is asked, not what is used."""
    return math.ceil(_pace(request).start + estimate_seconds(request))


def estimate_seconds(request: GenerationRequest) -> float:
    """The seconds of drawing once a worker is ready: every picture's passes, its decoding, whatever else is done to it.

    Steps that `faster` skips are counted: how many they are is known afterwards.
    """
    pace = _pace(request)
    denoising = count_passes(request) * pace.denoising * pass_work(request.width, request.height) / pass_work(pace.side)
    decoding = pace.decoding * request.width * request.height / pace.side**2
    finishing = finishing_seconds(request, denoising=pace.denoising, decoding=pace.decoding)
    return request.num_images * (denoising + decoding) + finishing


def count_passes(request: GenerationRequest) -> int:
    """The denoiser's passes for one picture: one a step, two from the step at which true CFG begins."""
    steps = drawn_steps(request)
    second_passes = min(steps, request.num_inference_steps - request.true_cfg_step) if request.true_cfg_scale > 1 else 0
    return steps + second_passes


def pass_work(width: int, height: int | None = None) -> float:
    """A pass's multiplications for a picture of that size (px), to compare sizes with: tokens, and tokens squared."""
    tokens = width * (height or width) // 16**2 + TEXT_TOKENS
    return tokens * (1 + tokens / ATTENTION_TOKENS)


def _pace(request: GenerationRequest) -> Pace:
    return PACES.get(request.base_model, FLUX_PACE)


def generate_on_gpu(request: GenerationRequest) -> Iterator[StepDone | FinishStep | Picture]:
    """The steps and pictures of `request`, from the generator registered for its base model.

    Closing it stops the work within one step. Unavailable: the base model is not loaded, or what the generator could
    not do, or ZeroGPU gives no GPU; the text is the same on both sides of the boundary.
    """
    if request.base_model not in _generators:
        loaded = ", ".join(_generators) or "none"
        raise Unavailable(f"base_model: {request.base_model!r} is not loaded here. Loaded: {loaded}.")
    try:
        with closing(_draw(request)) as results:
            for result in results:
                if isinstance(result, Refusal):
                    raise Unavailable(result.message)
                yield result
    except _zero_gpu_errors() as error:
        if not (message := explain_zero_gpu(error.title, str(error.message))):
            raise
        raise Unavailable(message) from error


@spaces.GPU(duration=estimate_duration)
def _draw(request: GenerationRequest) -> Iterator[StepDone | FinishStep | Picture | Refusal]:
    """What runs on the GPU. A ZeroGPU worker hears of no deletion: it keeps nothing from one request to the next."""
    yield from draw_once(_generators[request.base_model], request, keep=not Config.zero_gpu)


def draw_once(
    generator: "FluxGenerator", request: GenerationRequest, *, keep: bool
) -> Iterator[StepDone | FinishStep | Picture | Refusal]:
    """`request`, what cannot be done as a value; afterwards, unless `keep`, nothing of it stays in the generator."""
    try:
        yield from generator.generate(request)
    except UserError as error:
        yield Refusal(str(error))
    finally:
        if not keep:
            generator.forget()


def explain_zero_gpu(title: str, message: str) -> str | None:
    """What `spaces` says to a visitor, in our words where it stopped the worker; None: the program failed in there."""
    if title != WORKER_ERROR:
        return f"{title}: {message}"
    if message == ABORTED:
        return "ZeroGPU stopped this before it was done. Ask for fewer pictures or steps, or try again."
    return None


def _zero_gpu_errors() -> tuple[type[Exception], ...]:
    """What `spaces` raises: a quota used up, no GPU free, a worker that failed. Off ZeroGPU it raises nothing."""
    if not Config.zero_gpu:
        return ()
    from gradio import Error  # `spaces` has imported it there; elsewhere the engine does without

    return (Error,)
