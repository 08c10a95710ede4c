"""What became of requests: prompts and their pictures. Knows no tune but by its id; `store` builds on it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import URL, Connection, case, delete, insert, null, or_, select, update

from faceid.database import Database
from faceid.domain import Note, PictureFile, Prompt, now
from faceid.errors import NotFound
from faceid.lease import Lease
from faceid.pictures import PictureFolder
from faceid.rows import check_tune, free_id, no_prompt
from faceid.schema import metadata, pictures, prompt_tunes, prompts

UNFINISHED = ("queued", "processing")
FAILED = ("failed", "cancelled")
# What changes with the end of a prompt, beside its status: it is let go where there is nobody to tell.
ENDED = {"request": null(), "runner": case((prompts.c.callback.is_not(None), prompts.c.runner))}
PROMPT_COLUMNS = [column for column in prompts.c if column.name not in ("runner", "request")]


class PromptStore:
    """Prompts and pictures of the database at `url`. Rows are in the database, a picture's PNG is a file.

    A prompt belongs to the process that added it until it has ended and its end was announced; `take_over` gives those
    of processes that are gone to this one.
    """

    def __init__(self, url: str | URL, *, pictures_dir: Path, max_pages: int | None = None):
        """`max_pages` caps the database file (4 KiB pages); None: the disk does."""
        self.database = Database(url, metadata, max_pages=max_pages)
        self._folder = PictureFolder(pictures_dir)
        self._sweep_pictures()
        self._lease = Lease(pictures_dir.with_name("processes"))

    def close(self) -> None:
        """Close the database. What this process did not finish may be taken over."""
        self._lease.close()
        self.database.close()

    def add_prompt(self, prompt: Prompt) -> Prompt:
        """Keep a new prompt, under a new id where its own is 0 or taken. NotFound where it names another's tune."""
        with self.database.writing() as connection:
            return self._add_prompt(connection, prompt)

    def add_prompt_once(self, prompt: Prompt) -> tuple[Prompt, bool]:
        """As `add_prompt`: (the prompt, True); where one with its fingerprint did not fail: (that one, False)."""
        with self.database.writing() as connection:
            if prompt.fingerprint:
                wanted = [prompts.c.owner == prompt.owner, prompts.c.fingerprint == prompt.fingerprint]
                if existing := self._prompts(connection, *wanted, prompts.c.status.not_in(FAILED), limit=1):
                    return existing[0], False
            return self._add_prompt(connection, prompt), True

    def get_prompt(self, owner: str, prompt_id: int) -> Prompt:
        """The owner's prompt with its pictures; NotFound, also where it is somebody else's."""
        with self.database.reading() as connection:
            found = self._prompts(connection, prompts.c.owner == owner, prompts.c.id == prompt_id)
        if not found:
            raise no_prompt(prompt_id)
        return found[0]

    def find_prompt(self, prompt_id: int, *, untold: bool = False) -> Prompt | None:
        """Anybody's prompt, for the work on it, which knows no owner; None where it was deleted.

        untold: only one that has ended, and whoever waits for it was not told.
        """
        ended = [prompts.c.finished_at.is_not(None), prompts.c.runner.is_not(None)] if untold else []
        with self.database.reading() as connection:
            return next(iter(self._prompts(connection, prompts.c.id == prompt_id, *ended)), None)

    def picture_path(self, name: str) -> Path:
        """The file of a picture by its name of 256 random bits; NotFound."""
        with self.database.reading() as connection:
            if connection.scalar(select(pictures.c.file).where(pictures.c.file == name)) is None:
                raise NotFound("There is no such picture.")
        return self._folder.path / name

    def list_prompts(
        self,
        owner: str,
        *,
        limit: int = 20,
        offset: int = 0,
        before_id: int | None = None,
        base_model: str | None = None,
        tune_id: int | None = None,
    ) -> list[Prompt]:
        """The owner's prompts, newest first: those older than `before_id`, by a base model (slug), naming a tune."""
        wanted = [prompts.c.owner == owner]
        if before_id is not None:
            wanted.append(prompts.c.id < before_id)
        if base_model:
            wanted.append(prompts.c.base_model == base_model)
        if tune_id is not None:
            naming = select(prompt_tunes.c.prompt_id).where(prompt_tunes.c.tune_id == tune_id)
            wanted.append(prompts.c.id.in_(naming))
        with self.database.reading() as connection:
            return self._prompts(connection, *wanted, limit=limit, offset=offset)

    def delete_prompt(self, owner: str, prompt_id: int) -> None:
        """Delete the prompt and its pictures, bytes too. NotFound as `get_prompt`."""
        with self.database.writing() as connection:
            if connection.scalar(select(prompts.c.owner).where(prompts.c.id == prompt_id)) != owner:
                raise no_prompt(prompt_id)
            files = self._delete_prompts(connection, [prompt_id])
        self._erase(files)

    def start_prompt(self, prompt_id: int) -> None:
        """Its generation starts, without pictures: those of a process that ended in the middle go.

        NotFound where the prompt, or a tune in it, was deleted meanwhile.
        """
        started = update(prompts).where(prompts.c.id == prompt_id).values(status="processing", started_at=now())
        with self.database.writing() as connection:
            if not connection.execute(started).rowcount:
                raise no_prompt(prompt_id)
            files = list(connection.scalars(select(pictures.c.file).where(pictures.c.prompt_id == prompt_id)))
            connection.execute(delete(pictures).where(pictures.c.prompt_id == prompt_id))
        if files:
            self._erase(files)

    def finish_prompt(self, prompt_id: int) -> None:
        """Its pictures are ready. NotFound where the prompt was deleted meanwhile."""
        done = {"status": "done", "user_error": None, "finished_at": now(), **ENDED}
        with self.database.writing() as connection:
            if not connection.execute(update(prompts).where(prompts.c.id == prompt_id).values(done)).rowcount:
                raise no_prompt(prompt_id)

    def fail_prompt(self, prompt_id: int, user_error: str, status: str = "failed") -> None:
        """It came to nothing (`failed` or `cancelled`). One that has ended or was deleted meanwhile stays as it is."""
        if not user_error.strip():
            raise ValueError("a failed prompt needs a user_error: clients wait for it")
        failed = {"status": status, "user_error": user_error, "finished_at": now(), **ENDED}
        unfinished = prompts.c.status.in_(UNFINISHED)
        with self.database.writing() as connection:
            connection.execute(update(prompts).where(prompts.c.id == prompt_id, unfinished).values(failed))

    def release_prompt(self, prompt_id: int) -> None:
        """It has ended and whoever waits for it was told: no process needs to take it over."""
        with self.database.writing() as connection:
            connection.execute(update(prompts).where(prompts.c.id == prompt_id).values(runner=None))

    def take_over(self) -> list[Prompt]:
        """The prompts of processes that are gone, oldest first, which are this one's now: queued again where they were
        not finished, else ended without anybody told."""
        left = or_(prompts.c.runner.is_not(None), prompts.c.status.in_(UNFINISHED))
        with self.database.writing() as connection:
            runners = set(connection.scalars(select(prompts.c.runner).where(left).distinct()))
            gone = [runner for runner in runners if not self._lease.is_alive(runner)]
            if not gone:
                return []
            named = [prompts.c.runner.in_([runner for runner in gone if runner])]
            unnamed = [prompts.c.runner.is_(None)] if None in gone else []  # of a version without leases
            theirs = list(connection.scalars(select(prompts.c.id).where(left, or_(*named, *unnamed))))
            mine = prompts.c.id.in_(theirs)
            connection.execute(update(prompts).where(mine).values(runner=self._lease.token))
            again = update(prompts).where(mine, prompts.c.status.in_(UNFINISHED))
            connection.execute(again.values(status="queued", started_at=None))
            requests = dict(connection.execute(select(prompts.c.id, prompts.c.request).where(mine)).all())
            found = sorted(self._prompts(connection, mine), key=lambda prompt: (prompt.created_at, prompt.id))
        return [replace(prompt, request=requests[prompt.id] or {}) for prompt in found]

    def add_notes(self, prompt_id: int, notes: Iterable[Note]) -> None:
        """What turned out while it was drawn, after the notes it has; none twice. NotFound where it was deleted."""
        with self.database.writing() as connection:
            found = self._prompts(connection, prompts.c.id == prompt_id)
            if not found:
                raise no_prompt(prompt_id)
            known = list(dict.fromkeys([*found[0].notes, *notes]))
            connection.execute(update(prompts).where(prompts.c.id == prompt_id).values(notes=known))

    def add_picture(
        self, prompt_id: int, index: int, seed: int, png: bytes, likeness: str | None = None
    ) -> PictureFile:
        """Keep a finished picture: the file first, its row last. NotFound where the prompt was deleted meanwhile.

        The file is written under the writer's lock, so that no sweep takes it for one whose row never came.
        """
        name = None
        try:
            with self.database.writing() as connection:
                if connection.scalar(select(prompts.c.id).where(prompts.c.id == prompt_id)) is None:
                    raise no_prompt(prompt_id)
                name = self._folder.add(png)
                row = {"prompt_id": prompt_id, "index": index, "seed": seed, "file": name, "likeness": likeness}
                connection.execute(insert(pictures), row)
        except BaseException:
            self._folder.remove([name] if name else [])
            raise
        return PictureFile(index, seed, str(self._folder.path / name), likeness)

    def _add_prompt(self, connection: Connection, prompt: Prompt) -> Prompt:
        for tune_id in prompt.tune_ids:
            check_tune(connection, prompt.owner, tune_id)
        prompt = replace(prompt, id=free_id(connection, prompts, prompt.id), pictures=())
        row = {column.name: getattr(prompt, column.name) for column in PROMPT_COLUMNS}
        plain = {"parameters": dict(prompt.parameters), "request": dict(prompt.request), "runner": self._lease.token}
        connection.execute(insert(prompts), row | plain)
        links = [
            {"prompt_id": prompt.id, "position": position, "tune_id": tune_id}
            for position, tune_id in enumerate(prompt.tune_ids)
        ]
        if links:
            connection.execute(insert(prompt_tunes), links)
        return prompt

    def _prompts(self, connection: Connection, *wanted, limit: int | None = None, offset: int = 0) -> list[Prompt]:
        query = select(*PROMPT_COLUMNS).where(*wanted).order_by(prompts.c.id.desc()).limit(limit).offset(offset)
        rows = connection.execute(query).mappings().all()
        ids = [row["id"] for row in rows]
        drawn: dict[int, list[PictureFile]] = {prompt_id: [] for prompt_id in ids}
        query = select(pictures).where(pictures.c.prompt_id.in_(ids)).order_by(pictures.c.index)
        for picture in connection.execute(query).mappings():
            path = str(self._folder.path / picture["file"])
            file = PictureFile(picture["index"], picture["seed"], path, picture["likeness"])
            drawn[picture["prompt_id"]].append(file)
        named: dict[int, list[int]] = {prompt_id: [] for prompt_id in ids}
        query = select(prompt_tunes).where(prompt_tunes.c.prompt_id.in_(ids)).order_by(prompt_tunes.c.position)
        for link in connection.execute(query).mappings():
            named[link["prompt_id"]].append(link["tune_id"])
        return [
            Prompt(
                **dict(row) | {"notes": tuple(Note(*note) for note in row["notes"] or ())},
                tune_ids=tuple(named[row["id"]]),
                pictures=tuple(drawn[row["id"]]),
            )
            for row in rows
        ]

    def _delete_prompts(self, connection: Connection, ids: Sequence[int]) -> list[str]:
        """Delete the rows and give the files that belong to nobody once the transaction is through."""
        files = list(connection.scalars(select(pictures.c.file).where(pictures.c.prompt_id.in_(ids))))
        connection.execute(delete(prompts).where(prompts.c.id.in_(ids)))
        return files

    def _erase(self, files: Iterable[str]) -> None:
        self._folder.remove(files)
        self.database.erase()

    def _sweep_pictures(self) -> None:
        """Files whose row never came are deleted, rows whose file is gone dropped: what a crash can leave."""
        with self.database.writing() as connection:
            rows = set(connection.scalars(select(pictures.c.file)))
            files = self._folder.names()
            for name in rows - files:
                connection.execute(delete(pictures).where(pictures.c.file == name))
            self._folder.remove(files - rows)
