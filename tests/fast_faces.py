"""Faces drawn by rules, and lessons made of them, for the tests of `fast`'s training."""

from functools import cache

import numpy as np
import torch

from faceid.flux.fast import config
from faceid.flux.fast.training.augment import Augmenter
from faceid.flux.fast.training.faces import SIDE, FaceSet, to_tensor
from faceid.flux.fast.training.lessons import Lessons
from faceid.flux.fast.training.strangers import Strangers

PEOPLE = 6


@cache
def generated_faces() -> FaceSet:
    """Six ovals with eyes and a mouth, of different colours, before different backgrounds."""
    chance = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    pictures, masks = [], []
    for _ in range(PEOPLE):
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
    return FaceSet(tuple(f"{index}.png" for index in range(PEOPLE)), np.stack(pictures), np.stack(masks))


def small_pictures() -> torch.Tensor:
    """The generated faces' pictures, (6, 3, 64, 64), 0 to 1."""
    return _every(SIDE // config.SIDE, generated_faces().pictures).float() / 255


@cache
def toy_lessons(batch: int) -> Lessons:
    """Lessons of the generated faces, who are strangers too."""
    faces = generated_faces()
    views = Augmenter(_every(2, faces.pictures), _every(2, faces.masks[..., None]), config.SIDE)
    return Lessons(views, toy_strangers(), config.SIDE, batch=batch)


@cache
def toy_strangers() -> Strangers:
    """The generated faces as strangers."""
    return Strangers(small_pictures(), torch.ones(PEOPLE, 1, config.SIDE, config.SIDE))


def _every(step: int, pictures: np.ndarray) -> torch.Tensor:
    return to_tensor(pictures[:, ::step, ::step])
