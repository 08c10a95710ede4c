"""The tables of the store and the column types they need. Knows no transaction and no use case."""

import io
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator


class UTCDateTime(TypeDecorator):
    """An aware datetime, kept in UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Array(TypeDecorator):
    """A numpy array in the .npy format, which keeps dtype and shape; never pickled."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: np.ndarray, dialect) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        return buffer.getvalue()

    def process_result_value(self, value: bytes, dialect) -> np.ndarray:
        return np.load(io.BytesIO(value), allow_pickle=False)


def _parent(column: str) -> ForeignKey:
    return ForeignKey(column, ondelete="CASCADE")


metadata = MetaData()

tunes = Table(
    "tunes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("owner", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("model_type", String, nullable=False),
    Column("branch", String, nullable=False),
    Column("base_tune_id", BigInteger),
    Column("callback", Text),
    Column("is_api", Boolean, nullable=False),
    Column("characteristics", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("consent_at", UTCDateTime),
    Column("consent_route", Text, nullable=False),
    Column("num_photos", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
    Column("fingerprint", String, nullable=False),
    Column("photos_kept", Boolean),  # since 0.2
    Index("tunes_of_owner", "owner", "id"),
    Index("tunes_by_title", "owner", "title"),
)

photos = Table(
    "photos",
    metadata,
    Column("tune_id", _parent("tunes.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("thumbnail", LargeBinary, nullable=False),
    Column("original", LargeBinary),
)

vectors = Table(
    "vectors",
    metadata,
    Column("tune_id", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("face_pack", String, primary_key=True),
    Column("vector", Array, nullable=False),
    ForeignKeyConstraint(["tune_id", "position"], ["photos.tune_id", "photos.position"], ondelete="CASCADE"),
)

identities = Table(
    "identities",
    metadata,
    Column("tune_id", _parent("tunes.id"), primary_key=True),
    Column("adapter", String, primary_key=True),
    Column("face_pack", String, primary_key=True),
    Column("tokens", Array, nullable=False),
)

prompts = Table(
    "prompts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("owner", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("base_model", String, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("status", String, nullable=False),
    Column("user_error", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("started_at", UTCDateTime),
    Column("finished_at", UTCDateTime),
    # since 0.2
    Column("notes", JSON),
    Column("request", JSON),  # what drawing it again takes
    Column("fingerprint", String),  # of requests with a seed of their own
    Column("callback", Text),
    Column("origin", Text),
    Column("runner", String),  # the lease of the process whose it is, until it has ended and was announced
    Index("prompts_of_owner", "owner", "id"),
    Index("prompts_by_fingerprint", "owner", "fingerprint"),
    Index("prompts_by_runner", "runner"),
    Index("prompts_by_age", "created_at"),
)

prompt_tunes = Table(
    "prompt_tunes",
    metadata,
    Column("prompt_id", _parent("prompts.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("tune_id", _parent("tunes.id"), nullable=False, index=True),
)

pictures = Table(
    "pictures",
    metadata,
    Column("prompt_id", _parent("prompts.id"), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("seed", BigInteger, nullable=False),
    Column("file", String, nullable=False, unique=True),
    Column("likeness", String),  # since 0.2; a band
)

callbacks = Table(  # since 0.2
    "callbacks",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("owner", String, nullable=False),
    Column("tune_id", _parent("tunes.id"), index=True),  # one of the two: what it tells of goes, and it goes
    Column("prompt_id", _parent("prompts.id"), index=True),
    Column("url", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", UTCDateTime, nullable=False, index=True),
    Column("leased_until", UTCDateTime),
)
