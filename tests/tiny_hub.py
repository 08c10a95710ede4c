"""A Hugging Face Hub in miniature on the loopback, and a cache folder in its layout, for what fetches files."""

import hashlib
from contextlib import contextmanager
from pathlib import Path

from little_server import Handler, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TinyHub:
    """`files` maps "owner/name/path" to bytes, `refusals` "owner/name" to (status, X-Error-Code); `requests` counts."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.refusals: dict[str, tuple[int, str]] = {}
        self.commit = COMMIT
        self.requests: list[str] = []
        self.endpoint = ""


@contextmanager
def serve_hub(files: dict[str, bytes]):
    """A TinyHub that answers at `.endpoint` until the block ends."""
    hub = TinyHub(dict(files))

    class Answer(Handler):
        def do_HEAD(self):
            repo, _, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, filename = rest.partition("/")
            hub.requests.append(f"{self.command} {filename}")
            content = hub.files.get(f"{repo}/{filename}")
            if repo in hub.refusals:
                self.refuse(*hub.refusals[repo])
            elif revision not in ("main", hub.commit):
                self.refuse(404, "RevisionNotFound")
            elif content is None:
                self.refuse(404, "EntryNotFound")
            else:
                self.send_response(200)
                self.send_header("X-Repo-Commit", hub.commit)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

        do_GET = do_HEAD

        def refuse(self, status: int, code: str):
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Answer) as hub.endpoint:
        yield hub


def write_cache(cache_dir: Path, repo: str, files: dict[str, bytes], commit: str = COMMIT) -> Path:
    """Lay `files` into `cache_dir` as huggingface_hub would have; the snapshot's folder."""
    folder = cache_dir / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    for name, content in files.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_bytes(content)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return snapshot
