"""Which processes on a data folder are alive, so that none takes over what another is drawing. Knows no prompt."""

import secrets
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

LEFT_OVER_SECONDS = 60  # a file younger than this may belong to a process that is about to lock it


class Lease:
    """This process's file in `folder`, locked while it lives: the kernel unlocks it even after `kill -9`.

    `token` is what its work is marked with. The number of the process would not do: a later one may get the same.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        for file in folder.iterdir():
            with suppress(FileNotFoundError):  # another process that starts may have removed it
                if file.stat().st_mtime < time.time() - LEFT_OVER_SECONDS:
                    _is_held(file)
        self.token = secrets.token_hex(16)
        self._lock = _lock(folder / self.token)
        self._lock.acquire()

    def is_alive(self, token: str | None) -> bool:
        """Whether a process, this one too, holds the lease `token`."""
        return token == self.token or (bool(token) and _is_held(self._folder / token))

    def close(self) -> None:
        """Give it back: what is still marked with it may be taken over."""
        (self._folder / self.token).unlink(missing_ok=True)
        self._lock.release()


def _is_held(path: Path) -> bool:
    """Whether a process holds the file; one that nobody holds is removed."""
    if not path.exists():
        return False
    lock = _lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    path.unlink(missing_ok=True)
    lock.release()
    return False


def _lock(path: Path) -> FileLock:
    return FileLock(path, mode=0o600, thread_local=False)
