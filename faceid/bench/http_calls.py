"""The HTTP API of the real `python app.py` under load: many at once, many tunes, broken bodies. No client library.

Requests are sent over plain connections: a client's own work would hide the server's.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

import httpx
from sqlalchemy import insert

from faceid.bench.figures import Measurement
from faceid.bench.malformed import make_malformed
from faceid.bench.photo import make_photo
from faceid.bench.processes import PATIENCE_SECONDS, RunningApp, find_free_port, read_memory, run_app
from faceid.domain import Tune
from faceid.errors import SetupError
from faceid.ids import new_id
from faceid.schema import tunes
from faceid.store import TuneStore
from faceid.web.owners import Owners

CLIENTS, CALLS, ROUNDS = 200, 10, 5
MANY, FEW, PAGES = 100_000, 100, 40
BODIES, WARM_BODIES = 1000, 200
KEY, OTHER_KEY = "the-benchmark-owner-of-many", "the-benchmark-owner-of-few"

Run = Callable[[], AbstractContextManager[RunningApp]]
Make = Callable[[random.Random], tuple[str, str, bytes]]

BARE = """
import json, sys
import uvicorn
from fastapi import FastAPI

app = FastAPI()
tune = json.loads(sys.argv[2])

@app.get("/tunes/{tune_id}")
async def get_tune(tune_id: int):
    return tune

uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""


def measure_get(clients: int = CLIENTS, calls: int = CALLS, rounds: int = ROUNDS, run: Run = run_app) -> Measurement:
    """p95 of GET /tunes/:id over that of a bare FastAPI route which returns the same JSON."""
    with run() as app:
        _wait_for_models(app.url)
        (tune_id,) = add_tunes(app.data_dir, KEY, 1)
        path = f"/tunes/{tune_id}"
        tune = httpx.get(app.url.rstrip("/") + path, headers={"X-FaceID-Key": KEY}, trust_env=False).json()
        with bare_route(tune) as bare:
            pairs = []
            for _ in range(1 + rounds):
                ours = asyncio.run(time_gets(app.url, path, clients, calls))
                theirs = asyncio.run(time_gets(bare, path, clients, calls))
                pairs.append((p95(ours), p95(theirs)))
    ours, theirs = (median(side) for side in zip(*pairs[1:]))
    ratio = median(a / b for a, b in pairs[1:])
    return Measurement(
        ratio,
        f"python app.py and uvicorn with one route, each a process; {clients} connections at once, {calls} calls each, "
        f"in turn, median of {rounds}: p95 {1000 * ours:.0f} ms and {1000 * theirs:.0f} ms",
    )


def measure_first_page(many: int = MANY, few: int = FEW, pages: int = PAGES, run: Run = run_app) -> Measurement:
    """Seconds of GET /tunes of an owner with many tunes over those of one with few."""
    with run() as app:
        _wait_for_models(app.url)
        add_tunes(app.data_dir, KEY, many)
        add_tunes(app.data_dir, OTHER_KEY, few)
        with httpx.Client(base_url=app.url, trust_env=False) as client:
            seconds: dict[str, list[float]] = {KEY: [], OTHER_KEY: []}
            for _ in range(1 + pages):
                for key, times in seconds.items():
                    start = time.perf_counter()
                    page = client.get("/tunes", headers={"X-FaceID-Key": key}).json()
                    times.append(time.perf_counter() - start)
                    if len(page) != 20:
                        raise SetupError(f"GET /tunes gave {len(page)} tunes where a page has 20.")
    with_many, with_few = (median(times[1:]) for times in seconds.values())
    return Measurement(
        with_many / with_few,
        f"GET /tunes with {many:,} and with {few:,} tunes, in turn, medians of {pages}: {1000 * with_many:.1f} ms and "
        f"{1000 * with_few:.1f} ms",
    )


