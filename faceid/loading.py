"""The models that are loaded behind the page: who needs them waits, but not for ever. Knows no model."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from faceid.errors import FaceIDError, NotReady, Unavailable
from faceid.protocols import FaceReader, IdentityEncoder, Judge, ReferenceReader

PATIENCE_SECONDS = 30.0
RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class Models:
    """What reads faces, what encodes identities (by adapter), and who judges likeness, if anybody.

    swap_reader: who makes the vectors that face_swap needs, where it is loaded. missing: why finishing steps cannot be
    done here, by their names.
    """

    faces: FaceReader
    encoders: Mapping[str, IdentityEncoder]
    judge: Judge | None = None
    swap_reader: ReferenceReader | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Loading:
    """A place for models that come later, filled once by `finish` or `fail`, from any thread.

    patience: seconds that a caller waits for them.
    """

    patience: float = PATIENCE_SECONDS
    _future: "Future[Models]" = field(default_factory=Future)

    @classmethod
    def finished(cls, models: Models) -> "Loading":
        """The place with its models in it."""
        loading = cls()
        loading.finish(models)
        return loading

    def finish(self, models: Models) -> None:
        """The models are there."""
        self._future.set_result(models)

    def fail(self, error: FaceIDError) -> None:
        """They will not come: whoever waits is told why."""
        self._future.set_exception(Unavailable(f"The models could not be loaded: {error}"))

    @property
    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._future.done()

    def wait(self) -> Models:
        """The models. NotReady where they are not there in time, Unavailable where they will not come."""
        try:
            return self._future.result(self.patience)
        except TimeoutError:
            raise NotReady(
                "The models are still being loaded. Try again in a moment.", retry_after=RETRY_SECONDS
            ) from None
