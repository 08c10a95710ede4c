"""Loads what reads faces, encodes, draws and judges, as the settings say: the engine wing in one call.

Knows settings and the loaders; never the studio or the page. It takes seconds for `fast`, minutes for the Hub's models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from faceid.base_models import BaseModel
from faceid.faces.analyzer import FaceAnalyzer
from faceid.faces.likeness import FaceJudge, load_judge
from faceid.faces.packs import FacePack, load_face_pack
from faceid.flux import gpu
from faceid.flux.pipeline import Engine, load_engines
from faceid.settings import Settings


@dataclass(frozen=True)
class Loaded:
    """What was loaded; the generators of `engines` are registered at the GPU boundary."""

    pack: FacePack
    faces: FaceAnalyzer
    judge: FaceJudge | None
    engines: tuple[Engine, ...]


def load_models(settings: Settings, base_models: Sequence[BaseModel]) -> Loaded:
    """The face pack, the judge (unless FACEID_LIKENESS is off) and `base_models`, ready to draw.

    SetupError: a licence, weights, memory or a face pack that is missing; the text says what to do.
    """
    folder = settings.data_dir / "packs"
    pack = load_face_pack(settings.face_pack, folder=folder, token=settings.hf_token)
    faces = FaceAnalyzer(pack)
    judge = load_judge(faces, pack, folder=folder, token=settings.hf_token) if settings.likeness else None
    engines = load_engines(base_models, lock_dir=folder, face_pack=pack.name, token=settings.hf_token)
    for engine in engines:
        gpu.register(engine.generator)
        if settings.compile:
            engine.compile()
    return Loaded(pack, faces, judge, engines)
