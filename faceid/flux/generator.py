"""A request becomes steps and pictures. Owns the order of the work and its interruption; loads nothing, knows no queue.

The pipeline runs in a thread of its own (`streaming`), one picture at a time, so that every step can be told and work
can be stopped within one.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from diffusers import FluxPipeline
from PIL import Image
from torch import Tensor

from faceid.base_models import BaseModel
from faceid.domain import GenerationRequest, Note, Picture, StepDone
from faceid.errors import Unavailable
from faceid.finishes import FinishStep
from faceid.flux.compiling import compile_blocks
from faceid.flux.first_block_cache import THRESHOLD
from faceid.flux.redrawing import Redraw, Work
from faceid.flux.redrawing_steps import drawn_steps
from faceid.flux.sampling import Sampler
from faceid.flux.streaming import iterate_in_thread
from faceid.pulid.adapter import PuLIDAdapter
from faceid.sizes import GRID

logger = logging.getLogger(__name__)

MAX_SEED = 2**32
PROMPTS_KEPT = 32  # their embeddings, 4 MB each for Flux, on the CPU
IDENTITIES_KEPT = 16  # their keys and values, 5.2 MB each for Flux, where the transformer computes
PROMPT_LOGGER = "diffusers.pipelines.flux.pipeline_flux"  # its warnings quote the part of a prompt that is cut off

Emit = Callable[[StepDone | FinishStep | Picture], None]
Finish = Callable[[Image.Image, Work], tuple[Image.Image, tuple[Note, ...]]]


class FluxGenerator:
    """Draws requests with one pipeline and one identity adapter.

    unconditional_tokens: (1, N, D), what the adapter's encoder makes of zeros; the negative pass of true CFG gets
    them. max_sequence_length: how many T5 tokens of a prompt are read (FLUX.1-dev: 512).

    Of a request nothing stays but the embeddings of its texts and its identity's keys and values, among those of the
    last `prompts_kept` and `identities_kept`, in memory, until `forget`. A kept one gives the same bits as a new one.
    skipping_threshold is FirstBlockCache's, for requests that are to be drawn faster. enlarge: what a drawn picture
    goes through, for a model that draws smaller than it shows. finish: what is done to it afterwards.
    """

    def __init__(
        self,
        base_model: BaseModel,
        pipeline: FluxPipeline,
        adapter: PuLIDAdapter,
        unconditional_tokens: np.ndarray,
        *,
        max_sequence_length: int = 512,
        prompts_kept: int = PROMPTS_KEPT,
        identities_kept: int = IDENTITIES_KEPT,
        skipping_threshold: float = THRESHOLD,
        enlarge: Callable[[Image.Image], Image.Image] | None = None,
        finish: Finish | None = None,
    ):
        self.base_model = base_model
        self.pipeline = pipeline
        self.adapter = adapter
        self.unconditional_tokens = torch.from_numpy(np.asarray(unconditional_tokens))
        self.max_sequence_length = max_sequence_length
        self._enlarge, self.finish = enlarge, finish
        self._sampler = Sampler(pipeline, max_sequence_length, skipping_threshold)
        self._embedded = lru_cache(maxsize=prompts_kept)(self._embed)
        adapter.keep_identities(identities_kept)
        self._times_forgotten = 0
        self._drawing = threading.Lock()
        pipeline.set_progress_bar_config(disable=True)
        logging.getLogger(PROMPT_LOGGER).setLevel(logging.ERROR)

    def generate(self, request: GenerationRequest) -> Iterator[StepDone | FinishStep | Picture]:
        """Every step and every picture of `request`, in order: the steps of picture 0, the steps of its finishing,
        picture 0, the steps of 1, …

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

    def forget(self) -> None:
        """Keep no text and no identity of the requests so far; of one that is being drawn, none once it is done."""
        self._times_forgotten += 1
        self._clear()

    def compile(self, **options: Any) -> None:
        """Compile the transformer's blocks (`options` are torch.compile's); ZeroGPU has no compiler.

        The first picture waits for it, and the first of another size; another identity or prompt does not.
        """
        compile_blocks(self.adapter.transformer, **options)

    def _check(self, request: GenerationRequest) -> None:
        if request.base_model != self.base_model.slug:
            raise ValueError(f"base_model: {request.base_model!r} was sent to {self.base_model.slug!r}.")
        if len(request.identities) > 1:
            raise ValueError(f"identities: {len(request.identities)} for one picture; it takes one.")
        if request.width % GRID or request.height % GRID:
            raise ValueError(f"size: {request.width} × {request.height} px is not in multiples of {GRID}.")
        if request.finishing.names and self.finish is None:
            raise ValueError(f"finishing: {self.base_model.slug} was loaded without it.")

    def _draw(self, request: GenerationRequest, emit: Emit) -> None:
        out_of_memory, times_forgotten = False, self._times_forgotten
        try:
            self._draw_pictures(request, emit)
        except torch.OutOfMemoryError:
            out_of_memory = True  # answered below: until this clause ends, its traceback holds the tensors
        finally:
            self.pipeline.maybe_free_model_hooks()  # a pipeline that was interrupted has not done so itself
            if out_of_memory or self._times_forgotten != times_forgotten:
                self._clear()
        if out_of_memory:
            torch.cuda.empty_cache()
            logger.warning("%s: out of GPU memory at %d × %d px", request.base_model, request.width, request.height)
            raise Unavailable(
                f"{self.base_model.title} ran out of GPU memory at {request.width} × {request.height} px. "
                "Ask for smaller pictures (w, h), or try again when the GPU is less busy."
            )

    def _clear(self) -> None:
        self._embedded.cache_clear()
        self.adapter.forget_identities()

    @torch.no_grad()
    def _draw_pictures(self, request: GenerationRequest, emit: Emit) -> None:
        # 1. The texts, once for all pictures
        texts = self._embed_texts(request)
        redraw = self._redraw(request, texts)
        for index in range(request.num_images):
            seed = (request.seed + index) % MAX_SEED
            # 2. One picture of the person, from its own noise, every step told
            with self._identity(request):
                image = self._sampler(request, texts, seed, lambda step, of, i=index: emit(StepDone(i, step, of)))
            image = self._enlarge(image) if self._enlarge else image
            # 3. What is done to it, every part told
            image, notes = self._finish_picture(image, request, redraw, index, seed, emit)
            # 4. The picture
            emit(Picture(index, seed, image, notes))

    def _embed_texts(self, request: GenerationRequest) -> dict[str, Tensor]:
        """FluxPipeline's arguments for the prompt and, with true CFG, the negative prompt."""
        sequence, pooled = self._embedded(request.prompt)
        texts = {"prompt_embeds": sequence, "pooled_prompt_embeds": pooled}
        if request.true_cfg_scale > 1:
            sequence, pooled = self._embedded(request.negative_prompt)
            texts |= {"negative_prompt_embeds": sequence, "negative_pooled_prompt_embeds": pooled}
        return {name: embedding.to(self.pipeline._execution_device) for name, embedding in texts.items()}

    def _embed(self, text: str) -> tuple[Tensor, Tensor]:
        """T5's states (1, L, D) and CLIP's pooled vector (1, P) of `text`, on the CPU."""
        sequence, pooled, _ = self.pipeline.encode_prompt(text, max_sequence_length=self.max_sequence_length)
        return sequence.cpu(), pooled.cpu()

    def _identity(self, request: GenerationRequest, *, redrawing: bool = False) -> AbstractContextManager[None]:
        """The adapter's context for a picture; for one that is drawn again from its first step and without true CFG."""
        true_cfg = request.true_cfg_scale > 1 and not redrawing
        skipped = request.num_inference_steps - drawn_steps(request)
        start_cfg = max(0, request.true_cfg_step - skipped) if true_cfg else 0
        if not request.identities:
            return self.adapter.nobody(start_cfg)
        (identity,) = request.identities
        return self.adapter.identity(
            torch.from_numpy(identity.tokens),
            self.unconditional_tokens if true_cfg else None,
            weight=identity.strength,
            start_step=0 if redrawing else max(0, request.identity_step - skipped),
            start_cfg=start_cfg,
            device=self.pipeline._execution_device,
        )

    def _redraw(self, request: GenerationRequest, texts: dict[str, Tensor]) -> Redraw:
        return Redraw(
            self._sampler.image_to_image,
            {name: texts[name] for name in ("prompt_embeds", "pooled_prompt_embeds")},
            partial(self._identity, request, redrawing=True),
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            max_sequence_length=self.max_sequence_length,
            side=self.base_model.native_side,
            enlarge=self._enlarge,
        )

    def _finish_picture(
        self, image: Image.Image, request: GenerationRequest, redraw: Redraw, index: int, seed: int, emit: Emit
    ) -> tuple[Image.Image, tuple[Note, ...]]:
        if not request.finishing.names:
            return image, ()

        def tell(name: str) -> Callable[[int, int], None]:
            return lambda done, of: emit(FinishStep(index, name, done, of))

        return self.finish(image, Work(request, index + 1, seed, redraw, tell))
