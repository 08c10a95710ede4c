"""From photos to what a tune caches: which face, which vectors, which tokens, for which adapter and face pack.

Knows the face reader and the identity encoders as protocols; never the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faceid.base_models import BaseModel
from faceid.domain import Face, IdentityKey, Tune, TunePhoto, Upload
from faceid.errors import InvalidPhotos, InvalidRequest, PhotoProblem, Unavailable
from faceid.protocols import FaceReader, IdentityEncoder
from faceid.validation import check_uploads

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class PhotoCheck:
    """What was seen in one photo: a 256 px WebP of the aligned face, or the problem; warnings either way."""

    photo: str
    thumbnail: bytes | None = field(default=None, repr=False)
    problem: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class EncodedPhotos:
    """What a new tune keeps: its photos with vectors, its tokens (1, N, D), and what to tell about single photos."""

    photos: tuple[TunePhoto, ...]
    key: IdentityKey
    tokens: "np.ndarray" = field(repr=False)
    warnings: tuple[PhotoProblem, ...] = ()


class Identities:
    """One face reader, and an identity encoder for each adapter that is loaded."""

    def __init__(self, faces: FaceReader, encoders: Mapping[str, IdentityEncoder]):
        self._faces, self._encoders = faces, encoders

    def check_photo(self, photo: Upload) -> PhotoCheck:
        """Look at one photo; what is wrong with it is told, not raised."""
        try:
            check_uploads([photo])
            face = self._faces.detect_face(photo)
        except InvalidPhotos as error:
            return PhotoCheck(photo.name, problem=" ".join(problem.message for problem in error.problems))
        return PhotoCheck(photo.name, thumbnail=face.thumbnail, warnings=face.warnings)

    def encode(
        self, photos: Mapping[str, Upload], model: BaseModel, *, keep_photos: bool, allow_different_people: bool
    ) -> EncodedPhotos:
        """Photos by their sha256, encoded for `model`. InvalidPhotos names each that cannot be used."""
        encoder = self._encoder_for(model)
        faces = self._faces.read_faces(list(photos.values()), allow_different_people=allow_different_people)
        kept = [
            TunePhoto(
                sha256=sha256,
                thumbnail=face.thumbnail,
                original=photo.content if keep_photos else None,
                vectors={face.face_pack: face.embedding},
                warnings=face.warnings,
            )
            for (sha256, photo), face in zip(photos.items(), faces)
        ]
        return EncodedPhotos(tuple(kept), encoder.key, encoder.encode(faces), tuple(_warnings(faces)))

    def encode_again(self, tune: Tune, photos: Sequence[TunePhoto], model: BaseModel) -> "np.ndarray":
        """Tokens (1, N, D) for a model the tune was not made for; InvalidRequest where its photos were not kept."""
        originals = [photo.original for photo in photos]
        if None in originals:
            raise InvalidRequest(
                f"The tune {tune.id} was made for another base model, and its photos were not kept. "
                f"Create it again for {model.title}.",
                field="text",
            )
        uploads = [Upload(f"photo {number}", content) for number, content in enumerate(originals, start=1)]
        return self._encoder_for(model).encode(self._faces.read_faces(uploads, allow_different_people=True))

    def key_for(self, model: BaseModel) -> IdentityKey:
        """What tokens for `model` belong to; Unavailable where the loaded face pack does not fit it."""
        return self._encoder_for(model).key

    def _encoder_for(self, model: BaseModel) -> IdentityEncoder:
        if model.face_pack and model.face_pack != self._faces.face_pack:
            raise Unavailable(
                f"{model.title} needs the face pack {model.face_pack}, and {self._faces.face_pack} is loaded. "
                f"Set FACEID_FACE_PACK={model.face_pack} and start again."
            )
        return self._encoders[model.adapter]


def _warnings(faces: Sequence[Face]) -> list[PhotoProblem]:
    return [PhotoProblem(face.photo, warning) for face in faces for warning in face.warnings]
