"""Lessons for the transformer: a face to be shown, the picture to be drawn of it, and the caption that says how."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from faceid.flux.fast.tokenizers import load_words
from faceid.flux.fast.training.augment import Augmenter
from faceid.flux.fast.training.captions import (
    BACKGROUND,
    CLASSES,
    COLOURS,
    LIGHT_PHRASES,
    SCENE_PHRASES,
    STYLE_PHRASES,
    draw_caption,
)
from faceid.flux.fast.training.scenes import Backgrounds, realise

COPYING = 0.08  # of the time nothing but copying
PLAIN = 0.2  # share of plain photos, afterwards
TEXTURES = 0.1  # share of pictures without a face, while copying
STRANGERS, WEAKER, STRONGER = 0.15, 0.1, 0.05  # shares of strength 0, of less than 1, of more than 1
STRONGEST = 1.8


class Lesson(NamedTuple):
    """faces and pictures (B, 3, S, S), 0 to 1: what the adapter is shown, what is to be drawn; captions: B texts.

    strengths (B,): of the identity. At 1 and above the picture is of the face, at 0 of somebody else, in between of
    both, blended.
    """

    faces: Tensor
    pictures: Tensor
    captions: Sequence[str]
    strengths: Tensor


class Lessons:
    """Draws lessons from views of faces; copying comes first, then the whole grammar."""

    def __init__(self, views: Augmenter, side: int, *, batch: int):
        self._views, self._batch = views, batch
        self._backgrounds = Backgrounds(side)
        self._noise_words = words_without_meaning()

    def draw(self, generator: torch.Generator, progress: float) -> Lesson:
        """A lesson; progress: how much of the training is done, 0 to 1."""
        copying = progress < COPYING
        views = self._views.draw(self._batch, generator, textures=TEXTURES if copying else 0)
        chance = random.Random(int(torch.randint(2**31, (), generator=generator)))
        plain = 1.0 if copying else PLAIN
        captions = [draw_caption(chance, plain=plain, noise_words=self._noise_words) for _ in range(self._batch)]
        strengths = draw_strengths(self._batch, generator)
        own = strengths.clamp(max=1).view(-1, 1, 1, 1)
        people = torch.lerp(views.pictures.roll(1, 0), views.pictures, own)
        masks = torch.maximum(views.masks * (own > 0), views.masks.roll(1, 0) * (own < 1))
        pictures = realise(people, masks, captions, self._backgrounds, generator)
        return Lesson(views.pictures, pictures, [caption.text for caption in captions], strengths)


def draw_strengths(batch: int, generator: torch.Generator) -> Tensor:
    """Strengths of the identity, (B,): mostly 1."""
    choice, other = torch.rand(2, batch, generator=generator)
    strengths = torch.ones(batch)
    strengths = torch.where(choice < STRANGERS + WEAKER + STRONGER, 1 + (STRONGEST - 1) * other, strengths)
    strengths = torch.where(choice < STRANGERS + WEAKER, other, strengths)
    return torch.where(choice < STRANGERS, torch.zeros(batch), strengths)


def words_without_meaning() -> list[str]:
    """The vocabulary's words that no caption uses, to be mixed in."""
    phrases = (*STYLE_PHRASES.values(), *LIGHT_PHRASES.values(), *SCENE_PHRASES.values(), CLASSES, (BACKGROUND,))
    used = {word for group in phrases for phrase in group for word in phrase.split()}
    return sorted(set(load_words()) - used - set(COLOURS))
