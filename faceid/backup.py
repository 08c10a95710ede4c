"""Copies of the database in another folder, one generation, and the way back from there. Knows no table.

The other folder may be a mounted bucket: nothing is locked, opened by SQLite or appended to there, a copy replaces the
one before it as a whole. Pictures are not copied; the store drops their rows when it opens what was restored.
"""

import logging
import os
import secrets
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from faceid.errors import SetupError
from faceid.pictures import UNFINISHED, sync_folder

logger = logging.getLogger(__name__)


class Backup:
    """Keeps a consistent copy of the database at `store_path` in `backup_dir`, under the same file name.

    After `touch` a thread writes one within `interval` seconds; `replace_now` writes it before it returns. `written` is
    set while no change waits for its backup.
    """

    def __init__(self, store_path: Path, backup_dir: Path, *, interval: float = 60.0):
        self.path = backup_dir / store_path.name
        self._store_path = store_path
        self._interval = interval
        self._writing, self._counting = threading.Lock(), threading.Lock()
        self._changes = 0
        self.written = threading.Event()
        self.written.set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_when_changed, name="faceid-backup", daemon=True)

    def restore_if_empty(self) -> bool:
        """Put the backup where the database belongs if there is none; whether it did. Call before the store opens.

        SetupError where the backup is damaged: nothing is restored then, and nothing overwritten. Where there is a
        database, a backup follows as after `touch`: the process before this one may have been killed before its last.
        """
        for folder in (self._store_path.parent, self.path.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for draft in folder.glob(f"{self.path.name}.*{UNFINISHED}"):
                draft.unlink(missing_ok=True)  # of a process that was killed: it has photos in it
        if self._store_path.exists() and self._store_path.stat().st_size:
            self.touch()
            return False
        if not self.path.exists():
            return False
        draft = _draft(self._store_path)
        try:
            _copy(self.path, draft)
            _check(draft, self.path)
            for left in ("-wal", "-shm"):  # of a database that is gone: SQLite would read it into this one
                self._store_path.with_name(self._store_path.name + left).unlink(missing_ok=True)
            draft.replace(self._store_path)
            sync_folder(self._store_path.parent)
        finally:
            draft.unlink(missing_ok=True)
        logger.info("restored %s from %s", self._store_path.name, self.path)
        return True

    def write(self) -> None:
        """Replace the backup by a copy of what is committed now. OSError and sqlite3.Error leave the one before it."""
        local, there = _draft(self._store_path), _draft(self.path)
        with self._writing:
            with self._counting:
                self.written.clear()
                changes = self._changes
            try:
                os.close(os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                with closing(sqlite3.connect(self._store_path, timeout=30)) as source:
                    source.execute("VACUUM INTO ?", (str(local),))  # without the free pages, where deleted rows were
                _copy(local, there)
                there.replace(self.path)
                sync_folder(self.path.parent)
            finally:
                local.unlink(missing_ok=True)
                there.unlink(missing_ok=True)
            with self._counting:
                if changes == self._changes:  # a change during the copy waits for the next one
                    self.written.set()

    def touch(self) -> None:
        """Something changed: a backup follows within `interval` seconds."""
        with self._counting:
            self._changes += 1
            self.written.clear()
        self._start()

    def replace_now(self) -> None:
        """Something was deleted: the backup that still has it is replaced before this returns.

        SetupError where that fails: the deletion holds here, the old backup is still there and is tried again.
        """
        try:
            self.write()
        except (OSError, sqlite3.Error) as error:
            self._start()
            raise SetupError(
                f"Deleted, but not yet from the backup {self.path}, which cannot be replaced ({error}). It is tried "
                f"again every {self._interval:g} seconds; if the folder is gone or full, mend it or delete the file."
            ) from error

    def close(self) -> None:
        """Write what has changed since the last backup, and stop."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        if not self.written.is_set():
            self._write_or_log()

    def _start(self) -> None:
        with self._counting:
            if self._thread.ident is None and not self._closing.is_set():
                self._thread.start()

    def _write_when_changed(self) -> None:
        while not self._closing.wait(self._interval):
            if not self.written.is_set():
                self._write_or_log()

    def _write_or_log(self) -> None:
        try:
            self.write()
        except (OSError, sqlite3.Error) as error:
            logger.error("the backup %s could not be written: %s", self.path, error)


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")


def _copy(source: Path, target: Path) -> None:
    """Copy the bytes to a new 0600 file and on to its disk."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as reader, os.fdopen(descriptor, "wb") as writer:
        shutil.copyfileobj(reader, writer)
        writer.flush()
        os.fsync(writer.fileno())


def _check(copy: Path, backup: Path) -> None:
    """SetupError unless `copy` of `backup` is a sound database with tunes in it."""
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            connection.execute("SELECT count(*) FROM tunes").fetchone()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise SetupError(
            f"The backup {backup} is damaged ({verdict}). Put a sound copy in its place, or move it away to start "
            "without tunes, then start again."
        )
