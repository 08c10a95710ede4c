"""A request becomes steps and pictures. Owns the order of the work and its interruption; loads nothing, knows no queue.

The pipeline runs in a thread of its own (`streaming`), one picture at a time, so that every step can be told and work
can be stopped within one.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from diffusers import FluxPipeline
from PIL import Image
from torch import Tensor

from faceid.base_models import BaseModel
from faceid.domain import GenerationRequest, Picture, StepDone
from faceid.errors import Unavailable
from faceid.flux.streaming import iterate_in_thread
from faceid.pulid.adapter import PuLIDAdapter
from faceid.sizes import GRID

logger = logging.getLogger(__name__)

MAX_SEED = 2**32
TRUE_CFG_START = 1  # an identity's true CFG begins at this step: the default of PuLID-FLUX's `timestep_to_start_cfg`
PROMPT_LOGGER = "diffusers.pipelines.flux.pipeline_flux"  # its warnings quote the part of a prompt that is cut off

Emit = Callable[[StepDone | Picture], None]


class FluxGenerator:
    """Draws requests with one pipeline and one identity adapter; nothing of a request stays behind.

    unconditional_tokens: (1, N, D), what the adapter's encoder makes of zeros; the negative pass of true CFG gets
    them. max_sequence_length: how many T5 tokens of a prompt are read (FLUX.1-dev: 512).
    """

    def __init__(
        self,
        base_model: BaseModel,
        pipeline: FluxPipeline,
        adapter: PuLIDAdapter,
        unconditional_tokens: np.ndarray,
        *,
        max_sequence_length: int = 512,
    ):
        self.base_model = base_model
        self.pipeline = pipeline
        self.adapter = adapter
        self.unconditional_tokens = torch.from_numpy(np.asarray(unconditional_tokens))
        self.max_sequence_length = max_sequence_length
        self._drawing = threading.Lock()
        pipeline.set_progress_bar_config(disable=True)
        logging.getLogger(PROMPT_LOGGER).setLevel(logging.ERROR)

    def generate(self, request: GenerationRequest) -> Iterator[StepDone | Picture]:
        """Every step and every picture of `request`, in order: the steps of picture 0, picture 0, the steps of 1, …

        The same request gives the same pictures, bit for bit, on the same machine. Closing the iterator stops the
        work within one step; it returns when the thread has ended. Images are RGB, on the CPU.

        Unavailable: the GPU's memory does not suffice. RuntimeError: this pipeline is drawing another request.
        ValueError: a request that should not have come this far.
        """
        self._check(request)
        if not self._drawing.acquire(blocking=False):
            raise RuntimeError(f"{self.base_model.slug} is drawing another request; one pipeline draws one at a time.")
        try:
            yield from iterate_in_thread(lambda emit: self._draw(request, emit), name=f"draw-{self.base_model.slug}")
        finally:
            self._drawing.release()

    def _check(self, request: GenerationRequest) -> None:
        if request.base_model != self.base_model.slug:
            raise ValueError(f"base_model: {request.base_model!r} was sent to {self.base_model.slug!r}.")
        if len(request.identities) > 1:
            raise ValueError(f"identities: {len(request.identities)} for one picture; it takes one.")
        if request.width % GRID or request.height % GRID:
            raise ValueError(f"size: {request.width} × {request.height} px is not in multiples of {GRID}.")

    def _draw(self, request: GenerationRequest, emit: Emit) -> None:
        out_of_memory = False
        try:
            self._draw_pictures(request, emit)
        except torch.OutOfMemoryError:
            out_of_memory = True  # answered below: until this clause ends, its traceback holds the tensors
        finally:
            self.pipeline.maybe_free_model_hooks()  # a pipeline that was interrupted has not done so itself
        if out_of_memory:
            torch.cuda.empty_cache()
            logger.warning("%s: out of GPU memory at %d × %d px", request.base_model, request.width, request.height)
            raise Unavailable(
                f"{self.base_model.title} ran out of GPU memory at {request.width} × {request.height} px. "
                "Ask for smaller pictures (w, h), or try again when the GPU is less busy."
            )

    @torch.no_grad()
    def _draw_pictures(self, request: GenerationRequest, emit: Emit) -> None:
        # 1. The texts, once for all pictures
        texts = self._embed_texts(request)
        # 2. The identity: keys and values, once for all pictures
        with self._identity(request):
            for index in range(request.num_images):
                # 3. One picture from its own noise, every step told
                seed = (request.seed + index) % MAX_SEED
                image = self._draw_picture(request, texts, index, seed, emit)
                # 4. The picture
                emit(Picture(index, seed, image))

    def _embed_texts(self, request: GenerationRequest) -> dict[str, Tensor]:
        """FluxPipeline's arguments for the prompt and, with true CFG, the negative prompt."""
        sequence, pooled = self._embed(request.prompt)
        texts = {"prompt_embeds": sequence, "pooled_prompt_embeds": pooled}
        if request.true_cfg_scale > 1:
            sequence, pooled = self._embed(request.negative_prompt)
            texts |= {"negative_prompt_embeds": sequence, "negative_pooled_prompt_embeds": pooled}
        return texts

    def _embed(self, text: str) -> tuple[Tensor, Tensor]:
        """T5's states (1, L, D) and CLIP's pooled vector (1, P) of `text`."""
        sequence, pooled, _ = self.pipeline.encode_prompt(text, max_sequence_length=self.max_sequence_length)
        return sequence, pooled

    def _identity(self, request: GenerationRequest) -> AbstractContextManager[None]:
        if not request.identities:
            return nullcontext()
        (identity,) = request.identities
        true_cfg = request.true_cfg_scale > 1
        return self.adapter.identity(
            torch.from_numpy(identity.tokens),
            self.unconditional_tokens if true_cfg else None,
            weight=identity.strength,
            start_step=round(request.identity_start * request.num_inference_steps),
            start_cfg=TRUE_CFG_START if true_cfg else 0,
            device=self.pipeline._execution_device,
        )

    def _draw_picture(
        self, request: GenerationRequest, texts: dict[str, Tensor], index: int, seed: int, emit: Emit
    ) -> Image.Image:
        steps = request.num_inference_steps

        def tell(pipeline: FluxPipeline, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            emit(StepDone(index, step + 1, steps))
            return tensors

        output = self.pipeline(
            **texts,
            true_cfg_scale=request.true_cfg_scale,
            width=request.width,
            height=request.height,
            num_inference_steps=steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),  # the same noise on every device
            max_sequence_length=self.max_sequence_length,
            callback_on_step_end=tell,
        )
        return output.images[0]
