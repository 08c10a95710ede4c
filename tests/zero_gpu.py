"""ZeroGPU on the CPU: a scheduler that answers as the Space's device API does, and the real app started under it.

Knows the HTTP side and the process; `zero_gpu_app` is what runs inside. Nothing of `spaces` is replaced but what needs
a GPU: workers are forked, arguments and results pickled, stop events waited for as on a Space.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app_process import running_process
from little_server import Handler, serving

from faceid.bench.processes import app_environment, find_free_port

ENTRY = Path(__file__).with_name("zero_gpu_app.py")
START_SECONDS = 180  # only ever waited for by a test that fails


@dataclass
class Scheduler:
    """What the device API was asked, in order, as (path, parameters). `refusal`: the JSON of a 429 to /schedule."""

    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refusal: dict[str, Any] | None = None
    url: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def asked(self, path: str) -> list[dict[str, str]]:
        """The parameters of every call of `path`."""
        with self.changed:
            return [parameters for called, parameters in self.calls if called == path]

    def wait_for(self, path: str, number: int) -> None:
        """Until `path` was called `number` times."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked(path)) >= number, START_SECONDS), self.calls

    def answer(self, path: str, parameters: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """The status and the JSON for a call. A worker that was allowed a GPU once stays there, idle, for the next."""
        with self.changed:
            self.calls.append((path, parameters))
            self.changed.notify_all()
        if path != "/schedule":
            return 200, {}
        if self.refusal:
            return 429, self.refusal
        token = f"allowed-{len(self.asked('/schedule'))}"
        return 200, {"idle": bool(self.asked("/allow")), "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": token}


@contextmanager
def serve_scheduler() -> Iterator[Scheduler]:
    """A Scheduler that answers at `.url` until the block ends."""
    scheduler = Scheduler()

    class Answer(Handler):
        def do_POST(self):
            asked = urlsplit(self.path)
            status, body = scheduler.answer(asked.path, dict(parse_qsl(asked.query)))
            self.say(body, status)

    with serving(Answer) as scheduler.url:
        yield scheduler


@dataclass(frozen=True)
class Space:
    """The app on its simulated Space."""

    url: str
    folder: Path
    scheduler: Scheduler
    process: subprocess.Popen
    output: list[str]

    def traced(self, event: str) -> list[dict[str, Any]]:
        """What `zero_gpu_app` noted under this name, in order: each has the `pid` it happened in."""
        lines = trace_file(self.folder).read_text().splitlines()
        return [noted for noted in map(json.loads, lines) if noted["event"] == event]


def trace_file(folder: Path) -> Path:
    """Where `zero_gpu_app` notes what happens."""
    return folder / "trace.jsonl"


def zero_gpu_environment(folder: Path, scheduler: Scheduler, port: int) -> dict[str, str]:
    """The app's environment on a ZeroGPU Space, with `fast` for FLUX."""
    folder.mkdir(parents=True, exist_ok=True)
    trace_file(folder).touch()
    cgroup = folder / "cgroup"
    cgroup.write_text("0::/fake\n")
    return app_environment(folder / "data", port) | {
        "SPACE_ID": "someone/faceid",
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": scheduler.url,
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(cgroup),
        "ZEROGPU_OFFLOAD_DIR": str(folder / "tensors"),
        "ZERO_GPU_TRACE": str(trace_file(folder)),
    }


@contextmanager
def running_space(folder: Path) -> Iterator[Space]:
    """`python app.py` as ZeroGPU would run it, over an empty folder; killed, with its workers, afterwards."""
    port = find_free_port()
    with serve_scheduler() as scheduler, running_process(ENTRY, zero_gpu_environment(folder, scheduler, port)) as app:
        yield Space(f"http://127.0.0.1:{port}", folder, scheduler, app.process, app.output)
