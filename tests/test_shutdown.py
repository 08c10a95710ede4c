"""SIGTERM in the middle of a picture: the app ends, what was drawn is whole, and the next start knows what is left."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from app_process import ROOT, running_process
from page_client import PageClient, text_of
from PIL import Image

from faceid.bench.processes import app_environment, find_free_port
from faceid.store import DATABASE_FILE, PICTURES_FOLDER, TuneStore

SECONDS = 120
DRAWN, WAITING, FETCHED_LATER = "a photo, drawn", "a photo, waited for", "a photo, fetched later"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> tuple[Path, int, list[str]]:
    """An app whose second picture was being drawn when it was told to end, two others waiting: its data folder,
    its exit code, what it printed."""
    folder, port = tmp_path_factory.mktemp("app") / "data", find_free_port()
    url = f"http://127.0.0.1:{port}"
    with running_process(ROOT / "app.py", app_environment(folder, port)) as app:
        with PageClient(url) as page, PageClient(url) as other, page.drawing(DRAWN) as messages:
            other.send("generate", "click", prompt=WAITING)
            with other.messages() as waiting:
                next(text for text in map(text_of, waiting) if "in the queue" in text)
                post = {"prompt": {"text": FETCHED_LATER, "num_images": 8, "steps": 50, "negative_prompt": "rain"}}
                assert page.http.post("/tunes/690204/prompts", json=post).status_code == 201
                next(text for text in map(text_of, messages) if "Picture 2 of 8: step 3" in text)
                app.process.send_signal(signal.SIGTERM)
                code = app.process.wait(SECONDS)
        return folder, code, app.output


def test_it_ends_by_itself_and_without_a_complaint(stopped):
    _, code, output = stopped
    assert code == 0, "\n".join(output)
    assert not [line for line in output if "Traceback" in line], "\n".join(output)


def test_every_picture_is_whole_and_known(stopped):
    folder, *_ = stopped
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        known = {name for (name,) in database.execute("SELECT file FROM pictures")}
    files = {path.name for path in (folder / PICTURES_FOLDER).iterdir()}
    assert files == known
    for name in files:
        Image.open(folder / PICTURES_FOLDER / name).load()


def test_a_prompt_is_cancelled_or_left_to_the_next_start(stopped):
    """Cancelled where its page went before the queue was closed; what was to be fetched later is left for certain."""
    folder, *_ = stopped
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        states = dict(database.execute("SELECT text, status FROM prompts"))
        (sane,) = database.execute("PRAGMA integrity_check").fetchone()
    assert sane == "ok"
    assert states.keys() == {DRAWN, WAITING, FETCHED_LATER}
    unfinished = {text for text, status in states.items() if status in ("queued", "processing")}
    assert {states[text] for text in states.keys() - unfinished} <= {"cancelled"}
    with closing(TuneStore.open(folder)) as store:
        left = {prompt.text: prompt for prompt in store.take_over()}
    assert left.keys() == unfinished >= {FETCHED_LATER}
    assert all(prompt.status == "queued" and prompt.request for prompt in left.values())
