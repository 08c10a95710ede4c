"""What the studio needs of others, as protocols: who reads faces, encodes identities, paints, judges and backs up."""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from faceid.domain import Face, GenerationRequest, IdentityKey, Picture, StepDone, Upload
from faceid.finishes import FinishStep

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class FaceReader(Protocol):
    """Finds the face in a photo. `face_pack` names the space of its vectors."""

    face_pack: str

    def detect_face(self, upload: Upload) -> Face: ...

    def read_faces(self, uploads: Sequence[Upload], *, allow_different_people: bool = False) -> list[Face]: ...


class IdentityEncoder(Protocol):
    """Turns the faces of one person into identity tokens (1, N, D) float16."""

    key: IdentityKey

    def encode(self, faces: Sequence[Face]) -> "np.ndarray": ...


class Likeness(NamedTuple):
    """How much a picture's face is like a person's photos. `copy`: it is nearly one of the photos.

    similarity orders the pictures of one person; its scale is the judge's, and it is shown to nobody.
    """

    band: Literal["weak", "fair", "strong", "copy", "not measurable"]
    similarity: float = -1.0


class ReferenceReader(Protocol):
    """Makes vectors of its own of a person's photos, kept with a tune under `name`."""

    name: str

    def embed_reference(self, face: Face) -> "np.ndarray": ...


class Judge(ReferenceReader, Protocol):
    """Compares pictures with photos by its vectors."""

    def measure(self, picture: "Image", references: "Sequence[np.ndarray]") -> Likeness: ...


class Backup(Protocol):
    """Is told of changes. After a deletion the old backup is replaced at once."""

    def touch(self) -> None: ...

    def replace_now(self) -> None: ...


Paint = Callable[[GenerationRequest], Generator[StepDone | FinishStep | Picture]]
Measure = Callable[["Image"], Likeness]
