"""Rows that must be there, ids that must not, photos that are the same: what the store asks. Knows no transaction."""

import hashlib
from collections.abc import Iterable

from sqlalchemy import Connection, Table, select

from faceid.domain import now
from faceid.errors import NotFound
from faceid.ids import new_id
from faceid.schema import tunes


def no_prompt(prompt_id: int) -> NotFound:
    """The one error for a prompt that is unknown, deleted or somebody else's."""
    return NotFound(f"There is no prompt {prompt_id} of yours. It may have been deleted with a tune it names.")


def no_tune(tune_id: int) -> NotFound:
    """The one error for a tune that is unknown, expired or somebody else's."""
    return NotFound(
        f"There is no tune {tune_id} of yours. A tune is gone once it is deleted, and 30 days after it was made."
    )


def check_tune(connection: Connection, owner: str, tune_id: int) -> None:
    """NotFound unless the tune is the owner's and has not expired."""
    wanted = [tunes.c.id == tune_id, tunes.c.owner == owner, tunes.c.expires_at > now()]
    if connection.scalar(select(tunes.c.id).where(*wanted)) is None:
        raise no_tune(tune_id)


def free_id(connection: Connection, table: Table, wanted: int) -> int:
    """`wanted`, or a new id where it is 0 or a row of `table` has it already."""
    while not wanted or connection.scalar(select(table.c.id).where(table.c.id == wanted)) is not None:
        wanted = new_id()
    return wanted


def fingerprint(photo_hashes: Iterable[str]) -> str:
    """A name for a set of photos, whatever their order: the SHA-256 over their sorted SHA-256s."""
    return hashlib.sha256("\n".join(sorted(set(photo_hashes))).encode()).hexdigest()
