"""What the studio needs of others, as protocols: who reads faces, encodes identities, paints and backs up."""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Protocol

from faceid.domain import Face, GenerationRequest, IdentityKey, Picture, StepDone, Upload

if TYPE_CHECKING:
    import numpy as np


class FaceReader(Protocol):
    """Finds the face in a photo. `face_pack` names the space of its vectors."""

    face_pack: str

    def detect_face(self, upload: Upload) -> Face: ...

    def read_faces(self, uploads: Sequence[Upload], *, allow_different_people: bool = False) -> list[Face]: ...


class IdentityEncoder(Protocol):
    """Turns the faces of one person into identity tokens (1, N, D) float16."""

    key: IdentityKey

    def encode(self, faces: Sequence[Face]) -> "np.ndarray": ...


class Backup(Protocol):
    """Is told of changes. After a deletion the old backup is replaced at once."""

    def touch(self) -> None: ...

    def replace_now(self) -> None: ...


Paint = Callable[[GenerationRequest], Generator[StepDone | Picture]]
