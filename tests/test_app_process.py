"""The real app as a Space starts it, with a Hub in miniature: who logs in, and what is left when it is told to end."""

import hashlib
import os
import re
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from app_process import ROOT, AppProcess, running_process
from gradio.oauth import OAUTH_CLIENT_SECRET as NO_SECRET
from itsdangerous import TimestampSigner
from page_client import PageClient, text_of
from PIL import Image
from tiny_accounts import ADA, CLIENT_ID, CLIENT_SECRET, TOKEN_OF_ADA, serve_accounts
from visitors import PublicApp, Refused, Visitor

from faceid.backup import Backup
from faceid.bench.processes import find_free_port
from faceid.store import DATABASE_FILE, PICTURES_FOLDER, TuneStore

TITLE = "Zanzibar Quartermaine"
DRAWN, WAITING, FETCHED_LATER = "a photo, drawn", "a photo, waited for", "a photo, fetched later"


@pytest.fixture(scope="module")
def hub():
    with serve_accounts() as accounts:
        yield accounts


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def url() -> str:
    return f"http://127.0.0.1:{find_free_port()}"


@pytest.fixture(scope="module")
def process(hub, folder, url):
    """app.py as the Hub starts it, its page up."""
    environ = os.environ | {
        "SPACE_ID": "ada/demo", "SYSTEM": "spaces", "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": url.rpartition(":")[2],
        "OAUTH_CLIENT_ID": CLIENT_ID, "OAUTH_CLIENT_SECRET": CLIENT_SECRET, "OAUTH_SCOPES": "openid profile",
        "OPENID_PROVIDER_URL": hub.endpoint, "HF_ENDPOINT": hub.endpoint, "GRADIO_ANALYTICS_ENABLED": "False",
        "FACEID_DATA_DIR": str(folder / "data"), "FACEID_BACKUP_DIR": str(folder / "away"),
        "FACEID_FACE_PACK": "offline", "TMPDIR": str(folder),
    }  # fmt: skip
    with running_process(ROOT / "app.py", environ) as process:
        yield process


@pytest.fixture(scope="module")
def app(process, folder, url) -> PublicApp:
    config = httpx.get(f"{url}/config").json()
    people = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "people")
    shown = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "tunes")
    refresh = next(d["id"] for d in config["dependencies"] if d["outputs"][:2] == [people, shown])
    return PublicApp(url, folder / "data", {"refresh": refresh})


@pytest.fixture(scope="module")
def by_token(app) -> Visitor:
    """Ada with her token, as gradio_client sends it."""
    return Visitor(app, key=TOKEN_OF_ADA)


@pytest.fixture(scope="module")
def tune(by_token, astronaut_path):
    made = None
    while made is None:
        with suppress(Refused):  # the models are still being loaded
            made = by_token.create(astronaut_path, TITLE)
    return made


@pytest.fixture(scope="module")
def cookie(app) -> str:
    """What Ada's browser has after she logged in."""
    started = httpx.get(f"{app.url}/login/huggingface")
    agreed = httpx.get(started.headers["location"])
    back = urlsplit(agreed.headers["location"])
    assert back.path == "/login/callback"
    sent = {"Cookie": session_of(started)}
    return session_of(httpx.get(f"{app.url}{back.path}?{back.query}", headers=sent))


@pytest.fixture(scope="module")
def ended(process, app, by_token, tune, astronaut_path) -> AppProcess:
    """The app, told to end while its second picture was drawn, two others waiting; one tune had been deleted before."""
    gone = by_token.create(astronaut_path, "Gone")
    by_token.call("delete_tune", {"tune_id": gone["id"]})
    with PageClient(app.url) as page, PageClient(app.url) as other, page.drawing(DRAWN) as messages:
        other.send("generate", "click", prompt=WAITING)
        with other.messages() as waiting:
            next(text for text in map(text_of, waiting) if "in the queue" in text)
            post = {"prompt": {"text": FETCHED_LATER, "num_images": 8, "steps": 50, "negative_prompt": "rain"}}
            key = {"Authorization": f"Bearer {by_token.key}"}
            by_token.request("POST", "/tunes/690204/prompts", json=post, headers=key).raise_for_status()
            next(text for text in map(text_of, messages) if "Picture 2 of 8: step 3" in text)
            process.process.send_signal(signal.SIGTERM)
            process.wait()
    return process


def session_of(answer: httpx.Response) -> str:
    return re.search(r"session=[^;]+", answer.headers["set-cookie"]).group()


