"""The folder of finished pictures. Owns the files' names and their safe writing; knows no prompt and no owner."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

UNFINISHED = ".part"


class PictureFolder:
    """PNG files under names of 256 random bits, in a 0700 folder, each 0600."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, png: bytes) -> str:
        """Write `png` and give its name: all of it, on the disk, or no file (OSError)."""
        name = f"{secrets.token_urlsafe(32)}.png"
        write_whole(self.path / name, png)
        return name

    def remove(self, names: Iterable[str]) -> None:
        """Delete the files; one that is gone already is fine."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def names(self) -> set[str]:
        """Every file of the folder, unfinished ones too."""
        return {entry.name for entry in self.path.iterdir()}


def write_whole(path: Path, content: bytes) -> None:
    """Put a 0600 file at `path` at once: temporary name, fsync, rename, fsync of the folder. OSError leaves nothing."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Make renames and deletions in the folder last through a power cut."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