def measure_malformed(
    bodies: int = BODIES, warm: int = WARM_BODIES, run: Run = run_app, make: Make = make_malformed
) -> Measurement:
    """MB by which the app's resident memory grows over malformed bodies; SetupError where one is not refused as 4xx."""
    chance = random.Random(5)
    with run() as app, httpx.Client(base_url=app.url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        _wait_for_models(app.url)
        statuses: dict[int, int] = {}
        for number in range(warm + bodies):
            if number == warm:
                before = read_memory(app.pid)
            path, kind, body = make(chance)
            headers = {"Content-Type": kind, "X-FaceID-Key": KEY}
            status = client.post(path, content=body, headers=headers).status_code
            if not 400 <= status < 500:
                raise SetupError(f"Malformed body {number}, {kind}, {len(body)} bytes to {path}: status {status}.")
            statuses[status] = statuses.get(status, 0) + 1
        grown = (read_memory(app.pid) - before) / 1e6
    told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    return Measurement(
        grown, f"{bodies} bodies of multipart, urlencoded and JSON, broken by chance from seed 5, after {warm}: {told}"
    )


def _wait_for_models(url: str) -> None:
    """Make a tune and delete it, which takes the models: their loading is not what is measured. SetupError."""
    form, files = {"tune[title]": "Eileen", "tune[name]": "woman"}, {"tune[images][]": make_photo().content}
    deadline = time.perf_counter() + PATIENCE_SECONDS
    headers = {"X-FaceID-Key": "the-benchmark-owner-of-nothing"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        while time.perf_counter() < deadline:
            answer = client.post("/tunes", data=form, files=files)
            if answer.status_code == httpx.codes.CREATED:
                client.delete(f"/tunes/{answer.json()['id']}")
                return
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise SetupError(f"POST /tunes was answered {answer.status_code}: {answer.text}")
    raise SetupError(f"The models were not loaded within {PATIENCE_SECONDS} s.")


async def time_gets(url: str, path: str, clients: int, calls: int) -> list[float]:
    """Seconds of each call, of so many clients at once, each over a connection of its own."""
    address = urlsplit(url)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nX-FaceID-Key: {KEY}\r\nAccept: application/json\r\n\r\n"
    ).encode()
    gathered = asyncio.Barrier(clients)

    async def call() -> list[float]:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        await gathered.wait()
        seconds = []
        try:
            for _ in range(calls):
                start = time.perf_counter()
                writer.write(request)
                await _read_answer(reader)
                seconds.append(time.perf_counter() - start)
        finally:
            writer.close()
            await writer.wait_closed()
        return seconds

    return [seconds for each in await asyncio.gather(*(call() for _ in range(clients))) for seconds in each]


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise SetupError(f"The server answered {head.splitlines()[0].decode()}.")
    await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))


def p95(seconds: list[float]) -> float:
    """The 95th percentile."""
    return quantiles(seconds, n=20, method="inclusive")[-1]


def add_tunes(data_dir: Path, key: str, number: int) -> list[int]:
    """Rows of tunes, without photos, in the running app's database, for whoever sends `key`; their ids."""
    owner = Owners(secret=(data_dir / "secret").read_bytes(), local=True).of_call({"x-faceid-key": key})
    ids = {new_id() for _ in range(2 * number)}  # of which some may be equal
    made = [Tune(id=tune_id, owner=owner, title=f"Tune {tune_id}", name="man") for tune_id in sorted(ids)[:number]]
    rows = [{column.name: getattr(tune, column.name, "") for column in tunes.c} for tune in made]
    with closing(TuneStore.open(data_dir)) as store, store.database.writing() as connection:
        connection.execute(insert(tunes), rows)
    return [tune.id for tune in made]


@contextmanager
def bare_route(answer: object) -> Iterator[str]:
    """The address of a FastAPI application with nothing but one route, as a process of its own."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE)
        process = subprocess.Popen([sys.executable, str(script), str(port), json.dumps(answer)])
        try:
            _wait_until_answered(f"{url}tunes/1", process)
            yield url
        finally:
            process.kill()
            process.wait()


def _wait_until_answered(url: str, process: subprocess.Popen) -> None:
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False).raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.05)  # not listening yet
    raise SetupError("The bare FastAPI route does not answer.")
