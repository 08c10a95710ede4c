"""Fetches single files from the Hugging Face Hub, with time-outs, and holds them to the hash first seen.

Owns the lock file (`weights.lock.json`): the commit and sha256 of every file at its first fetch. Knows nothing of what
a file is for. The cache is huggingface_hub's own (HF_HOME, HF_HUB_CACHE; HF_HUB_OFFLINE=1 is obeyed).
"""

import hashlib
import json
import logging
import tempfile
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import WeakFileLock

from faceid.errors import SetupError

logger = logging.getLogger(__name__)

LOCK_FILE = "weights.lock.json"
HUB_TIMEOUT = 8.0  # seconds without an answer until the Hub counts as out of reach
OUTAGES = (408, 429, 500, 502, 503, 504)


class HubUnreachable(SetupError):
    """The Hub cannot be reached (no network, offline mode, an outage) and the file is not in the cache."""


class HubFileMissing(SetupError):
    """The repository can be read and has no such file, or no such revision."""


def fetch(
    repo: str,
    filename: str,
    *,
    lock_dir: Path,
    token: str | None = None,
    cache_dir: Path | None = None,
    endpoint: str | None = None,
    timeout: float = HUB_TIMEOUT,
) -> Path:
    """The local path of `filename` in `repo`, downloaded where it is not in the cache.

    `main` is used at the first fetch and its commit written to `lock_dir`/weights.lock.json; from then on that commit
    is asked for, and a file that is in the cache needs no network. The sha256 of the first fetch is checked at every
    later one (a file is read again only where its size or time has changed).
    `cache_dir` and `endpoint` are huggingface_hub's own; `timeout` is in seconds.
    Raises HubUnreachable, HubFileMissing, and SetupError for a licence to accept, a repository that is not there, a
    hash that differs, a disk that cannot be written.
    """
    wanted = _locked_commit(repo, filename, lock_dir)
    path = _find_cached(repo, filename, wanted, cache_dir) if wanted else None
    if path is None:
        options = {"token": token, "cache_dir": cache_dir, "endpoint": endpoint, "timeout": timeout}
        path = _download(repo, filename, wanted or "main", **options)
    commit = path.parents[len(Path(filename).parts) - 1].name  # …/models--owner--name/snapshots/<commit>/<filename>
    _check_hash(path, key=_key(repo, filename), commit=commit, lock_path=lock_dir / LOCK_FILE)
    return path


def find_cached(repo: str, filename: str, *, lock_dir: Path, cache_dir: Path | None = None) -> Path | None:
    """The file in the cache, at the commit of the lock file, else main's; None where it is not there. Asks no server.

    SetupError: the lock file is damaged.
    """
    return _find_cached(repo, filename, _locked_commit(repo, filename, lock_dir) or "main", cache_dir)


def gated(repo: str) -> SetupError:
    """The error for a repository whose licence HF_TOKEN's account has not accepted."""
    page = f"https://huggingface.co/{repo}"
    return SetupError(f"{repo} is gated: accept its licence at {page}, then set HF_TOKEN of that account.")


def sha256_of(path: Path) -> str:
    """The file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(repo: str, filename: str) -> str:
    return f"{repo}@main/{filename}"


def _locked_commit(repo: str, filename: str, lock_dir: Path) -> str | None:
    return _read_lock(lock_dir / LOCK_FILE).get(_key(repo, filename), {}).get("commit")


def _download(
    repo: str,
    filename: str,
    revision: str,
    *,
    token: str | None,
    cache_dir: Path | None,
    endpoint: str | None,
    timeout: float,
) -> Path:
    """Ask the Hub once, with a time-out, then download. hf_hub_download alone repeats its question for minutes."""
    url = hf_hub_url(repo, filename, revision=revision, endpoint=endpoint)
    try:
        commit = get_hf_file_metadata(url, token=token, timeout=timeout, endpoint=endpoint).commit_hash
        options = {"token": token, "cache_dir": cache_dir, "endpoint": endpoint, "etag_timeout": timeout}
        return Path(hf_hub_download(repo, filename, revision=commit or revision, **options))
    except (HTTPError, OSError) as error:
        cached = _find_cached(repo, filename, revision, cache_dir)
        if cached is None:
            raise _explain(error, repo=repo, filename=filename, revision=revision) from error
        logger.warning(
            "%s/%s: the Hub did not answer (%s); the cached file is used", repo, filename, type(error).__name__
        )
        return cached


def _find_cached(repo: str, filename: str, revision: str, cache_dir: Path | None) -> Path | None:
    found = try_to_load_from_cache(repo, filename, cache_dir=cache_dir, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _explain(error: Exception, *, repo: str, filename: str, revision: str) -> SetupError:
    """The Hub's error as one that says what the operator can do."""
    page = f"https://huggingface.co/{repo}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    match error:
        case GatedRepoError():
            return gated(repo)
        case RepositoryNotFoundError():
            return SetupError(f"{repo} is not on the Hub or is private: see {page}, and check HF_TOKEN.")
        case RevisionNotFoundError():
            return HubFileMissing(
                f"{repo} has no revision {revision}: see {page}/commits/main, and delete its entry in {LOCK_FILE} to "
                "take the present one."
            )
        case RemoteEntryNotFoundError():
            return HubFileMissing(f"{repo} has no file {filename} at {revision}: see {page}/tree/main.")
        case HfHubHTTPError() if status not in OUTAGES:
            return SetupError(f"{repo}/{filename}: the Hub answered {status}. Check HF_TOKEN and {page}.")
        case HTTPError() | ConnectionError() | TimeoutError() | FileMetadataError():
            return HubUnreachable(
                f"{repo}/{filename}: the Hub cannot be reached ({type(error).__name__}) and the file is not in the "
                "cache. Check the network, or fetch it once where there is one (HF_HUB_OFFLINE=1 forbids asking)."
            )
        case _:
            return SetupError(f"{repo}/{filename} could not be downloaded: {error}. Is the disk full or read-only?")


def _check_hash(path: Path, *, key: str, commit: str, lock_path: Path) -> None:
    """Hold `path` to the sha256 in the lock file; the first time, write it there."""
    stat = path.stat()
    seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    entry = _read_lock(lock_path).get(key)
    if entry is not None and entry.get("seen") == seen:
        return
    sha256 = sha256_of(path)
    if entry is None:
        logger.info("%s: first fetched, unpinned, sha256 %s", key, sha256)
    elif entry["sha256"] != sha256:
        raise SetupError(
            f"{path}: its sha256 is {sha256}, but {key} was {entry['sha256']} when it was first fetched. Delete the "
            f"file to download it again; if the new one is meant, delete the entry in {lock_path}."
        )
    _write_lock(lock_path, key, {"commit": commit, "sha256": sha256, "seen": seen})


def _read_lock(lock_path: Path) -> dict[str, dict]:
    if not lock_path.exists():
        return {}
    try:
        return json.loads(lock_path.read_text())
    except ValueError as error:
        raise SetupError(
            f"{lock_path} is not JSON ({error}): mend it, or delete it to trust what is fetched next."
        ) from error


def _write_lock(lock_path: Path, key: str, entry: dict) -> None:
    """Add one entry. Other processes may be adding theirs: read, change and replace under a file lock."""
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock_path.with_name(f".{LOCK_FILE}.guard")):
        entries = _read_lock(lock_path) | {key: entry}
        with tempfile.NamedTemporaryFile("w", dir=lock_path.parent, prefix=f".{LOCK_FILE}.", delete=False) as draft:
            json.dump(entries, draft, indent=2, sort_keys=True)
        Path(draft.name).replace(lock_path)
