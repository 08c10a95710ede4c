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

if TYPE_CHECKING:
    from faceid.flux.generator import FluxGenerator


class Pace(NamedTuple):
    """Seconds a base model takes: one denoiser pass over a megapixel (2^20 px), and the decoding of one."""

    denoising: float
    decoding: float


# FLUX.1-dev: 6.6 s for 28 steps on an H100 (read), times 2.5 for half an RTX PRO 6000; a guess until it is measured.
FLUX_PACE = Pace(denoising=0.6, decoding=0.8)
PACES = {"fast": Pace(denoising=4.0, decoding=4.0)}  # 2 CPU cores at 128 px, with room for a busy machine
TEXT_MEGAPIXELS = 0.125  # 512 text tokens pass the transformer like 512 image tokens of 16×16 px
START_SECONDS = 8.0  # moving the weights to the worker's GPU, encoding the text


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
    """The seconds to ask ZeroGPU for: tight, for a visitor's quota must cover what is asked, not what is used.

    It grows with the pictures, the steps, the passes of a step (2 with true CFG) and the area.
    """
    pace = PACES.get(request.base_model, FLUX_PACE)
    megapixels = request.width * request.height / 2**20
    second_passes = request.num_inference_steps - request.true_cfg_step if request.true_cfg_scale > 1 else 0
    passes = request.num_inference_steps + second_passes
    picture = passes * pace.denoising * (megapixels + TEXT_MEGAPIXELS) + pace.decoding * megapixels
    return math.ceil(START_SECONDS + request.num_images * picture)


def generate_on_gpu(request: GenerationRequest) -> Iterator[StepDone | Picture]:
    """The steps and pictures of `request`, from the generator registered for its base model.

    Closing it stops the work within one step. Unavailable: the base model is not loaded, or what the generator could
    not do; its text is the same on both sides of the boundary.
    """
    if request.base_model not in _generators:
        loaded = ", ".join(_generators) or "none"
        raise Unavailable(f"base_model: {request.base_model!r} is not loaded here. Loaded: {loaded}.")
    with closing(_draw(request)) as results:
        for result in results:
            if isinstance(result, Refusal):
                raise Unavailable(result.message)
            yield result


@spaces.GPU(duration=estimate_duration)
def _draw(request: GenerationRequest) -> Iterator[StepDone | Picture | Refusal]:
    """What runs on the GPU. A ZeroGPU worker hears of no deletion: it keeps nothing from one request to the next."""
    yield from draw_once(_generators[request.base_model], request, keep=not Config.zero_gpu)


def draw_once(
    generator: "FluxGenerator", request: GenerationRequest, *, keep: bool
) -> Iterator[StepDone | Picture | Refusal]:
    """`request`, what cannot be done as a value; afterwards, unless `keep`, nothing of it stays in the generator."""
    try:
        yield from generator.generate(request)
    except UserError as error:
        yield Refusal(str(error))
    finally:
        if not keep:
            generator.forget()
