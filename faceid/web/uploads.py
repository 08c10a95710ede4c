"""Photos on their way in: files that Gradio received are read and removed. Knows Gradio's upload folder, no studio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from faceid.domain import Upload
from faceid.errors import InvalidPhotos, PhotoProblem

Files = Sequence[Mapping[str, Any] | str] | None  # a path, or Gradio's FileData as a dict


def read_uploads(files: Files) -> list[Upload]:
    """The bytes of uploaded files; InvalidPhotos names each path that is not one of them, or is gone."""
    uploads, missing = [], []
    for path, name in _uploaded(files):
        if path and path.is_file():
            uploads.append(Upload(name, path.read_bytes()))
        else:
            missing.append(PhotoProblem(name, "is not an uploaded file. Upload it again."))
    if missing:
        raise InvalidPhotos(missing)
    return uploads


def remove_uploads(files: Files) -> None:
    """Delete uploaded photos, which would stay readable to whoever learns their address."""
    for path, _ in _uploaded(files):
        if path:
            path.unlink(missing_ok=True)


def _uploaded(files: Files) -> list[tuple[Path | None, str]]:
    """Each file's path, None where it lies outside the upload folder, and its name."""
    folder = Path(get_upload_folder()).resolve()
    paths = [Path(file if isinstance(file, str) else file.get("path") or "").resolve() for file in files or ()]
    names = [None if isinstance(file, str) else file.get("orig_name") for file in files or ()]
    return [(path if path.is_relative_to(folder) else None, name or path.name) for path, name in zip(paths, names)]
