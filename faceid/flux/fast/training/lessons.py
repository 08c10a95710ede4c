"""Lessons for the transformer: a face to be shown, the picture to be drawn of it, and the caption that says how."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from faceid.flux.fast.tokenizers import load_words
from faceid.flux.fast.training.augment import Augmenter
from faceid.flux.fast.training.captions import (
    CLASSES,
    COLOUR_PHRASES,
    COLOURS,
    LIGHT_PHRASES,
    SCENE_PHRASES,
    SPELLINGS,
    STYLE_PHRASES,
    draw_caption,
)
from faceid.flux.fast.training.scenes import Backgrounds
from faceid.flux.fast.training.strangers import Strangers
from faceid.flux.fast.training.styles import realise

COPYING = 0.03  # of the time nothing but copying
PLAIN = 0.2  # share of plain photos, afterwards
TEXTURES = 0.1  # share of pictures without a face, while copying
UNHEARD = frozenset({"a", "an", "at", "in", "of", "on", "the", "standing", "walking", "trekking", "style", "portrait"})
STRANGERS, WEAKER, STRONGER = 0.3, 0.1, 0.05  # shares of strength 0, of less than 1, of more than 1
STRONGEST = 1.8
OBLONG = 0.2  # share of batches that are not square
SHAPES = ((8, 6), (6, 8), (6, 10), (10, 6), (8, 10), (10, 8), (8, 12), (12, 8), (6, 14), (14, 6))  # rows and columns
PLACE, CHANNELS = 8, 64  # px and numbers of an image token


class Lesson(NamedTuple):
    """faces (B, 3, S, S) and pictures (B, 3, H, W), 0 to 1: what the adapter is shown, what is to be drawn.

    captions: B texts. strengths (B,): of the identity. noise (B, HW/64, 64): what the drawing begins with. At strength
    1 and above the picture is of the face, at 0 of the stranger that belongs to the noise, in between of both, blended.
    """

    faces: Tensor
    pictures: Tensor
    captions: Sequence[str]
    strengths: Tensor
    noise: Tensor


class Lessons:
    """Draws lessons from views of faces and from strangers; copying comes first, then the whole grammar.

    side: of a square picture, px; batch: faces of a lesson.
    """

    def __init__(self, views: Augmenter, strangers: Strangers, side: int, *, batch: int):
        self._views, self._strangers, self._batch = views, strangers, batch
        self._square = (side // PLACE, side // PLACE)
        self._backgrounds = Backgrounds(side)
        self._noise_words = words_without_meaning()

    def draw(self, generator: torch.Generator, progress: float) -> Lesson:
        """A lesson; progress: how much of the training is done, 0 to 1. `generator` decides everything."""
        copying = progress < COPYING
        chance = random.Random(int(torch.randint(2**31, (), generator=generator)))
        shape = chance.choice(SHAPES) if chance.random() < OBLONG else self._square
        views = self._views.draw(self._batch, generator, textures=TEXTURES if copying else 0)
        noise = torch.randn(self._batch, shape[0] * shape[1], CHANNELS, generator=generator)
        strangers = self._strangers.meet(noise)
        plain = 1.0 if copying else PLAIN
        captions = [draw_caption(chance, plain=plain, noise_words=self._noise_words) for _ in range(self._batch)]
        strengths = draw_strengths(self._batch, generator)
        own = strengths.clamp(max=1).view(-1, 1, 1, 1)
        people = reframe(torch.lerp(strangers.pictures, views.pictures, own), shape)
        masks = reframe(torch.maximum(views.masks * (own > 0), strangers.masks * (own < 1)), shape)
        pictures = realise(people, masks, captions, self._backgrounds, self._backgrounds.find(noise).tolist())
        return Lesson(views.pictures, pictures, [caption.text for caption in captions], strengths, noise)


def draw_strengths(batch: int, generator: torch.Generator) -> Tensor:
    """Strengths of the identity, (batch,), 0 to STRONGEST: mostly 1."""
    choice, other = torch.rand(2, batch, generator=generator)
    strengths = torch.ones(batch)
    strengths = torch.where(choice < STRANGERS + WEAKER + STRONGER, 1 + (STRONGEST - 1) * other, strengths)
    strengths = torch.where(choice < STRANGERS + WEAKER, other, strengths)
    return torch.where(choice < STRANGERS, torch.zeros(batch), strengths)


def reframe(pictures: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, C, S, S) -> (B, C, 8 rows, 8 columns): the face as large as before and in the middle.

    What is too much is cut off; what is missing is a mirror image at the sides, and the last row above and below.
    """
    down, across = ((PLACE * count - pictures.shape[-1]) // 2 for count in shape)
    if across > 0:
        pictures = functional.pad(pictures, (across, across, 0, 0), mode="reflect")
    if down > 0:
        pictures = functional.pad(pictures, (0, 0, down, down), mode="replicate")
    top, left = max(0, -down), max(0, -across)
    return pictures[..., top : pictures.shape[-2] - top, left : pictures.shape[-1] - left]


def words_without_meaning() -> list[str]:
    """The vocabulary's words that say nothing in any caption, to be mixed in, sorted."""
    used = _words_of(*STYLE_PHRASES.values(), *LIGHT_PHRASES.values(), *SCENE_PHRASES.values(), CLASSES, COLOUR_PHRASES)
    return sorted(set(load_words()) - used - _colour_words())


def words_heard() -> list[str]:
    """The words that say something about style, light or background, sorted."""
    used = _words_of(*STYLE_PHRASES.values(), *LIGHT_PHRASES.values(), *SCENE_PHRASES.values())
    return sorted((used | _colour_words()) - UNHEARD)


def _words_of(*groups: Sequence[str]) -> set[str]:
    return {word for group in groups for phrase in group for word in phrase.split()}


def _colour_words() -> set[str]:
    return {*COLOURS, *(word for words in SPELLINGS.values() for word in words)}
