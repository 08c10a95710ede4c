"""What needs a fresh process: the import, the app's start, its peak memory. The app is the real `python app.py`.

Its surroundings are its own: a temporary data folder, no setting of whoever runs this, no network.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from faceid.bench.figures import Measurement
from faceid.bench.photo import ROOT, make_photo
from faceid.bench.timing import time_once
from faceid.errors import SetupError

IMPORT_ROUNDS, START_ROUNDS = 5, 3
PICTURES, STEPS = 4, 8
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 180
SETTINGS_PREFIXES = ("FACEID_", "GRADIO_", "SPACE", "HF_", "HUGGING_FACE_", "SYSTEM")


@dataclass(frozen=True)
class RunningApp:
    """The app, its first page answered `seconds` after its process was started."""

    pid: int
    url: str
    data_dir: Path
    seconds: float


def measure_import(module: str = "faceid.studio", rounds: int = IMPORT_ROUNDS) -> Measurement:
    """Seconds of `python -c "import module"`, the interpreter's own start included."""
    script = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    alone: list[float] = []

    def run() -> None:
        answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        alone.append(float(answer.stdout))

    whole = [time_once(run) for _ in range(1 + rounds)][1:]
    return Measurement(
        median(whole),
        f"the whole process, Python's own start included; the import alone {median(alone[1:]):.3f} s; "
        f"medians of {rounds} after one",
    )


def measure_start(rounds: int = START_ROUNDS, root: Path = ROOT) -> Measurement:
    """Seconds from the process's start until GET / answers 200; the slowest start counts."""
    seconds = []
    for _ in range(rounds):
        with run_app(root) as app:
            seconds.append(app.seconds)
    times = ", ".join(f"{each:.1f}" for each in seconds)
    return Measurement(
        max(seconds),
        f"python app.py, `fast`, offline face pack built on the way, until GET / answers 200; "
        f"the slowest of {rounds} ({times} s)",
    )


def measure_memory(use: Callable[[str], str] | None = None, root: Path = ROOT) -> Measurement:
    """GB (10^9 bytes) of resident memory at the app's peak; `use` works with the app at a URL and says what it did."""
    with run_app(root) as app:
        at_start = read_peak_memory(app.pid)
        used = (use or make_tune_and_pictures)(app.url)
        peak = read_peak_memory(app.pid)
    return Measurement(
        peak / 1e9, f"python app.py as its own process: {at_start / 1e9:.2f} GB at the first page, then {used}"
    )


@contextmanager
def run_app(root: Path = ROOT) -> Iterator[RunningApp]:
    """`root`/app.py on a free port of loopback; killed and its folder removed afterwards. SetupError: it fails."""
    with tempfile.TemporaryDirectory() as name:
        data_dir, log, port = Path(name) / "data", Path(name) / "app.log", find_free_port()
        url = f"http://127.0.0.1:{port}/"
        start = time.perf_counter()
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=root,
                env=app_environment(data_dir, port),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for_page(url, process, log, start + PATIENCE_SECONDS)
            yield RunningApp(process.pid, url, data_dir, time.perf_counter() - start)
        finally:
            process.kill()
            process.wait()


def app_environment(data_dir: Path, port: int, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The app's environment: `given` without its settings, with `fast` and the offline face pack."""
    inherited = {name: value for name, value in given.items() if not name.startswith(SETTINGS_PREFIXES)}
    return inherited | {
        "FACEID_DATA_DIR": str(data_dir),
        "FACEID_FACE_PACK": "offline",
        "FACEID_BASE_MODEL": "fast",
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
    }


def find_free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for_page(url: str, process: subprocess.Popen, log: Path, deadline: float) -> None:
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise SetupError(f"app.py ended with {process.returncode} before its first page:\n{_last_lines(log)}")
        try:
            if httpx.get(url, timeout=PATIENCE_SECONDS, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(POLL_SECONDS)
    raise SetupError(f"app.py showed no page within {PATIENCE_SECONDS} s:\n{_last_lines(log)}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-10:])


def make_tune_and_pictures(url: str, num_images: int = PICTURES, steps: int = STEPS) -> str:
    """What a user does, over the app's API: a tune from the 1080p photo, pictures with it, and the tune deleted."""
    from gradio_client import Client, handle_file

    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "1080p.jpg"
        photo.write_bytes(make_photo().content)
        client = Client(url, verbose=False, download_files=folder)
        tune = client.predict([handle_file(photo)], "Eileen", "woman", api_name="/create_tune")
        gallery, _ = client.predict(
            f"{tune['tag']} woman trekking in the alps",
            num_images=num_images,
            steps=steps,
            seed=1,
            negative_prompt="rain",
            api_name="/generate",
        )
        client.predict(tune["id"], api_name="/delete_tune")
        client.close()
    return (
        f"by gradio_client a tune from a 1080p photo, {len(gallery)} pictures of {steps} steps with it and a negative "
        "prompt, the tune deleted"
    )


def read_memory(pid: int) -> int:
    """The bytes that process has resident now. SetupError: not on Linux, or no such process."""
    return _read_status(pid, "VmRSS")


def read_peak_memory(pid: int) -> int:
    """The most bytes that process ever had resident. SetupError as `read_memory`.

    Not from getrusage: the ru_maxrss of a child begins at its parent's.
    """
    return _read_status(pid, "VmHWM")


def _read_status(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        raise SetupError(f"The memory of a process is read from /proc, which has no {pid}: not on Linux, or it ended.")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024
