"""What can go wrong, as a tree, and how it is logged. Owns the errors' shapes; knows nothing of where they are shown.

FaceIDError
├── UserError                 the caller can mend it; only these texts are shown to users
│   ├── InvalidRequest        a field is missing or out of range                    .field
│   │   ├── InvalidPhotos     some photos cannot be used                            .problems
│   │   ├── PromptSyntaxError a tag cannot be read                                  .column
│   │   └── BadURL            a URL that was given cannot be used or fetched
│   ├── NotAdmitted           no key, or not one that is admitted here
│   ├── NotFound              no such object of this owner
│   ├── Unavailable           this machine cannot do it; says what it can do
│   ├── NotReady              the models are still being loaded                     .retry_after
│   ├── QueueFull             too many are waiting                                  .retry_after
│   ├── StorageFull           the disk is full, nothing was written
│   └── BadBody               the body of an HTTP request cannot be read
│       ├── BodyTooLarge      it has more bytes, parts or depth than are taken
│       └── BodyTooSlow       it did not come in time
├── Cancelled                 the caller stopped the work
└── SetupError                the operator can mend it: a setting, weights, a licence
"""

import errno
import traceback
from collections.abc import Iterable
from typing import NamedTuple


class PhotoProblem(NamedTuple):
    """Why one photo cannot be used: its name as uploaded, what is wrong with it and what to do."""

    photo: str
    message: str


class FaceIDError(Exception):
    """The root: every error the project raises on purpose."""


class UserError(FaceIDError):
    """The caller can mend it. The text says what was wrong, which value, what to do."""


class InvalidRequest(UserError):
    """A field is missing, of the wrong kind or out of range. `field` is the product's name of it."""

    def __init__(self, message: str, *, field: str):
        super().__init__(message)
        self.field = field


class InvalidPhotos(InvalidRequest):
    """Some photos cannot be used; `problems` has one entry for each of them."""

    def __init__(self, problems: Iterable[PhotoProblem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{p.photo}: {p.message}" for p in self.problems), field="images")


class PromptSyntaxError(InvalidRequest):
    """A tag in the prompt cannot be read. `column` counts characters from 1."""

    def __init__(self, message: str, *, column: int):
        super().__init__(f"{message} (column {column})", field="text")
        self.column = column


class BadURL(InvalidRequest):
    """A URL that was given cannot be used or fetched. The text names its host, never its path or query."""


class NotAdmitted(UserError):
    """No key, or a key that is not admitted here."""


class NotFound(UserError):
    """No such object of this owner; somebody else's object gives the same error."""


class Unavailable(UserError):
    """This machine cannot do it: a base model that is not loaded, a face pack that does not fit."""


class NotReady(UserError):
    """The models are still being loaded. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float):
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(UserError):
    """Too many requests are waiting. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float):
        super().__init__(message)
        self.retry_after = retry_after


class StorageFull(UserError):
    """The disk is full; nothing was written. `ERRNOS` are those of an OSError that says so."""

    ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk's, the user's, the process's limit


class BadBody(UserError):
    """The body of an HTTP request cannot be read: broken, of another kind, in another encoding."""


class BodyTooLarge(BadBody):
    """The body has more bytes, parts, values or depth than are taken."""


class BodyTooSlow(BadBody):
    """The body did not come in time."""


class Cancelled(FaceIDError):
    """The caller stopped the work."""


class SetupError(FaceIDError):
    """The operator can mend it: a setting, missing weights, a licence that was not accepted."""


def trace_of(error: BaseException) -> str:
    """An error for the log: its type and the lines it came through. Its message may quote a prompt or a key."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
