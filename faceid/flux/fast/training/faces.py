"""The face pictures that `fast` learns from: a folder -> aligned crops, and which people are kept out of training.

Owns alignment and the split; knows no network that is trained. The face pack is used for its landmarks only.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from faceid.domain import Face, Upload
from faceid.errors import InvalidPhotos, SetupError
from faceid.faces.analyzer import FaceAnalyzer
from faceid.flux.fast import config

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
SIDE = config.SIDE * config.UPSCALE  # px of a kept crop: what the upscaler is to draw
KEPT_OUT = 40  # people that training never sees
VALIDATION = 16  # people of the training part whom only sample sheets show
MASK_ROUNDS = 3  # of GrabCut
Person = TypeVar("Person")


class FaceSet(NamedTuple):
    """names: the files; pictures (N, 256, 256, 3) uint8 RGB, aligned; masks (N, 256, 256) uint8, 255 is the person."""

    names: tuple[str, ...]
    pictures: np.ndarray
    masks: np.ndarray

    def select(self, indices: Sequence[int]) -> "FaceSet":
        """The faces at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=int)
        return FaceSet(tuple(self.names[index] for index in chosen), self.pictures[chosen], self.masks[chosen])


def find_pictures(folder: Path) -> list[Path]:
    """The picture files of `folder`, sorted by name. SetupError where there is none."""
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SetupError(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))}): give a folder of face pictures.")
    return found


def split_people(people: Sequence[Person], kept_out: int) -> tuple[list[Person], list[Person]]:
    """(training, kept out), in their order; those kept out are spread evenly, at most every second."""
    kept_out = min(kept_out, len(people) // 2)
    out = {index * len(people) // kept_out for index in range(kept_out)}
    return [one for index, one in enumerate(people) if index not in out], [people[index] for index in sorted(out)]


def split_validation(faces: FaceSet) -> tuple[FaceSet, FaceSet]:
    """(training, validation): some of the training people, spread evenly, by whom settings are chosen."""
    count = len(faces.names)
    training, validation = split_people(range(count), min(VALIDATION, count // 8))
    return faces.select(training), faces.select(validation)


def load_faces(files: Sequence[Path], analyzer: FaceAnalyzer, cache: Path) -> FaceSet:
    """The faces of picture files, one person each, aligned; pictures without a face are left out.

    They are read once, then taken from the file `cache` as long as the files have the same names. SetupError where no
    face is found at all.
    """
    names = tuple(path.name for path in files)
    if cache.exists():
        with np.load(cache) as kept:
            if tuple(kept["files"]) == names:
                return FaceSet(tuple(kept["names"]), kept["pictures"], kept["masks"])
    found = [face for path in files if (face := find_face(path, analyzer))]
    if not found:
        raise SetupError(f"No face was found in the {len(files)} pictures to train on: give pictures of faces.")
    logger.info("%d of %d pictures show a face", len(found), len(files))
    pictures = np.stack([crop_face(face) for face in found])
    faces = FaceSet(tuple(face.photo for face in found), pictures, np.stack([cut_out(p) for p in pictures]))
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, files=names, names=faces.names, pictures=faces.pictures, masks=faces.masks)
    return faces


def find_face(path: Path, analyzer: FaceAnalyzer) -> Face | None:
    """The face in a picture file; None where there is none that can be used."""
    try:
        return analyzer.detect_face(Upload(path.name, path.read_bytes()))
    except InvalidPhotos:
        return None


def crop_face(face: Face) -> np.ndarray:
    """The aligned crop at the size the upscaler draws: (256, 256, 3) uint8 RGB."""
    return cv2.resize(face.aligned, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(N, S, S, C) uint8 array -> (N, C, S, S) uint8 tensor."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def cut_out(picture: np.ndarray) -> np.ndarray:
    """Where the person is: an aligned crop (S, S, 3) uint8 RGB -> (S, S) uint8, 0 or 255.

    GrabCut (Rother et al., 2004) from a rough figure: an oval head on shoulders.
    """
    side = 128
    small = np.ascontiguousarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)[..., ::-1])
    labels = np.full((side, side), cv2.GC_PR_BGD, np.uint8)
    cv2.ellipse(labels, (64, 62), (44, 58), 0, 0, 360, int(cv2.GC_PR_FGD), -1)
    cv2.ellipse(labels, (64, 74), (27, 38), 0, 0, 360, int(cv2.GC_FGD), -1)
    labels[116:, 44:84] = cv2.GC_FGD
    labels[:60, :6] = labels[:60, -6:] = labels[:3] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), MASK_ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    person = cv2.morphologyEx(cv2.morphologyEx(person, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel)
    return cv2.resize(cv2.GaussianBlur(person, (0, 0), 1.2), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
