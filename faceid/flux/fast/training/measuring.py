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
from faceid.flux.fast.training.captions import COLOURS, LIGHTS, SCENES, STYLES, Caption, caption_of
from faceid.flux.fast.training.obedience import obeys
from faceid.flux.fast.training.scenes import Backgrounds
from faceid.flux.generator import FluxGenerator
from faceid.pulid.face_encoder import PuLIDFaceEncoder

STEPS, GUIDANCE = 8, 3.5
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass
class Figures:
    """rank1 and rank5: shares of people, at strength 1; found and cosine: by strength."""

    rank1: float = 0.0
    rank5: float = 0.0
    found: dict[float, float] = field(default_factory=dict)
    cosine: dict[float, float] = field(default_factory=dict)
    obedience: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    upscaler_gain: float = 0.0


class Studio:
    """Draws people with one generator and looks at the result with one judge."""

    def __init__(self, generator: FluxGenerator, encoder: PuLIDFaceEncoder, judge: FaceAnalyzer):
        self._generator, self._judge = generator, judge
        self._encoder = encoder
        self.seconds: list[float] = []

    @property
    def seconds_a_picture(self) -> float:
        """The median of those drawn so far."""
        return float(np.median(self.seconds))

    def draw(self, face: Face, prompt: str, strength: float, seed: int) -> Image.Image:
        """One picture of `face`, as the app draws it."""
        tokens = self._encoder.encode([face])
        request = GenerationRequest(
            base_model=self._generator.base_model.slug,
            prompt=prompt,
            seed=seed,
            num_images=1,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            width=config.SIDE,
            height=config.SIDE,
            identities=(WeightedIdentity(tokens, strength),),
        )
        start = time.perf_counter()
        (picture,) = [result for result in self._generator.generate(request) if isinstance(result, Picture)]
        self.seconds.append(time.perf_counter() - start)
        return picture.image

    def look(self, picture: Image.Image) -> np.ndarray | None:
        """The embedding, of length 1, of the face in a picture; None where none is found."""
        file = io.BytesIO()
        picture.save(file, "PNG")
        try:
            return normalise(self._judge.detect_face(Upload("drawn.png", file.getvalue())).embedding)
        except InvalidPhotos:
            return None


def measure_likeness(studio: Studio, people: Sequence[Face], *, prompt: str = caption_of().text) -> Figures:
    """Who is recognised, by strength, for `people`, one face each; seed n draws person n.

    A picture in which no face is found is like nobody: its cosine is 0, its rank the last.
    """
    figures = Figures()
    gallery = np.stack([normalise(face.embedding) for face in people])
    for strength in STRENGTHS:
        seen = [studio.look(studio.draw(face, prompt, strength, seed)) for seed, face in enumerate(people)]
        figures.found[strength] = float(np.mean([vector is not None for vector in seen]))
        cosines = [0.0 if vector is None else float(vector @ own) for vector, own in zip(seen, gallery)]
        figures.cosine[strength] = float(np.mean(cosines))
        if strength == 1.0:
            ranks = [_rank(vector, gallery, index) for index, vector in enumerate(seen)]
            figures.rank1 = float(np.mean([rank == 0 for rank in ranks]))
            figures.rank5 = float(np.mean([rank < 5 for rank in ranks]))
    return figures


def measure_obedience(studio: Studio, people: Sequence[Face]) -> dict[str, float]:
    """For each word of the grammar the share of people with whom it is obeyed, at strength 1."""
    backgrounds = Backgrounds(config.SIDE)
    plain = [_pixels(studio.draw(face, caption_of().text, 1.0, seed)) for seed, face in enumerate(people)]
    return {
        name: float(
            np.mean(
                [
                    obeys(_pixels(studio.draw(face, caption.text, 1.0, seed)), plain[seed], caption, backgrounds)
                    for seed, face in enumerate(people)
                ]
            )
        )
        for name, caption in list_captions().items()
    }


def list_captions() -> dict[str, Caption]:
    """One caption for each word of the grammar that can be measured."""
    return (
        {style: caption_of(style) for style in STYLES[1:]}
        | {light: caption_of(light=light) for light in LIGHTS}
        | {place: caption_of(background=place) for place in SCENES}
        | {f"plain {colour}": caption_of(background=colour) for colour in COLOURS}
    )


def normalise(vector: np.ndarray) -> np.ndarray:
    """A vector of length 1."""
    return vector / np.linalg.norm(vector)


def _rank(vector: np.ndarray | None, gallery: np.ndarray, own: int) -> int:
    """How many people of the gallery are more alike than the right one; a face not found comes last."""
    if vector is None:
        return len(gallery)
    cosines = gallery @ vector
    return int((cosines > cosines[own]).sum())


def _pixels(picture: Image.Image) -> np.ndarray:
    """At the size it was drawn at, 0 to 1."""
    side = (config.SIDE, config.SIDE)
    return np.asarray(picture.resize(side, Image.Resampling.BOX), np.float32) / 255
