"""Photos on their way in: taken into Gradio's upload folder, read from there, removed. Knows no studio.

Each file lies in a folder of its own under 128 random bits, so that nobody finds another's, or shares it by having the
same photo. None stays longer than KEPT_SECONDS, whatever becomes of the page or the process.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cachetools import TTLCache
from gradio.utils import get_upload_folder

from faceid.domain import Upload
from faceid.errors import InvalidPhotos, PhotoProblem
from faceid.limits import LIMITS
from faceid.pictures import write_whole
from faceid.validation import check_photo_count, clean_file_name

Files = Sequence[Mapping[str, Any] | str] | None  # a path, or Gradio's FileData as a dict

KEPT_SECONDS = 1800
MOST_BYTES = 4 * 2**30  # of everybody's uploads together


def add_upload(upload: Upload) -> str:
    """Keep the file, 0600, under its name in a new 0700 folder; its path. OSError leaves nothing but the folder."""
    folder = upload_folder() / secrets.token_hex(16)
    folder.mkdir(parents=True, mode=0o700)
    path = folder / (clean_file_name(upload.name).lstrip(".") or "photo")
    write_whole(path, upload.content)
    return str(path)


def read_uploads(files: Files) -> list[Upload]:
    """The bytes of 1 to 20 uploaded files; InvalidPhotos names each path that is not one of them, or is gone."""
    found = _uploaded(files)
    check_photo_count(len(found))  # before they are read: one file can be named a thousand times
    uploads, missing = [], []
    for path, name in found:
        if path and path.is_file():
            uploads.append(Upload(name, path.read_bytes()))
        else:
            missing.append(PhotoProblem(name, "is not an uploaded file. Upload it again."))
    if missing:
        raise InvalidPhotos(missing)
    return uploads


def remove_uploads(files: Files) -> None:
    """Delete uploaded photos and the folders that held them."""
    for path, _ in _uploaded(files):
        if path:
            path.unlink(missing_ok=True)
            _remove_folder(path.parent)


def sweep_uploads(older_than: float = KEPT_SECONDS, *, moment: float | None = None) -> None:
    """Delete what was written more than `older_than` seconds before `moment` (POSIX; default: now)."""
    last = (time.time() if moment is None else moment) - older_than
    for path in _files():
        try:
            if path.lstat().st_mtime <= last:
                path.unlink()
                _remove_folder(path.parent)
        except FileNotFoundError:  # read and removed meanwhile
            continue


def uploads_full(most: int = MOST_BYTES) -> bool:
    """Whether the uploads of all visitors together have `most` bytes."""
    total = 0
    for path in _files():
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total >= most


class SessionUploads:
    """The uploads that each page session has chosen and not used yet."""

    def __init__(self, *, most_sessions: int = 10_000):
        self._chosen: TTLCache[str, list[str]] = TTLCache(most_sessions, KEPT_SECONDS)
        self._locked = threading.Lock()

    def choose(self, session: str, paths: Sequence[str]) -> None:
        """These are chosen now; delete what was chosen before and is no more."""
        now = [str(path) for path in paths[: int(LIMITS["photos"].high)]]
        with self._locked:
            before = self._chosen.get(session, [])
            self._chosen[session] = now
        remove_uploads([path for path in before if path not in now])

    def forget(self, session: str) -> None:
        """The session is over: delete what it had chosen."""
        with self._locked:
            left = self._chosen.pop(session, [])
        remove_uploads(left)


def upload_folder() -> Path:
    """Where Gradio looks for uploads: GRADIO_TEMP_DIR."""
    return Path(get_upload_folder()).resolve()


def _files() -> Iterable[Path]:
    for folder, _, names in os.walk(upload_folder()):
        for name in names:
            yield Path(folder) / name


def _remove_folder(folder: Path) -> None:
    if folder != upload_folder():
        try:
            folder.rmdir()
        except OSError:  # something is in it still
            return


def _uploaded(files: Files) -> list[tuple[Path | None, str]]:
    """Each file's path, None where it is none in the upload folder, and its name as its owner knows it."""
    given = files if isinstance(files, (list, tuple)) else [files] if files else []
    return [_one(file) for file in given]


def _one(file: Any) -> tuple[Path | None, str]:
    fields = file if isinstance(file, Mapping) else {"path": file}
    path, name = fields.get("path"), fields.get("orig_name")
    path = path if isinstance(path, str) and "\0" not in path else ""
    name = clean_file_name(name if isinstance(name, str) and name else path) or "photo"
    try:
        place = Path(path).resolve()
    except (OSError, ValueError):  # too long a path, a loop of links
        return None, name
    folder = upload_folder()
    return (place if folder in place.parents and place.parent != folder else None), name
