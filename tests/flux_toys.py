"""What the tests of the drawing side share: `fast` built once, short requests, pictures as arrays."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from faceid.base_models import find_base_model
from faceid.domain import Face, GenerationRequest, Picture, StepDone, WeightedIdentity
from faceid.flux.fast import config
from faceid.flux.fast.build import build_fast
from faceid.flux.generator import FluxGenerator
from faceid.pulid.face_encoder import PuLIDFaceEncoder

FAST = find_base_model("fast")


@cache
def fast_engine() -> tuple[FluxGenerator, PuLIDFaceEncoder]:
    """One generator for all tests: a test that leaves something on it fails the next one."""
    pipeline, adapter, encoder = build_fast()
    length = config.MAX_SEQUENCE_LENGTH
    return FluxGenerator(FAST, pipeline, adapter, encoder.unconditional(), max_sequence_length=length), encoder


@cache
def identity_tokens(person: int = 1) -> np.ndarray:
    """The tokens of a smooth random picture in the face's place."""
    coarse = np.random.default_rng(person).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    aligned = np.kron(coarse, np.ones((128, 128, 1), dtype=np.uint8))  # (512, 512, 3)
    face = Face(
        photo="drawing.png",
        face_pack="any",
        box=(0, 0, 512, 512),
        landmarks=np.zeros((5, 2), np.float32),
        score=1.0,
        embedding=np.full(512, person, np.float32),
        aligned=aligned,
        thumbnail=b"",
    )
    return fast_engine()[1].encode([face])


def identity(strength: float = 1.0, person: int = 1) -> dict[str, Any]:
    """The request's `identities` with one person."""
    return {"identities": (WeightedIdentity(identity_tokens(person), strength),)}


def short_request(**changes: Any) -> GenerationRequest:
    """Two steps of one small picture, with `changes`."""
    fields = {
        "base_model": "fast",
        "prompt": "photo of a woman in the alps",
        "seed": 1,
        "num_images": 1,
        "num_inference_steps": 2,
        "guidance_scale": 3.5,
        "width": 64,
        "height": 64,
    }
    return GenerationRequest(**(fields | changes))


def pictures(results: Iterable[StepDone | Picture]) -> list[np.ndarray]:
    """The pictures among the results, (height, width, 3) int16."""
    return [np.asarray(result.image).astype(np.int16) for result in results if isinstance(result, Picture)]


def draw(**changes: Any) -> np.ndarray:
    """The one picture of a short request."""
    (picture,) = pictures(fast_engine()[0].generate(short_request(**changes)))
    return picture


def mean_change(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute change of a channel, of 255."""
    return float(np.abs(one - other).mean())
