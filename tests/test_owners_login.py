"""The real app as a Space runs it, with a Hub in miniature: who logs in, and what is left when it is killed."""

import hashlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from gradio.oauth import OAUTH_CLIENT_SECRET as NO_SECRET
from itsdangerous import TimestampSigner
from tiny_accounts import ADA, CLIENT_ID, CLIENT_SECRET, TOKEN_OF_ADA, serve_accounts
from visitors import PublicApp, Refused, Visitor

from faceid.backup import Backup
from faceid.store import DATABASE_FILE, TuneStore
from faceid.web.accounts import can_log_in

ROOT = Path(__file__).parents[1]
PATIENCE = 180  # seconds; never waited for where things go well
TITLE = "Zanzibar Quartermaine"


@pytest.fixture(scope="module")
def hub():
    with serve_accounts() as accounts:
        yield accounts


@pytest.fixture(scope="module")
def process(hub, tmp_path_factory):
    """app.py as the Hub starts it, and the file it prints to."""
    folder = tmp_path_factory.mktemp("space")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    environ = os.environ | {
        "SPACE_ID": "ada/demo", "SYSTEM": "spaces", "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port),
        "OAUTH_CLIENT_ID": CLIENT_ID, "OAUTH_CLIENT_SECRET": CLIENT_SECRET, "OAUTH_SCOPES": "openid profile",
        "OPENID_PROVIDER_URL": hub.endpoint, "HF_ENDPOINT": hub.endpoint, "GRADIO_ANALYTICS_ENABLED": "False",
        "FACEID_DATA_DIR": str(folder / "data"), "FACEID_BACKUP_DIR": str(folder / "away"),
        "FACEID_FACE_PACK": "offline", "TMPDIR": str(folder),
    }  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environ, stdout=log, stderr=log)
        process.url = f"http://127.0.0.1:{port}"
        process.folder = folder
        yield process
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def app(process):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            config = httpx.get(f"{process.url}/config").json()
            break
        except httpx.TransportError:
            assert time.monotonic() < end, (process.folder / "log").read_text()
            assert process.poll() is None, (process.folder / "log").read_text()
            time.sleep(0.1)
    people = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "people")
    shown = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "tunes")
    refresh = next(d["id"] for d in config["dependencies"] if d["outputs"][:2] == [people, shown])
    return PublicApp(process.url, process.folder / "data", {"refresh": refresh})


@pytest.fixture(scope="module")
def by_token(app):
    """Ada with her token, as gradio_client sends it."""
    return Visitor(app, key=TOKEN_OF_ADA)


@pytest.fixture(scope="module")
def tune(by_token, astronaut_path):
    end, made = time.monotonic() + PATIENCE, None
    while made is None and time.monotonic() < end:
        with suppress(Refused):  # the models are still being loaded
            made = by_token.create(astronaut_path, TITLE)
    return made


@pytest.fixture(scope="module")
def cookie(app):
    """What Ada's browser has after she logged in."""
    started = httpx.get(f"{app.url}/login/huggingface")
    agreed = httpx.get(started.headers["location"])
    back = urlsplit(agreed.headers["location"])
    assert back.path == "/login/callback"
    sent = {"Cookie": session_of(started)}
    return session_of(httpx.get(f"{app.url}{back.path}?{back.query}", headers=sent))


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


def test_what_login_needs_may_be_missing(caplog):
    assert can_log_in()
    assert not can_log_in(lambda name: None)
    assert "authlib and itsdangerous is not installed" in caplog.text
    script = (
        "import sys; sys.modules.update(authlib=None, itsdangerous=None); import gradio as gr\n"
        "from types import SimpleNamespace as N\n"
        "from faceid.base_models import find_base_model as f\n"
        "from faceid.web.owners import Owners; from faceid.web.ui import build_page\n"
        "studio = N(loaded_models=(f('fast'),), measures_likeness=False, is_ready=True)\n"
        "notices = N(status=lambda: '', licences=lambda: '')\n"
        "page = build_page(studio, Owners(secret=b's', local=False, login=False), notices)\n"
        "page.launch(prevent_thread_lock=True, quiet=True); page.close()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_killed_it_leaves_a_backup_with_her_tune_and_nothing_secret_in_its_log(
    process, app, by_token, tune, astronaut_path, tmp_path
):
    gone = by_token.create(astronaut_path, "Gone")
    by_token.call("delete_tune", {"tune_id": gone["id"]})
    process.kill()
    process.wait()
    log = (process.folder / "log").read_text()
    for word in (TOKEN_OF_ADA, TITLE, CLIENT_SECRET, ADA):
        assert word not in log, word
    with Backup(tmp_path / DATABASE_FILE, process.folder / "away").path.open("rb") as file:
        assert TOKEN_OF_ADA.encode() not in file.read()
    restored = Backup(tmp_path / DATABASE_FILE, process.folder / "away")
    assert restored.restore_if_empty()
    restored.close()
    with closing(TuneStore.open(tmp_path)) as store, closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        ((owner, tune_id),) = connection.execute("SELECT owner, id FROM tunes").fetchall()
        assert tune_id == tune["id"]
        assert store.photos(owner, tune_id)[0].original == astronaut_path.read_bytes()
