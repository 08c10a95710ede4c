"""Trains the decoder of `fast` on what the transformer draws: tiles that differ a little are put together seamlessly.

Until then it is a linear code of patches: each image token becomes a square of its own, and where two disagree, an edge
shows. Its residual blocks, silent until now, see the neighbours. The encoder and the code stay as they are.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast.training.drawing import Artist, shape_of, unpack
from faceid.flux.fast.training.lessons import Lesson, Lessons
from faceid.flux.fast.training.loop import Losses, Schedule, Trainer

CLEAN = 0.25  # share of batches that show the decoder what the encoder says
NOISIEST = 0.85  # sigma up to which the transformer's guess at the picture is decoded


def train_decoder(artist: Artist, lessons: Lessons, schedule: Schedule, file: Path) -> None:
    """Train the autoencoder's decoder in place, on a trained `artist`; file is the Trainer's."""
    decoder = artist.pipeline.vae.decoder
    decoder.requires_grad_(True)

    def step(generator: torch.Generator, progress: float) -> Losses:
        lesson = lessons.draw(generator, 1.0)
        latents = guess(artist, lesson, generator)
        drawn = decoder(unpack(latents, lesson.pictures.shape))
        wanted = lesson.pictures * 2 - 1
        return {"pixels": functional.l1_loss(drawn, wanted), "steps": _steps_apart(drawn, wanted)}

    Trainer(decoder, step, schedule, file).run()
    decoder.eval().requires_grad_(False)


@torch.no_grad()
def guess(artist: Artist, lesson: Lesson, generator: torch.Generator) -> Tensor:
    """Packed latents (B, L, 64) of the pictures of `lesson`: as encoded, or as guessed in one step from noise."""
    latents = artist.encode_pictures(lesson.pictures)
    if torch.rand((), generator=generator) < CLEAN:
        return latents
    sigma = NOISIEST * torch.rand(len(latents), 1, 1, generator=generator)
    noisy = torch.lerp(latents, lesson.noise, sigma)
    tokens = artist.face_tokens(lesson.faces)
    shape = shape_of(lesson.pictures)
    velocity = artist(noisy, sigma.flatten(), lesson.captions, tokens, lesson.strengths, shape)
    return noisy - sigma * velocity


def _steps_apart(drawn: Tensor, wanted: Tensor) -> Tensor:
    """How differently neighbouring pixels differ: what the eye sees of an edge that should not be there."""
    return sum(functional.l1_loss(drawn.diff(dim=axis), wanted.diff(dim=axis)) for axis in (-1, -2))
