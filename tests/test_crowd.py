"""Fifty clients at once, strangers to each other: each gets its own pictures or is told plainly that there is no room.

The real app on `fast`, where everybody has an owner of their own. No time is judged; what hangs fails.
"""

import asyncio
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from page_client import PageClient, text_of
from PIL import Image
from visitors import PublicApp, running_public_app

from faceid.store import DATABASE_FILE
from faceid.web.owners import Owners

CLIENTS, REQUESTS = 50, 75  # more requests than the queue takes
PATIENCE_SECONDS = 240
WAITING = 64  # of JobQueue
SECRET = "what keys are hashed with, in this test"


class Answer(NamedTuple):
    """What one client was told for one request: the details of its prompt and its picture, or an error."""

    key: str
    seed: int
    details: dict
    picture: bytes
    error: str


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[PublicApp]:
    """The app as on a Space: nobody is local."""
    folder = tmp_path_factory.mktemp("crowd") / "data"
    with running_public_app(folder, likeness=False, given_secret=SECRET) as app:
        yield app


def key_of(client: int) -> str:
    return f"the-key-of-client-number-{client}"


async def ask(http: httpx.AsyncClient, key: str, seed: int) -> Answer:
    """One picture by the Gradio endpoint, as curl would ask for it."""
    headers = {"X-FaceID-Key": key}
    wish = {"text": "woman, photo", "num_images": 1, "steps": 1, "seed": seed}
    joined = await http.post("/gradio_api/call/v2/generate", json=wish, headers=headers)
    told = await http.get(f"/gradio_api/call/generate/{joined.json()['event_id']}", headers=headers)
    event, outcome = [line.partition(": ")[2] for line in told.text.splitlines() if line][-2:]
    if event != "complete":
        return Answer(key, seed, {}, b"", outcome)
    gallery, details = json.loads(outcome)
    (shown,) = gallery
    picture = await http.get(f"/gradio_api/file={shown['image']['path']}")
    return Answer(key, seed, details, picture.raise_for_status().content, "")


async def ask_all(url: str) -> list[Answer]:
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=0
    )  # as many clients have no connection in common
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=limits, trust_env=False) as http:
        wishes = [ask(http, key_of(number % CLIENTS), 1000 + number) for number in range(REQUESTS)]
        return await asyncio.wait_for(asyncio.gather(*wishes), PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def answers(app) -> list[Answer]:
    return asyncio.run(ask_all(app.url))


def rows(app: PublicApp, query: str) -> list[tuple]:
    with closing(sqlite3.connect(app.folder / DATABASE_FILE)) as database:
        return database.execute(query).fetchall()


def test_everybody_is_answered_or_told_that_there_is_no_room(answers):
    assert len(answers) == REQUESTS
    served = [answer for answer in answers if not answer.error]
    assert len(served) > WAITING
    assert {answer.details["status"] for answer in served} == {"done"}
    for answer in answers:
        assert not answer.error or f"{WAITING} requests are waiting, and no more fit" in answer.error


def test_nobody_gets_what_another_asked_for(app, answers):
    owners = Owners(secret=SECRET.encode(), local=False)
    kept = {prompt: (owner, seed) for prompt, owner, seed in rows(
        app, "SELECT prompts.id, owner, pictures.seed FROM prompts JOIN pictures ON prompts.id = prompt_id"
    )}  # fmt: skip
    served = [answer for answer in answers if not answer.error]
    for answer in served:
        assert answer.details["seeds"] == [answer.seed]
        assert kept[answer.details["id"]] == (owners.of_call({"x-faceid-key": answer.key}), answer.seed)
    assert len({answer.picture for answer in served}) == len(served)


def test_a_picture_is_the_one_that_its_seed_gives_alone(app, answers):
    """Drawn once more by a client who has the app for itself."""
    answer = next(answer for answer in answers if not answer.error)

    async def ask_again() -> Answer:
        async with httpx.AsyncClient(base_url=app.url, timeout=PATIENCE_SECONDS, trust_env=False) as http:
            return await ask(http, answer.key, answer.seed)

    alone, before = (Image.open(io.BytesIO(content)) for content in (asyncio.run(ask_again()).picture, answer.picture))
    assert np.array_equal(np.asarray(alone), np.asarray(before))


def test_a_page_draws_one_wish_at_a_time(app):
    with PageClient(app.url) as page:
        with page.drawing("a wish, drawn") as messages:
            page.send("generate", "click", prompt="a wish too many")
            next(text for text in map(text_of, messages) if "still being drawn" in text)
            page.send("cancel", "click")
            next(text for text in map(text_of, messages) if "Cancelled." in text)
        page.send("generate", "click", prompt="a wish, later", steps=1, num_images=1)
        with page.messages() as messages:
            next(text for text in map(text_of, messages) if "1 picture is done" in text)
    assert rows(app, "SELECT text FROM prompts WHERE text = 'a wish too many'") == []


def test_nothing_is_drawn_on_for_browsers_that_went_away(app, answers):
    """One while its picture was drawn, one while it waited; the third, behind them, gets its turn."""
    with PageClient(app.url) as running, PageClient(app.url) as waiting, PageClient(app.url) as third:
        with running.drawing("a photo, drawn"):
            waiting.send("generate", "click", prompt="a photo, waited for", steps=50, num_images=8)
            with waiting.messages() as messages:
                next(text for text in map(text_of, messages) if "number 1 in the queue, about" in text)
        third.send("generate", "click", prompt="a photo, behind them", steps=1, num_images=1)
        with third.messages() as messages:
            next(text for text in map(text_of, messages) if "1 picture is done" in text)
    states = dict(rows(app, "SELECT text, status FROM prompts WHERE text LIKE 'a photo, %'"))
    assert states == {
        "a photo, drawn": "cancelled",
        "a photo, waited for": "cancelled",
        "a photo, behind them": "done",
    }
    assert rows(app, "SELECT id FROM prompts WHERE status IN ('queued', 'processing')") == []
