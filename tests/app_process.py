"""The real app as a process of its own, from its first page to its end. Knows no setting; `environment` has them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
UP = "Running on local URL"
PATIENCE_SECONDS = 240  # only ever waited for by a test that fails


@dataclass(frozen=True)
class AppProcess:
    """A running app and the lines it has printed."""

    process: subprocess.Popen
    output: list[str] = field(default_factory=list)
    shown: threading.Event = field(default_factory=threading.Event)
    silent: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        """Collect the output until it ends; `shown` is set when the page is up, or when it never will be."""
        for line in self.process.stdout:
            self.output.append(line.rstrip())
            if UP in line:
                self.shown.set()
        self.shown.set()
        self.silent.set()

    def wait(self) -> int:
        """Until it has ended and all its output is here; the exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        assert self.silent.wait(PATIENCE_SECONDS)
        return code


@contextmanager
def running_process(script: Path, environment: Mapping[str, str]) -> Iterator[AppProcess]:
    """`script` once its page is up; afterwards it is killed, with all that it has forked."""
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=ROOT,
        env=dict(environment) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    app = AppProcess(process)
    reader = threading.Thread(target=app.read, daemon=True)
    reader.start()
    try:
        assert app.shown.wait(PATIENCE_SECONDS), "\n".join(app.output)
        assert any(UP in line for line in app.output), "\n".join(app.output)
        yield app
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
