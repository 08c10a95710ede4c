"""The figures of `fast`: who is recognised, how strength tells, whether captions are obeyed. Prints nothing.

The judge is the offline face pack's recogniser; nothing that draws has learned from it.
"""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from faceid.domain import Face, GenerationRequest, Picture, Upload, WeightedIdentity
from faceid.errors import InvalidPhotos
from faceid.faces.analyzer import FaceAnalyzer
from faceid.flux.fast import config
from faceid.flux.fast.training.captions import Caption, caption_of, list_captions
from faceid.flux.fast.training.obedience import obeys
from faceid.flux.fast.training.scenes import Backgrounds
from faceid.flux.pipeline import Engine
from faceid.sizes import aspect_ratio_size
from faceid.unit_vectors import unit

STEPS, GUIDANCE = 8, 3.5
PLAIN = caption_of().text
RATIOS = ("3:4", "16:9")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass
class Figures:
    """rank1 and rank5: shares of people, at strength 1; found: share of faces; cosine: the mean; both by strength.

    oblong: by aspect ratio, at strength 1, the share of faces found and the mean cosine. obedience: by word of the
    grammar, the share of people. seconds: of a picture. upscaler_gain: dB over bicubic.
    """

    rank1: float = 0.0
    rank5: float = 0.0
    found: dict[float, float] = field(default_factory=dict)
    cosine: dict[float, float] = field(default_factory=dict)
    obedience: dict[str, float] = field(default_factory=dict)
    oblong: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    upscaler_gain: float = 0.0


class Evaluator:
    """Draws people with one engine and looks at the result with one judge."""

    def __init__(self, engine: Engine, judge: FaceAnalyzer):
        self.base_model = engine.base_model
        self._engine, self._judge = engine, judge
        self._seconds: list[float] = []

    @property
    def seconds_a_picture(self) -> float:
        """The median of those drawn so far, of which there must be one."""
        return float(np.median(self._seconds))

    def draw(
        self, face: Face, prompt: str, strength: float, seed: int, size: tuple[int, int] = (config.SIDE, config.SIDE)
    ) -> Image.Image:
        """One picture of `face`, as the app draws it; size: width and height, px."""
        tokens = self._engine.encoder.encode([face])
        request = GenerationRequest(
            base_model=self.base_model.slug,
            prompt=prompt,
            seed=seed,
            num_images=1,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            width=size[0],
            height=size[1],
            identities=(WeightedIdentity(tokens, strength),),
        )
        start = time.perf_counter()
        (picture,) = [result for result in self._engine.generator.generate(request) if isinstance(result, Picture)]
        self._seconds.append(time.perf_counter() - start)
        return picture.image

    def look(self, picture: Image.Image) -> np.ndarray | None:
        """The embedding, of length 1, of the face in a picture; None where none is found."""
        file = io.BytesIO()
        picture.save(file, "PNG")
        try:
            return unit(self._judge.detect_face(Upload("drawn.png", file.getvalue())).embedding)
        except InvalidPhotos:
            return None


def measure_likeness(evaluator: Evaluator, people: Sequence[Face], *, seed: int) -> Figures:
    """Who is recognised, by strength, for `people`, one face each; `seed` + n draws person n.

    A picture in which no face is found is like nobody: its cosine is 0, its rank the last.
    """
    figures = Figures()
    gallery = unit(np.stack([face.embedding for face in people]))
    for strength in STRENGTHS:
        pictures = [evaluator.draw(face, PLAIN, strength, own) for own, face in enumerate(people, seed)]
        seen = [evaluator.look(picture) for picture in pictures]
        figures.found[strength], figures.cosine[strength] = _found_and_alike(seen, gallery)
        if strength == 1.0:
            ranks = [_rank(vector, gallery, index) for index, vector in enumerate(seen)]
            figures.rank1 = float(np.mean([rank == 0 for rank in ranks]))
            figures.rank5 = float(np.mean([rank < 5 for rank in ranks]))
    return figures


def measure_oblong(evaluator: Evaluator, people: Sequence[Face], *, seed: int) -> dict[str, tuple[float, float]]:
    """For some aspect ratios the share of faces found and their mean cosine, at strength 1."""
    gallery, figures = unit(np.stack([face.embedding for face in people])), {}
    for ratio in RATIOS:
        size = aspect_ratio_size(evaluator.base_model, ratio)
        pictures = [evaluator.draw(face, PLAIN, 1.0, own, size) for own, face in enumerate(people, seed)]
        figures[ratio] = _found_and_alike([evaluator.look(picture) for picture in pictures], gallery)
    return figures


def measure_obedience(evaluator: Evaluator, people: Sequence[Face], *, seed: int) -> dict[str, float]:
    """For each word of the grammar the share of people with whom it is obeyed, at strength 1."""
    backgrounds = Backgrounds(config.SIDE)

    def draw(text: str) -> list[np.ndarray]:
        return [shrink_drawn(evaluator.draw(face, text, 1.0, own)) for own, face in enumerate(people, seed)]

    def share_obeyed(caption: Caption) -> float:
        drawn = zip(draw(caption.text), plain)
        return float(np.mean([obeys(picture, other, caption, backgrounds) for picture, other in drawn]))

    plain = draw(PLAIN)
    return {name: share_obeyed(caption) for name, caption in list_captions().items()}


def shrink_drawn(picture: Image.Image) -> np.ndarray:
    """A square picture at the size it was drawn at: (64, 64, 3) float32, 0 to 1."""
    side = (config.SIDE, config.SIDE)
    return np.asarray(picture.resize(side, Image.Resampling.BOX), np.float32) / 255


def _found_and_alike(seen: Sequence[np.ndarray | None], gallery: np.ndarray) -> tuple[float, float]:
    """The share of faces found, and the mean cosine to the gallery's of the same number: 0 where none is found."""
    cosines = [0.0 if vector is None else float(vector @ own) for vector, own in zip(seen, gallery)]
    return float(np.mean([vector is not None for vector in seen])), float(np.mean(cosines))


def _rank(vector: np.ndarray | None, gallery: np.ndarray, own: int) -> int:
    """How many people of the gallery are more alike than the right one; a face not found comes last."""
    if vector is None:
        return len(gallery)
    cosines = gallery @ vector
    return int((cosines > cosines[own]).sum())
