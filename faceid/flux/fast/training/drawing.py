"""Trains the transformer, the adapter and the text encoders of `fast` to draw what tokens and captions say.

Rectified flow as Flux has it: x = (1 - sigma) picture + sigma noise, and the network predicts noise - picture.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import FluxPipeline
from torch import Tensor, nn

from faceid.flux.fast.training.lessons import PLACE, Lesson
from faceid.flux.fast.training.loop import Losses, Schedule, Trainer
from faceid.flux.fast.training.routing import listen, own_places
from faceid.flux.fast.training.tokens import FaceTokens
from faceid.pulid.adapter import PuLIDAdapter

HIGHEST_GUIDANCE = 10.0  # any number up to this: it is not to matter
LOWEST_STEP = 0.04  # where on the way from noise to picture nothing is left to learn
FACE = (0.0, 0.05, 0.55, 0.7)  # centre and radii of the oval that counts double, of the half side
FACE_HALF = 3.5  # image tokens
ROUTED = 0.25  # of the time that attention is told its place
SIGMA_MEAN = 0.7
PROBE_SIGMA = 0.9


class Artist(nn.Module):
    """The parts of `fast` as one network for batches: captions, faces and noisy latents -> velocities."""

    def __init__(self, pipeline: FluxPipeline, adapter: PuLIDAdapter, face_tokens: FaceTokens, text_length: int):
        super().__init__()
        self.transformer = pipeline.transformer  # with the adapter's cross-attentions
        self.clip, self.t5 = pipeline.text_encoder, pipeline.text_encoder_2
        self.face_tokens = face_tokens
        self._pipeline, self._adapter, self._text_length = [pipeline], adapter, text_length

    @property
    def pipeline(self) -> FluxPipeline:
        """What the parts are of."""
        return self._pipeline[0]

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S), 0 to 1 -> packed latents (B, S²/64, 64)."""
        vae = self.pipeline.vae
        with torch.no_grad():
            latents = vae.encode(pictures * 2 - 1).latent
        latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        return pack(latents)

    @torch.no_grad()
    def wear(self, pictures: Tensor, noise: float) -> Tensor:
        """`pictures` (B, 3, S, S), 0 to 1, through the autoencoder, with so much noise on their latents."""
        vae = self.pipeline.vae
        latents = vae.encode(pictures * 2 - 1).latent
        return (vae.decode(latents + noise * torch.randn(latents.shape)).sample / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def draw(
        self,
        tokens: Tensor,
        caption: str,
        *,
        strength: float = 1.0,
        steps: int = 8,
        seed: int = 0,
        shape: Sequence[int] | None = None,
    ) -> Tensor:
        """One picture per row of tokens (B, N, D), as FluxPipeline draws it, 0 to 1.

        shape: rows and columns of image tokens; by default as many as there are identity tokens, in a square.
        """
        pipeline = self.pipeline
        pipeline.set_progress_bar_config(disable=True)
        sequence, pooled = self.read([caption] * len(tokens))
        rows, columns = shape or [round(tokens.shape[1] ** 0.5)] * 2
        with self._adapter.identity(tokens, weight=strength):
            return pipeline(
                prompt_embeds=sequence,
                pooled_prompt_embeds=pooled,
                width=PLACE * columns,
                height=PLACE * rows,
                num_inference_steps=steps,
                generator=torch.Generator().manual_seed(seed),
                output_type="pt",
            ).images

    def forward(
        self,
        noisy: Tensor,
        sigma: Tensor,
        captions: Sequence[str],
        tokens: Tensor,
        strength: Tensor,
        shape: Sequence[int] | None = None,
    ) -> Tensor:
        """noisy (B, L, 64), sigma and strength (B,), tokens (B, N, D) -> velocities (B, L, 64).

        shape: rows and columns of the L image tokens; by default a square.
        """
        sequence, pooled = self.read(captions)
        rows, columns = shape or [round(noisy.shape[1] ** 0.5)] * 2
        places = torch.zeros(rows, columns, 3)
        places[..., 1], places[..., 2] = torch.arange(rows)[:, None], torch.arange(columns)[None]
        with self._adapter.identity(tokens, weight=strength):
            return self.transformer(
                hidden_states=noisy,
                encoder_hidden_states=sequence,
                pooled_projections=pooled,
                timestep=sigma,
                guidance=HIGHEST_GUIDANCE * torch.rand(len(noisy)),
                img_ids=places.flatten(0, 1),
                txt_ids=torch.zeros(sequence.shape[1], 3),
                return_dict=False,
            )[0]

    def read(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """T5's states (B, T, D) and CLIP's pooled vectors (B, P), as FluxPipeline makes them."""
        pipeline, unique = self.pipeline, list(dict.fromkeys(captions))
        back = [unique.index(caption) for caption in captions]
        options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        words = pipeline.tokenizer(unique, max_length=pipeline.tokenizer_max_length, **options).input_ids
        pieces = pipeline.tokenizer_2(unique, max_length=self._text_length, **options).input_ids
        return self.t5(pieces)[0][back], self.clip(words).pooler_output[back]


def train_artist(
    artist: Artist,
    teach: Callable[[torch.Generator, float], Lesson],
    schedule: Schedule,
    file: Path,
    *,
    routing: float = 0.0,
    shift: float = 3.0,
    sample: Callable[[], None] | None = None,
) -> None:
    """Train `artist` in place. teach: (generator, progress) -> a lesson.

    routing: weight of the routing loss at the start; it fades. shift: the scheduler's, so that noise levels are learned
    as often as they are met. An error of velocity counts by its sigma: the error it makes in the picture is sigma times
    as large, and what decides on background and stranger, at much noise, would else drown in the noise of the rest.
    """
    artist.eval()  # no dropout

    def step(generator: torch.Generator, progress: float) -> Losses:
        lesson = teach(generator, progress)
        batch = len(lesson.captions)
        latents = artist.encode_pictures(lesson.pictures)
        tokens = artist.face_tokens(lesson.faces)
        shape = shape_of(lesson.pictures)
        share = LOWEST_STEP + (1 - LOWEST_STEP) * torch.rand(batch, 1, 1, generator=generator)
        sigma = shift * share / (1 + (shift - 1) * share)
        noisy = torch.lerp(latents, lesson.noise, sigma)
        fading = routing * max(0.0, 1 - progress / ROUTED)
        listened = list(artist.transformer.pulid_ca) if fading else []
        with listen(listened, own_places(shape, _square(tokens))) as heard:
            velocity = artist(noisy, sigma.flatten(), lesson.captions, tokens, lesson.strengths, shape)
        error = (velocity - (lesson.noise - latents)).square().mean(-1)  # (B, L)
        losses = {"velocity": (error * sigma[..., 0] * place_weights(shape)).mean() / SIGMA_MEAN}
        if heard:
            losses["routing"] = fading * torch.stack(heard).mean()
        return losses

    Trainer(artist, step, schedule, file, sample=sample).run()
    artist.eval().requires_grad_(False)


def train_places(
    artist: Artist, teach: Callable[[torch.Generator, float], Lesson], schedule: Schedule, file: Path
) -> None:
    """Teach the first block where an image token stands: the routing loss alone, without the blocks that follow."""
    artist.eval()
    transformer, cross_attention = artist.transformer, artist.transformer.pulid_ca[0]

    def step(generator: torch.Generator, progress: float) -> Losses:
        lesson = teach(generator, progress)
        tokens = artist.face_tokens(lesson.faces)
        noisy, shape = lesson.noise, shape_of(lesson.pictures)
        sigma, strength = torch.rand(len(noisy), generator=generator), torch.ones(len(noisy))
        with listen([cross_attention], own_places(shape, _square(tokens))) as heard:
            artist(noisy, sigma, lesson.captions, tokens, strength, shape)
        return {"routing": heard[0]}

    following = transformer.transformer_blocks[1:], transformer.single_transformer_blocks
    try:
        transformer.transformer_blocks = transformer.transformer_blocks[:1]
        transformer.single_transformer_blocks = nn.ModuleList()
        Trainer(transformer, step, schedule, file).run()
    finally:
        transformer.transformer_blocks = nn.ModuleList([*transformer.transformer_blocks, *following[0]])
        transformer.single_transformer_blocks = following[1]


@torch.no_grad()
def measure_copying(artist: Artist, lesson: Lesson, *, sigma: float = PROBE_SIGMA, seed: int = 0) -> dict[str, float]:
    """Mean square error of the picture predicted in one step at `sigma`: with the right tokens, another's, and none."""
    latents, tokens = artist.encode_pictures(lesson.pictures), artist.face_tokens(lesson.faces)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    noisy, batch = torch.lerp(latents, noise, sigma), len(latents)
    errors = {}
    for name, shown, strength in (("right", tokens, 1.0), ("another", tokens.roll(1, 0), 1.0), ("none", tokens, 0.0)):
        velocity = artist(noisy, torch.full((batch,), sigma), lesson.captions, shown, torch.full((batch,), strength))
        errors[name] = float((noisy - sigma * velocity - latents).square().mean())
    return errors


def place_weights(shape: Sequence[int]) -> Tensor:
    """How much each image token of a grid (rows, columns) counts, (L,), mean 1: the face double."""
    rows, columns = ((torch.arange(count) - (count - 1) / 2) / FACE_HALF for count in shape)
    x, y, across, down = FACE
    distance = ((columns[None] - x) / across) ** 2 + ((rows[:, None] - y) / down) ** 2
    weights = 1 + torch.sigmoid(4 * (1 - distance)).flatten()
    return weights / weights.mean()


def shape_of(pictures: Tensor) -> tuple[int, int]:
    """Rows and columns of the image tokens of pictures (B, 3, H, W)."""
    return pictures.shape[-2] // PLACE, pictures.shape[-1] // PLACE


def _square(tokens: Tensor) -> int:
    return round(tokens.shape[1] ** 0.5)


def pack(latents: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, HW/4, 4C), as FluxPipeline packs them."""
    return FluxPipeline._pack_latents(latents, *latents.shape)


def unpack(latents: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, HW/64, 64) -> (B, 16, H/4, W/4) for pictures of `shape` (B, 3, H, W): the inverse of `pack`."""
    height, width = shape[-2:]
    return FluxPipeline._unpack_latents(latents, height, width, PLACE // 2)
