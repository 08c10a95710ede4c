"""What became of requests: prompts and their pictures. Knows no tune but by its id; `store` builds on it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import URL, ColumnElement, Connection, Table, delete, insert, select, true, update

from faceid.database import Database
from faceid.domain import PictureFile, Prompt, now
from faceid.errors import NotFound
from faceid.ids import new_id
from faceid.pictures import PictureFolder
from faceid.schema import metadata, pictures, prompt_tunes, prompts, tunes

UNFINISHED = ("queued", "processing")


class PromptStore:
    """Prompts and pictures of the database at `url`. Rows are in the database, a picture's PNG is a file."""

    def __init__(self, url: str | URL, *, pictures_dir: Path, max_pages: int | None = None):
        """`max_pages` caps the database file (4 KiB pages); None: the disk does."""
        self.database = Database(url, metadata, max_pages=max_pages)
        self._folder = PictureFolder(pictures_dir)
        self._sweep_pictures()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def add_prompt(self, prompt: Prompt) -> Prompt:
        """Keep a new prompt, under a new id where its own is 0 or taken. NotFound where it names another's tune."""
        with self.database.writing() as connection:
            for tune_id in prompt.tune_ids:
                check_tune(connection, prompt.owner, tune_id)
            prompt = replace(prompt, id=free_id(connection, prompts, prompt.id), pictures=())
            row = {column.name: getattr(prompt, column.name) for column in prompts.c}
            connection.execute(insert(prompts), row | {"parameters": dict(prompt.parameters)})
            links = [
                {"prompt_id": prompt.id, "position": position, "tune_id": tune_id}
                for position, tune_id in enumerate(prompt.tune_ids)
            ]
            if links:
                connection.execute(insert(prompt_tunes), links)
        return prompt

    def get_prompt(self, owner: str, prompt_id: int) -> Prompt:
        """The owner's prompt with its pictures; NotFound, also where it is somebody else's."""
        with self.database.reading() as connection:
            found = self._prompts(connection, prompts.c.owner == owner, prompts.c.id == prompt_id)
        if not found:
            raise no_prompt(prompt_id)
        return found[0]

    def list_prompts(
        self, owner: str, *, limit: int = 20, offset: int = 0, before_id: int | None = None
    ) -> list[Prompt]:
        """The owner's prompts, newest first; `before_id` gives those older than that one."""
        wanted = [prompts.c.owner == owner]
        if before_id is not None:
            wanted.append(prompts.c.id < before_id)
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
        """Its generation starts. NotFound where the prompt, or a tune in it, was deleted meanwhile."""
        self._set_status(prompt_id, status="processing", started_at=now())

    def finish_prompt(self, prompt_id: int) -> None:
        """Its pictures are ready. NotFound where the prompt was deleted meanwhile."""
        self._set_status(prompt_id, status="done", user_error=None, finished_at=now())

    def fail_prompt(self, prompt_id: int, user_error: str, status: str = "failed") -> None:
        """It came to nothing (`failed` or `cancelled`). One that has ended or was deleted meanwhile stays as it is."""
        self._fail(prompts.c.id == prompt_id, user_error, status)

    def fail_unfinished(self, user_error: str) -> None:
        """Fail every prompt that waits or runs: at the start of the app nobody draws them any more."""
        self._fail(true(), user_error, "failed")

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

    def _set_status(self, prompt_id: int, **changes) -> None:
        with self.database.writing() as connection:
            if not connection.execute(update(prompts).where(prompts.c.id == prompt_id).values(changes)).rowcount:
                raise no_prompt(prompt_id)

    def _fail(self, wanted: ColumnElement[bool], user_error: str, status: str) -> None:
        if not user_error.strip():
            raise ValueError("a failed prompt needs a user_error: clients wait for it")
        failed = {"status": status, "user_error": user_error, "finished_at": now()}
        with self.database.writing() as connection:
            connection.execute(update(prompts).where(wanted, prompts.c.status.in_(UNFINISHED)).values(failed))

    def _prompts(self, connection: Connection, *wanted, limit: int | None = None, offset: int = 0) -> list[Prompt]:
        query = select(prompts).where(*wanted).order_by(prompts.c.id.desc()).limit(limit).offset(offset)
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
        return [Prompt(**row, tune_ids=tuple(named[row["id"]]), pictures=tuple(drawn[row["id"]])) for row in rows]

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


def no_prompt(prompt_id: int) -> NotFound:
    """The one error for a prompt that is unknown, deleted or somebody else's."""
    return NotFound(f"There is no prompt {prompt_id} of yours. It may have been deleted with a tune it names.")


def no_tune(tune_id: int) -> NotFound:
    """The one error for a tune that is unknown, expired or somebody else's."""
    return NotFound(f"There is no tune {tune_id} of yours. Tunes are deleted 30 days after they were made.")


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
