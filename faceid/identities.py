"""From photos to what a tune caches: which face, which vectors, which tokens, for which adapter and face pack.

Knows the face reader, the identity encoders and the judge as protocols; never the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faceid.base_models import BaseModel
from faceid.domain import Face, IdentityKey, Tune, TunePhoto, Upload
from faceid.errors import InvalidPhotos, InvalidRequest, PhotoProblem, Unavailable
from faceid.loading import Loading, Models
from faceid.protocols import IdentityEncoder, Judge, ReferenceReader
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
    """What becomes of photos by the models, which may still be loading: everything here waits for them.

    NotReady where they take too long, Unavailable where they could not be loaded.
    """

    def __init__(self, loading: Loading):
        self._loading = loading

    @property
    def judge(self) -> Judge | None:
        """Who judges likeness, if anybody."""
        return self.models.judge

    @property
    def models(self) -> Models:
        """The models, once they are there."""
        return self._loading.wait()

    def check_photo(self, photo: Upload) -> PhotoCheck:
        """Look at one photo; what is wrong with it is told, not raised."""
        try:
            check_uploads([photo])
            face = self.models.faces.detect_face(photo)
        except InvalidPhotos as error:
            return PhotoCheck(photo.name, problem=" ".join(problem.message for problem in error.problems))
        return PhotoCheck(photo.name, thumbnail=face.thumbnail, warnings=face.warnings)

    def encode(
        self, photos: Mapping[str, Upload], model: BaseModel, *, keep_photos: bool, allow_different_people: bool
    ) -> EncodedPhotos:
        """Photos by their sha256, encoded for `model`. InvalidPhotos names each that cannot be used."""
        encoder = self._encoder_for(model)
        faces = self.models.faces.read_faces(list(photos.values()), allow_different_people=allow_different_people)
        kept = [
            TunePhoto(
                sha256=sha256,
                thumbnail=face.thumbnail,
                original=photo.content if keep_photos else None,
                vectors=self._vectors(face),
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
        return self._encoder_for(model).encode(self.models.faces.read_faces(uploads, allow_different_people=True))

    def embed_again(self, photos: Sequence[TunePhoto], reader: ReferenceReader) -> "dict[int, np.ndarray]":
        """The reader's vectors by position, from photos that were kept; without those in which no face is found now."""
        found = {}
        for position, photo in enumerate(photos):
            if photo.original is None:
                continue
            try:
                face = self.models.faces.detect_face(Upload(f"photo {position + 1}", photo.original))
            except InvalidPhotos:  # another face reader than the one that took it: there are the other photos
                continue
            found[position] = reader.embed_reference(face)
        return found

    def key_for(self, model: BaseModel) -> IdentityKey:
        """What tokens for `model` belong to; Unavailable where the loaded face pack does not fit it."""
        return self._encoder_for(model).key

    def _vectors(self, face: Face) -> "dict[str, np.ndarray]":
        readers = [reader for reader in (self.judge, self.models.swap_reader) if reader]
        return {reader.name: reader.embed_reference(face) for reader in readers} | {face.face_pack: face.embedding}

    def _encoder_for(self, model: BaseModel) -> IdentityEncoder:
        loaded = self.models.faces.face_pack
        if model.face_pack and model.face_pack != loaded:
            raise Unavailable(
                f"{model.title} needs the face pack {model.face_pack}, and {loaded} is loaded. "
                f"Set FACEID_FACE_PACK={model.face_pack} and start again."
            )
        return self.models.encoders[model.adapter]


def mean_direction(vectors: "Sequence[np.ndarray]") -> "np.ndarray":
    """One vector (D,) float32 of length 1 for the vectors of several photos: the mean of their directions."""
    import numpy as np

    from faceid.unit_vectors import unit

    return unit(unit(np.stack(vectors)).mean(axis=0)).astype(np.float32)


def _warnings(faces: Sequence[Face]) -> list[PhotoProblem]:
    return [PhotoProblem(face.photo, warning) for face in faces for warning in face.warnings]
