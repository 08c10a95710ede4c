"""Faces drawn by rules, and lessons made of them, for the tests of `fast`'s training."""

from functools import cache

import numpy as np
import torch

from faceid.flux.fast import config
from faceid.flux.fast.training.augment import Augmenter
from faceid.flux.fast.training.faces import FaceSet
from faceid.flux.fast.training.lessons import Lessons
from faceid.flux.fast.training.strangers import Strangers


def generated_faces(count: int = 6, side: int = 256) -> FaceSet:
    """Ovals with eyes and a mouth, of different colours, before different backgrounds."""
    chance = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    pictures, masks = [], []
    for _ in range(count):
        skin, hair, behind = chance.integers(40, 220, (3, 3))
        head = (x / 0.5) ** 2 + (y / 0.75) ** 2 < 1
        eyes = ((np.abs(x) - 0.22) / 0.09) ** 2 + ((y + 0.08) / 0.05) ** 2 < 1
        mouth = (x / 0.22) ** 2 + ((y - 0.4) / 0.06) ** 2 < 1
        picture = np.where(head[..., None], skin, behind)
        picture[(y < -0.45) & head] = hair
        picture[(eyes | mouth) & head] = (60, 20, 20)
        grain = chance.normal(0, 6, picture.shape)
        pictures.append((picture + grain).clip(0, 255).astype(np.uint8))
        masks.append(head.astype(np.uint8) * 255)
    return FaceSet(tuple(f"{index}.png" for index in range(count)), np.stack(pictures), np.stack(masks))


def small_pictures(faces: FaceSet, side: int = config.SIDE) -> torch.Tensor:
    """Their pictures as (N, 3, side, side), 0 to 1."""
    step = faces.pictures.shape[1] // side
    return torch.from_numpy(faces.pictures[:, ::step, ::step]).permute(0, 3, 1, 2).float() / 255


def toy_lessons(batch: int) -> Lessons:
    """Lessons of the generated faces."""
    return Lessons(toy_views(), toy_strangers(), config.SIDE, batch=batch)


@cache
def toy_strangers() -> Strangers:
    """The generated faces as strangers."""
    pictures = small_pictures(generated_faces())
    return Strangers(pictures, torch.ones(6, 1, 64, 64))


def toy_views() -> Augmenter:
    """Views of the generated faces."""
    faces = generated_faces()
    layers = (torch.from_numpy(faces.pictures).permute(0, 3, 1, 2), torch.from_numpy(faces.masks)[:, None])
    return Augmenter(*(layer[..., ::2, ::2].contiguous() for layer in layers), config.SIDE)
