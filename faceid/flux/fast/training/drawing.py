"""Trains the transformer, the adapter and the text encoders of `fast` to draw what tokens and captions say.

Rectified flow as Flux has it: x = (1 - sigma) picture + sigma noise, and the network predicts noise - picture.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import FluxPipeline
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from faceid.flux.fast import config
from faceid.flux.fast.training.face_tokens import FaceTokens
from faceid.flux.fast.training.lessons import PLACE, Lessons
from faceid.flux.fast.training.loop import Losses, Schedule, Trainer
from faceid.flux.fast.training.routing import listen, own_places
from faceid.pulid.adapter import PuLIDAdapter

HIGHEST_GUIDANCE = 10.0  # of the numbers shown for guidance: it is not to matter
LOWEST_STEP = 0.04  # where on the way from noise to picture nothing is left to learn
FACE = (0.0, 0.05, 0.55, 0.7)  # centre and radii of the oval that counts double, of the half side
FACE_HALF = 3.5  # image tokens
SQUARE = config.SIDE // PLACE  # rows, and columns, of the identity tokens
ROUTING, ROUTED = 0.1, 0.25  # the routing loss: its weight at the start, and of the time until it has faded
SIGMA_MEAN = 0.7  # about: it leaves the loss as large as if sigma did not weigh it
DRAWN_STEPS = 8  # of sample sheets


class Artist(nn.Module):
    """The parts of `fast` as one network for batches: captions, faces and noisy latents -> velocities."""

    def __init__(self, pipeline: FluxPipeline, adapter: PuLIDAdapter, face_tokens: FaceTokens):
        super().__init__()
        self.transformer = pipeline.transformer  # with the adapter's cross-attentions
        self.clip, self.t5 = pipeline.text_encoder, pipeline.text_encoder_2
        self.face_tokens = face_tokens
        self.pipeline, self._adapter = pipeline, adapter

    @torch.no_grad()
    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W), 0 to 1 -> packed latents (B, HW/64, 64); they need no scaling."""
        return pack(self.pipeline.vae.encode(pictures * 2 - 1).latent)

    @torch.no_grad()
    def wear(self, pictures: Tensor, noise: float) -> Tensor:
        """`pictures` (B, 3, S, S), 0 to 1, through the autoencoder; noise: its deviation, on their latents."""
        vae = self.pipeline.vae
        latents = vae.encode(pictures * 2 - 1).latent
        return (vae.decode(latents + noise * torch.randn(latents.shape)).sample / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def draw(self, tokens: Tensor, caption: str, *, strength: float = 1.0) -> Tensor:
        """One picture per row of tokens (B, N, D), as FluxPipeline draws it: (B, 3, S, S), 0 to 1."""
        self.pipeline.set_progress_bar_config(disable=True)
        with self._adapter.identity(tokens, weight=strength):
            return self.pipeline(
                [caption] * len(tokens),
                width=config.SIDE,
                height=config.SIDE,
                num_inference_steps=DRAWN_STEPS,
                max_sequence_length=config.MAX_SEQUENCE_LENGTH,
                generator=torch.Generator().manual_seed(0),
                output_type="pt",
            ).images

    def forward(
        self,
        noisy: Tensor,
        sigma: Tensor,
        captions: Sequence[str],
        tokens: Tensor,
        strength: Tensor,
        shape: tuple[int, int],
    ) -> Tensor:
        """noisy (B, L, 64), sigma and strength (B,), tokens (B, N, D) -> velocities (B, L, 64).

        captions: B of them. shape: rows and columns of the L image tokens.
        """
        sequence, pooled = self.read(captions)
        with self._adapter.identity(tokens, weight=strength):
            return self.transformer(
                hidden_states=noisy,
                encoder_hidden_states=sequence,
                pooled_projections=pooled,
                timestep=sigma,
                guidance=HIGHEST_GUIDANCE * torch.rand(len(noisy)),
                img_ids=FluxPipeline._prepare_latent_image_ids(len(noisy), *shape, noisy.device, noisy.dtype),
                txt_ids=torch.zeros(sequence.shape[1], 3),
                return_dict=False,
            )[0]

    def read(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """T5's states (B, T, D) and CLIP's pooled vectors (B, P), as FluxPipeline makes them."""
        pieces, own = _tokenise(self.pipeline.tokenizer_2, captions, config.MAX_SEQUENCE_LENGTH)
        return self.t5(pieces)[0][own], self.pool(captions)

    def pool(self, captions: Sequence[str]) -> Tensor:
        """CLIP's pooled vectors alone, (B, P)."""
        words, own = _tokenise(self.pipeline.tokenizer, captions, config.CLIP_LENGTH)
        return self.clip(words).pooler_output[own]


def train_artist(
    artist: Artist, lessons: Lessons, schedule: Schedule, file: Path, *, sample: Callable[[], None] | None = None
) -> None:
    """Train what of `artist` needs gradients, in place. file and sample are the Trainer's.

    Noise levels are shifted as the scheduler shifts them, so that they are learned as often as they are met. An error
    of velocity counts by its sigma: the error it makes in the picture is sigma times as large, and what decides on
    background and stranger, at much noise, would else drown in the noise of the rest.
    """
    artist.eval()  # no dropout
    shift = artist.pipeline.scheduler.config.shift

    def step(generator: torch.Generator, progress: float) -> Losses:
        lesson = lessons.draw(generator, progress)
        batch = len(lesson.captions)
        latents = artist.encode_pictures(lesson.pictures)
        tokens = artist.face_tokens(lesson.faces)
        shape = shape_of(lesson.pictures)
        share = LOWEST_STEP + (1 - LOWEST_STEP) * torch.rand(batch, 1, 1, generator=generator)
        sigma = shift * share / (1 + (shift - 1) * share)
        noisy = torch.lerp(latents, lesson.noise, sigma)
        fading = ROUTING * max(0.0, 1 - progress / ROUTED)
        listened = artist.transformer.pulid_ca if fading else ()
        with listen(listened, own_places(shape, SQUARE)) as heard:
            velocity = artist(noisy, sigma.flatten(), lesson.captions, tokens, lesson.strengths, shape)
        error = (velocity - (lesson.noise - latents)).square().mean(-1)  # (B, L)
        losses = {"velocity": (error * sigma[..., 0] * place_weights(shape)).mean() / SIGMA_MEAN}
        if heard:
            losses["routing"] = fading * torch.stack(heard).mean()
        return losses

    Trainer(artist, step, schedule, file, sample=sample).run()
    artist.eval().requires_grad_(False)


def train_places(artist: Artist, lessons: Lessons, schedule: Schedule, file: Path) -> None:
    """Teach the first block where an image token stands: the routing loss alone, without the blocks that follow.

    Trains what of the transformer needs gradients, in place; file is the Trainer's.
    """
    artist.eval()
    transformer, cross_attention = artist.transformer, artist.transformer.pulid_ca[0]

    def step(generator: torch.Generator, progress: float) -> Losses:
        lesson = lessons.draw(generator, progress)
        tokens = artist.face_tokens(lesson.faces)
        noisy, shape = lesson.noise, shape_of(lesson.pictures)
        sigma, strength = torch.rand(len(noisy), generator=generator), torch.ones(len(noisy))
        with listen([cross_attention], own_places(shape, SQUARE)) as heard:
            artist(noisy, sigma, lesson.captions, tokens, strength, shape)
        return {"routing": heard[0]}

    blocks = transformer.transformer_blocks, transformer.single_transformer_blocks
    try:
        transformer.transformer_blocks, transformer.single_transformer_blocks = blocks[0][:1], nn.ModuleList()
        Trainer(transformer, step, schedule, file).run()
    finally:
        transformer.transformer_blocks, transformer.single_transformer_blocks = blocks


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


def pack(latents: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, HW/4, 4C), as FluxPipeline packs them."""
    return FluxPipeline._pack_latents(latents, *latents.shape)


def unpack(latents: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, HW/64, 64) -> (B, 16, H/4, W/4) for pictures of `shape` (B, 3, H, W): the inverse of `pack`."""
    height, width = shape[-2:]
    return FluxPipeline._unpack_latents(latents, height, width, PLACE // 2)


def _tokenise(tokenizer: PreTrainedTokenizerFast, captions: Sequence[str], length: int) -> tuple[Tensor, list[int]]:
    """The ids of the captions without repetitions, (U, length), and which row is each caption's, B numbers."""
    unique = list(dict.fromkeys(captions))
    ids = tokenizer(unique, padding="max_length", truncation=True, max_length=length, return_tensors="pt").input_ids
    return ids, [unique.index(caption) for caption in captions]
