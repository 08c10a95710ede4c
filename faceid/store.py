"""The tunes of all owners and what is drawn from them, kept through restarts and crashes; one transaction per change.

Knows no face model and no transport. Somebody else's tune does not exist here: every read takes the owner.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import URL, Connection, bindparam, delete, insert, select, update

from faceid.domain import TUNE_LIFETIME, IdentityKey, Tune, TunePhoto, now
from faceid.errors import NotFound
from faceid.prompt_store import PromptStore
from faceid.rows import check_tune, fingerprint, free_id, no_tune
from faceid.schema import identities, photos, prompt_tunes, prompts, tunes, vectors

TUNE_COLUMNS = [tunes.c[field.name] for field in fields(Tune)]
ONE_TUNE = select(*TUNE_COLUMNS).where(  # put together once: building it takes longer than running it
    tunes.c.id == bindparam("id"), tunes.c.owner == bindparam("owner"), tunes.c.expires_at > bindparam("now")
)
DATABASE_FILE = "tunes.sqlite3"
PICTURES_FOLDER = "pictures"


class TuneStore(PromptStore):
    """Tunes, their photos, vectors and identity tokens; prompts and pictures by `PromptStore`."""

    @classmethod
    def open(cls, data_dir: Path) -> "TuneStore":
        """The store of a data folder, made where it is missing: folders are 0700, files 0600."""
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        url = URL.create("sqlite", database=str(data_dir / DATABASE_FILE))
        return cls(url, pictures_dir=data_dir / PICTURES_FOLDER)

    def add_tune(
        self,
        tune: Tune,
        tune_photos: Sequence[TunePhoto],
        tune_identities: Mapping[IdentityKey, np.ndarray],
        *,
        titles_decide: bool = False,
    ) -> tuple[Tune, bool]:
        """Keep a tune with its photos and identities, whole: (the tune, True).

        Same owner, title and photos (with `titles_decide`: same owner and title): (the existing one, False). An id
        that is 0 or taken is replaced. StorageFull where the disk is full; nothing is written then.
        """
        hashes = [photo.sha256 for photo in tune_photos]
        with self.database.writing() as connection:
            existing = _find_tune(connection, tune.owner, tune.title, None if titles_decide else hashes)
            if existing:
                return existing, False
            tune = replace(tune, id=free_id(connection, tunes, tune.id), num_photos=len(tune_photos))
            connection.execute(insert(tunes), _tune_row(tune) | {"fingerprint": fingerprint(hashes)})
            for position, photo in enumerate(tune_photos):
                _insert_photo(connection, tune.id, position, photo)
            for key, tokens in tune_identities.items():
                connection.execute(insert(identities), _identity_row(tune.id, key, tokens))
        return tune, True

    def find_tune(self, owner: str, title: str, photo_hashes: Iterable[str] | None) -> Tune | None:
        """The tune `add_tune` would give back: same owner, title and photos; without hashes, the title alone."""
        with self.database.reading() as connection:
            return _find_tune(connection, owner, title, photo_hashes)

    def get_tune(self, owner: str, tune_id: int) -> Tune:
        """The owner's tune; one NotFound for unknown, expired and somebody else's."""
        with self.database.reading() as connection:
            return _get_tune(connection, owner, tune_id)

    def list_tunes(
        self,
        owner: str,
        *,
        limit: int = 20,
        offset: int = 0,
        before_id: int | None = None,
        title: str | None = None,
        names: Sequence[str] = (),
        model_type: str | None = None,
        branch: str | None = None,
    ) -> list[Tune]:
        """The owner's tunes, newest first. `title` is a part of it in any case; `before_id` gives older ones only."""
        wanted = [tunes.c.owner == owner, tunes.c.expires_at > now()]
        if before_id is not None:
            wanted.append(tunes.c.id < before_id)
        if title:
            wanted.append(tunes.c.title.icontains(title, autoescape=True))
        if names:
            wanted.append(tunes.c.name.in_(names))
        if model_type:
            wanted.append(tunes.c.model_type == model_type)
        if branch:
            wanted.append(tunes.c.branch == branch)
        query = select(*TUNE_COLUMNS).where(*wanted).order_by(tunes.c.id.desc()).limit(limit).offset(offset)
        with self.database.reading() as connection:
            return [Tune(**row) for row in connection.execute(query).mappings()]

    def update_tune(self, owner: str, tune_id: int, **changes: Any) -> Tune:
        """Change columns (title, name, characteristics) and `updated_at`; NotFound as `get_tune`."""
        with self.database.writing() as connection:
            check_tune(connection, owner, tune_id)
            connection.execute(update(tunes).where(tunes.c.id == tune_id).values(changes | {"updated_at": now()}))
            return _get_tune(connection, owner, tune_id)

    def delete_tune(self, owner: str, tune_id: int) -> None:
        """Delete the tune, the prompts and pictures drawn from it, and their bytes; NotFound as `get_tune`."""
        with self.database.writing() as connection:
            check_tune(connection, owner, tune_id)
            files = self._delete_tunes(connection, [tune_id])
        self._erase(files)

    def delete_expired(self, moment: datetime | None = None) -> list[int]:
        """Delete the tunes that have expired at `moment` (default: now) and prompts as old, 1000 each; their ids."""
        moment = moment or now()
        expired = select(tunes.c.id).where(tunes.c.expires_at <= moment).order_by(tunes.c.id).limit(1000)
        old = select(prompts.c.id).where(prompts.c.created_at <= moment - TUNE_LIFETIME).limit(1000)
        with self.database.reading() as connection:
            tune_ids, prompt_ids = list(connection.scalars(expired)), list(connection.scalars(old))
        if tune_ids or prompt_ids:
            with self.database.writing() as connection:
                files = self._delete_tunes(connection, tune_ids) + self._delete_prompts(connection, prompt_ids)
            self._erase(files)
        return tune_ids + prompt_ids

    def photos(self, owner: str, tune_id: int) -> list[TunePhoto]:
        """The tune's photos in their order, with vectors; NotFound as `get_tune`."""
        with self.database.reading() as connection:
            check_tune(connection, owner, tune_id)
            by_photo: dict[int, dict[str, np.ndarray]] = {}
            for row in connection.execute(select(vectors).where(vectors.c.tune_id == tune_id)):
                by_photo.setdefault(row.position, {})[row.face_pack] = row.vector
            query = select(photos).where(photos.c.tune_id == tune_id).order_by(photos.c.position)
            return [
                TunePhoto(row.sha256, row.thumbnail, row.original, by_photo.get(row.position, {}), tuple(row.warnings))
                for row in connection.execute(query)
            ]

    def photo(self, tune_id: int, position: int) -> bytes:
        """A photo's bytes as uploaded, by its place from 0; NotFound also where it was not kept or has expired."""
        wanted = [photos.c.tune_id == tune_id, photos.c.position == position, tunes.c.expires_at > now()]
        with self.database.reading() as connection:
            found = connection.scalar(select(photos.c.original).join(tunes).where(*wanted))
        if found is None:
            raise NotFound("There is no such photo.")
        return found

    def thumbnail(self, owner: str, tune_id: int) -> bytes:
        """The first photo's thumbnail, an encoded image; NotFound as `get_tune`."""
        with self.database.reading() as connection:
            check_tune(connection, owner, tune_id)
            query = select(photos.c.thumbnail).where(photos.c.tune_id == tune_id).order_by(photos.c.position)
            return connection.scalars(query.limit(1)).one()

    def tokens(self, owner: str, tune_id: int, key: IdentityKey) -> np.ndarray | None:
        """The identity tokens (1, N, D) float16 for `key`, None where there are none yet; NotFound as `get_tune`."""
        with self.database.reading() as connection:
            check_tune(connection, owner, tune_id)
            return connection.scalar(select(identities.c.tokens).where(*_identity(tune_id, key)))

    def add_tokens(self, owner: str, tune_id: int, key: IdentityKey, tokens: np.ndarray) -> None:
        """Keep the identity tokens for `key`, in the place of older ones; NotFound as `get_tune`."""
        with self.database.writing() as connection:
            check_tune(connection, owner, tune_id)
            connection.execute(delete(identities).where(*_identity(tune_id, key)))
            connection.execute(insert(identities), _identity_row(tune_id, key, tokens))

    def vectors(self, owner: str, tune_id: int, name: str) -> list[np.ndarray]:
        """The photos' vectors (D,) of one face pack or judge, without those that have none; NotFound as `get_tune`."""
        with self.database.reading() as connection:
            check_tune(connection, owner, tune_id)
            wanted = [vectors.c.tune_id == tune_id, vectors.c.face_pack == name]
            return list(connection.scalars(select(vectors.c.vector).where(*wanted).order_by(vectors.c.position)))

    def add_vectors(self, owner: str, tune_id: int, name: str, by_position: Mapping[int, np.ndarray]) -> None:
        """Keep vectors of a face pack or judge by their photo's position, in the place of older ones."""
        with self.database.writing() as connection:
            check_tune(connection, owner, tune_id)
            connection.execute(delete(vectors).where(vectors.c.tune_id == tune_id, vectors.c.face_pack == name))
            for position, vector in by_position.items():
                connection.execute(insert(vectors), _vector_row(tune_id, position, name, vector))

    def _delete_tunes(self, connection: Connection, ids: Sequence[int]) -> list[str]:
        drawn = connection.scalars(select(prompt_tunes.c.prompt_id).where(prompt_tunes.c.tune_id.in_(ids)).distinct())
        files = self._delete_prompts(connection, list(drawn))
        connection.execute(delete(tunes).where(tunes.c.id.in_(ids)))
        return files


