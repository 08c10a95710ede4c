"""How much a generated face is like a person's photos, as a band. Owns the judge and its thresholds.

The judge is another recogniser than the one whose vectors steer the picture, so that no picture is praised for what it
was optimised for. Everything stays in this process: nothing is logged, kept or sent from here.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from faceid import hub
from faceid.domain import Face
from faceid.errors import SetupError
from faceid.faces.alignment import align_landmarks
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.packs import FacePack, load_judge_pack
from faceid.protocols import Likeness
from faceid.unit_vectors import unit

logger = logging.getLogger(__name__)

# Below this a face's vector says little: copies of a face shrunk to about 25 px have a median cosine of 0.88 to it, to
# 17 px 0.73 (offline judge, 104 synthetic faces).
LEAST_SIDE = 32  # px, the shorter side of the face's box
MOST_SHIFT = 0.1  # how far a person's own photos move the line of `strong`
NOT_MEASURABLE = Likeness("not measurable")


class Scale(NamedTuple):
    """From which cosine a band begins, for one judge. `typical` is what a person's photos reach among themselves."""

    fair: float
    strong: float
    copy: float
    typical: float


# offline (dlib's ResNet, centred): `fair` is dlib's own rule for one person, a distance of 0.6. Measured on 312
# synthetic faces (SFHQ): of 48,516 pairs of different people 96.4 % stay below fair and 99.4 % below strong; the set
# has a few near-twins. Copies of 104 of them, darkened, turned, sheared, noisy, blurred, half covered: 96 % of the
# pairs reach fair, 82 % strong. Copies that only were saved again, resized, cropped or brightened: median 0.98 to 0.99,
# 91 to 100 % reach copy. `typical` is an estimate (a distance of 0.35 to 0.4 as a cosine): there were no two photos of
# one person to measure it on.
# auraface-v1 could not be measured here. `fair`: 0.28 is ArcFace's threshold for a false accept rate of 0.1 % on LFW
# (github.com/ronny3050/AdvFaces, issue 7) and the one of insightface's demo; the rest is a guess until it is measured.
SCALES = {
    "offline": Scale(fair=0.50, strong=0.70, copy=0.95, typical=0.80),
    "auraface-v1": Scale(fair=0.28, strong=0.50, copy=0.90, typical=0.65),
}


class FaceJudge:
    """Compares pictures with a person's photos. `name` is the pack its vectors belong to, `licence` its weights'.

    One per process, shared by threads; it may share its models with what reads the photos.
    """

    def __init__(self, analyzer: FaceAnalyzer, licence: str = ""):
        self.name, self.licence = analyzer.face_pack, licence
        self._analyzer = analyzer
        self._scale = SCALES[self.name]

    def embed_reference(self, face: Face) -> np.ndarray:
        """The judge's vector (D,) of a photo's face: of its aligned crop, whose landmarks are known."""
        if face.face_pack == self.name:
            return face.embedding
        return self._analyzer.embed(face.aligned, align_landmarks(face.landmarks))

    def measure(self, picture: Image.Image, references: Sequence[np.ndarray]) -> Likeness:
        """The likeness of the picture's largest face to a person's vectors, one a photo.

        Not measurable: no face, one under 32 px, or no vectors to compare with.
        """
        found = self._analyzer.find_largest(np.asarray(picture.convert("RGB"))) if references else None
        if found is None or found[0].side < LEAST_SIDE:
            return NOT_MEASURABLE
        return compare(found[1], references, self._scale)


def compare(vector: np.ndarray, references: Sequence[np.ndarray], scale: Scale) -> Likeness:
    """The band of a face's `vector` (D,) against a person's vectors, (D,) each and at least one.

    The similarity is the cosine to their template, the mean of the unit vectors; a copy is told by the nearest one.
    """
    photos = unit(np.stack(references))  # (P, D)
    face = unit(vector)
    similarity = float(face @ unit(photos.mean(axis=0)))
    fair, strong, copy, _ = _fit_to_person(scale, photos)
    if float((photos @ face).max()) >= copy:
        return Likeness("copy", similarity)
    return Likeness("strong" if similarity >= strong else "fair" if similarity >= fair else "weak", similarity)


def _fit_to_person(scale: Scale, photos: np.ndarray) -> Scale:
    """The scale with the person's own photos (P, D), unit vectors, as the yardstick; as it is for a single photo.

    `strong` is moved by what the median photo reaches against the template of the others, less what is typical: varied
    photos, or a face that is hard for the judge, are not held against the picture. `fair` and `copy` stay: where
    strangers end, and where one photo does, does not depend on the person.
    """
    if len(photos) < 2:
        return scale
    others = unit(photos.sum(axis=0) - photos)  # (P, D)
    reached = float(np.median((photos * others).sum(axis=1)))
    shift = float(np.clip(reached - scale.typical, -MOST_SHIFT, MOST_SHIFT))
    return scale._replace(strong=scale.strong + shift)


def load_judge(
    faces: FaceAnalyzer,
    pack: FacePack,
    *,
    folder: Path,
    token: str | None = None,
    fetch: Callable[..., Path] = hub.fetch,
) -> FaceJudge | None:
    """The judge beside `faces`, which reads photos with `pack`; `folder` is the data folder's `packs`.

    None, with a warning in the log, where no judge can be had: likeness is a comfort, pictures are drawn without it.
    """
    try:
        judge_pack = load_judge_pack(pack, folder=folder, token=token, fetch=fetch)
    except SetupError as error:
        logger.warning("likeness is not measured: %s", error)
        return None
    return FaceJudge(faces if judge_pack == pack else FaceAnalyzer(judge_pack), judge_pack.licence)