def titles(visitor: Visitor, **headers: str) -> list[str] | str:
    """The titles of the cards that the page shows; without any, what it says instead."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    people, *_ = visitor.happen("refresh", [visitor.browser_key, None, 24], named)
    return [card["title"] for card in people["cards"]] or people["empty"]


def test_the_page_offers_a_login(app):
    config = httpx.get(f"{app.url}/config").json()
    assert [c for c in config["components"] if c["props"].get("elem_id") == "login"]


def test_who_logs_in_is_the_owner_of_what_the_token_made(app, tune, cookie, by_token):
    visitor = Visitor(app)
    assert titles(visitor, Cookie=cookie, Sec_Fetch_Site="same-origin") == [TITLE]
    assert titles(visitor, Cookie=cookie, Origin=app.url) == [TITLE]
    assert by_token.call("get_tune", {"tune_id": tune["id"]}, {"X-HF-Authorization": f"Bearer {TOKEN_OF_ADA}"})
    assert "No tune yet" in titles(visitor)  # and without the login she is somebody else


def test_another_site_cannot_use_the_login(app, tune, cookie):
    visitor = Visitor(app)
    for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert "Another site" in titles(visitor, Cookie=cookie, **headers)


def test_a_login_cannot_be_forged(app, tune, cookie):
    visitor = Visitor(app)
    name, value = cookie.split("=", 1)
    payload = value.split(".")[0]
    assert not NO_SECRET  # what Gradio would sign with where the Hub gave no secret is known to everybody
    secret = hashlib.sha256(b"-v4").hexdigest()
    for forged in (payload, f"{payload}.x.y", TimestampSigner(secret).sign(payload).decode(), value[:-2] + "xx"):
        assert "No tune yet" in titles(visitor, Cookie=f"{name}={forged}", Sec_Fetch_Site="same-origin")
    with pytest.raises(Refused, match="A key of at least 20"):
        visitor.call("list_tunes", {}, {"Cookie": cookie})  # a cookie is no key of the API
    with pytest.raises(Refused, match="There is no tune"):
        visitor.call("get_tune", {"tune_id": tune["id"]}, {"X-FaceID-Key": ADA})  # nor is a user's id


def test_a_token_that_nobody_has_is_refused_and_a_hub_that_is_away_is_said(app, hub):
    with pytest.raises(Refused, match="does not know this hf_ token"):
        Visitor(app, key="hf_" + "b" * 34).call("list_tunes", {})
    hub.status = 503
    with pytest.raises(Refused, match="cannot be asked now whose this hf_ token is"):
        Visitor(app, key="hf_" + "c" * 34).call("list_tunes", {})
    hub.status = 200


def test_it_ends_by_itself_and_without_a_complaint(ended):
    """No traceback leads through the project; Gradio leaves event loops to the garbage collector, which prints one."""
    output = "\n".join(ended.output)
    assert ended.process.returncode == 0, output
    for ours in (ROOT / "faceid", ROOT / "app.py"):
        assert f'File "{ours}' not in output, output


def test_every_picture_is_whole_and_known(ended, app):
    with closing(sqlite3.connect(app.folder / DATABASE_FILE)) as database:
        known = {name for (name,) in database.execute("SELECT file FROM pictures")}
    files = {path.name for path in (app.folder / PICTURES_FOLDER).iterdir()}
    assert files == known
    for name in files:
        Image.open(app.folder / PICTURES_FOLDER / name).load()


def test_a_prompt_is_cancelled_or_left_to_the_next_start(ended, app):
    """Cancelled where its page went before the queue was closed; what was to be fetched later is left for certain."""
    with closing(sqlite3.connect(app.folder / DATABASE_FILE)) as database:
        states = dict(database.execute("SELECT text, status FROM prompts"))
        (sane,) = database.execute("PRAGMA integrity_check").fetchone()
    assert sane == "ok"
    assert states.keys() == {DRAWN, WAITING, FETCHED_LATER}
    unfinished = {text for text, status in states.items() if status in ("queued", "processing")}
    assert {states[text] for text in states.keys() - unfinished} <= {"cancelled"}
    with closing(TuneStore.open(app.folder)) as store:
        left = {prompt.text: prompt for prompt in store.take_over()}
    assert left.keys() == unfinished >= {FETCHED_LATER}
    assert all(prompt.status == "queued" and prompt.request for prompt in left.values())


def test_a_backup_has_her_tune_and_the_log_nothing_secret(ended, folder, tune, astronaut_path, tmp_path):
    log = "\n".join(ended.output)
    for word in (TOKEN_OF_ADA, TITLE, CLIENT_SECRET, ADA):
        assert word not in log, word
    with closing(Backup(tmp_path / DATABASE_FILE, folder / "away")) as backup:
        assert TOKEN_OF_ADA.encode() not in backup.path.read_bytes()
        assert backup.restore_if_empty()
    with closing(TuneStore.open(tmp_path)) as store, closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        ((owner, tune_id),) = connection.execute("SELECT owner, id FROM tunes").fetchall()
        assert tune_id == tune["id"]
        assert store.photos(owner, tune_id)[0].original == astronaut_path.read_bytes()