def _find_tune(connection: Connection, owner: str, title: str, photo_hashes: Iterable[str] | None) -> Tune | None:
    wanted = [tunes.c.owner == owner, tunes.c.title == title, tunes.c.expires_at > now()]
    if photo_hashes is not None:
        wanted.append(tunes.c.fingerprint == fingerprint(photo_hashes))
    query = select(*TUNE_COLUMNS).where(*wanted).order_by(tunes.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return Tune(**row) if row else None


def _get_tune(connection: Connection, owner: str, tune_id: int) -> Tune:
    row = connection.execute(ONE_TUNE, {"id": tune_id, "owner": owner, "now": now()}).mappings().first()
    if row is None:
        raise no_tune(tune_id)
    return Tune(**row)


def _tune_row(tune: Tune) -> dict[str, Any]:
    row = {column.name: getattr(tune, column.name) for column in TUNE_COLUMNS}
    return row | {"characteristics": dict(tune.characteristics), "options": dict(tune.options)}


def _insert_photo(connection: Connection, tune_id: int, position: int, photo: TunePhoto) -> None:
    place = {"tune_id": tune_id, "position": position}
    row = {"sha256": photo.sha256, "warnings": list(photo.warnings)}
    connection.execute(insert(photos), place | row | {"thumbnail": photo.thumbnail, "original": photo.original})
    for face_pack, vector in photo.vectors.items():
        connection.execute(insert(vectors), _vector_row(tune_id, position, face_pack, vector))


def _vector_row(tune_id: int, position: int, name: str, vector: np.ndarray) -> dict[str, Any]:
    return {"tune_id": tune_id, "position": position, "face_pack": name, "vector": np.asarray(vector, np.float32)}


def _identity(tune_id: int, key: IdentityKey) -> list:
    columns = identities.c
    return [columns.tune_id == tune_id, columns.adapter == key.adapter, columns.face_pack == key.face_pack]


def _identity_row(tune_id: int, key: IdentityKey, tokens: np.ndarray) -> dict[str, Any]:
    return {"tune_id": tune_id, **key._asdict(), "tokens": np.asarray(tokens, np.float16)}
