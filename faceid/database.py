"""The database under the store: connections, transactions, a full disk, and erasing what was deleted.

Knows SQLite (and the little that PostgreSQL needs); knows no tune and no prompt.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DatabaseError, DBAPIError

from faceid.errors import SetupError, StorageFull

BUSY_SECONDS = 30
POOL = 20  # connections that are kept; beyond them none waits for another, but one is opened for the moment
ERASE_WAIT_SECONDS = 0.25
POSTGRESQL_DISK_FULL = "53100"
POSTGRESQL_WRITER_LOCK = 0xFACE1D
FULL = "The disk is full, so nothing was changed. Free some space on it, then try again."


class Database:
    """One writer at a time, readers beside it; a change is there as a whole or not at all, also after `kill -9`.

    `erased` is set while nothing that was deleted can linger in SQLite's write-ahead log. `max_pages` caps the
    database file (4 KiB pages; None: the disk does).
    """

    def __init__(self, url: str | URL, metadata: MetaData, *, max_pages: int | None = None):
        self.erased = threading.Event()
        self._erasing = threading.Lock()
        self._eraser: threading.Thread | None = None
        self._closing = threading.Event()
        self._engine = _open_engine(url, max_pages)
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        try:
            with self.writing() as connection:
                metadata.create_all(connection)
                _add_missing_columns(connection, metadata)
        except DatabaseError as error:
            if getattr(error.orig, "sqlite_errorcode", None) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            raise SetupError(
                f"{self._engine.url.database} is damaged or not a database. Move it away; a backup is restored at the "
                "next start where FACEID_BACKUP_DIR is set."
            ) from error
        self.erase()  # what a process that was killed between a deletion and its checkpoint left in the log

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The one writing transaction of all processes on this database. StorageFull where the disk is full."""
        try:
            with self._writer.begin() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": POSTGRESQL_WRITER_LOCK})
                yield connection
        except (DBAPIError, OSError) as error:
            if not _is_full(error):
                raise
            self.erase()  # pages of the undone transaction may have reached the log
            raise StorageFull(FULL) from error

    def erase(self) -> None:
        """Empty the write-ahead log: `secure_delete` does not cover it. A thread retries while a reader holds it."""
        with self._erasing:
            if self._truncate_log():
                self.erased.set()
                return
            self.erased.clear()
            if self._eraser is None and not self._closing.is_set():
                self._eraser = threading.Thread(target=self._erase_until_done, name="faceid-erase", daemon=True)
                self._eraser.start()

    def close(self) -> None:
        """Close every connection. The database can be opened again."""
        self._closing.set()
        if (eraser := self._eraser) is not None:
            eraser.join()
        self.erase()
        self._engine.dispose()

    def _erase_until_done(self) -> None:
        while not self._closing.wait(ERASE_WAIT_SECONDS):
            with self._erasing:
                if self._truncate_log():
                    self._eraser = None
                    self.erased.set()
                    return

    def _truncate_log(self) -> bool:
        """Whether the log is empty now. Waits for readers a moment only: writers wait behind a checkpoint."""
        if self._engine.dialect.name != "sqlite":
            return True
        path = self._engine.url.database
        with closing(sqlite3.connect(path, timeout=ERASE_WAIT_SECONDS, isolation_level=None)) as connection:
            try:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_LOCKED):
                    raise
                return False
        return not busy


def _open_engine(url: str | URL, max_pages: int | None) -> Engine:
    url = make_url(url)
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    path = url.database
    if not path or path == ":memory:":
        raise SetupError(f"{url}: give the path of a file, as in sqlite:////folder/tunes.sqlite3.")
    Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):  # never opened where it exists: closing it would drop SQLite's POSIX locks
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite's log takes its permissions
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_size=POOL, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)  # beyond ASCII
        pragmas = ["journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON", "temp_store=MEMORY"]
        if max_pages is not None:
            pragmas.append(f"max_page_count={max_pages}")
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _add_missing_columns(connection: Connection, metadata: MetaData) -> None:
    """What later versions added to a table, for a database (or a backup) of an earlier one; such columns are nullable,
    and their indexes come with them.

    Looking needs no version number in the file, which PostgreSQL has no place for.
    """
    present = inspect(connection)
    quote = connection.dialect.identifier_preparer.quote
    for table in metadata.sorted_tables:
        names = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name not in names:
                kind = column.type.compile(connection.dialect)
                connection.execute(text(f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(column.name)} {kind}"))
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def _is_full(error: DBAPIError | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in StorageFull.ERRNOS
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == POSTGRESQL_DISK_FULL
