"""What callbacks promise: told once, tried three times, kept through kill -9, gone with what they tell of."""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from far_server import FarServer, resolve
from sqlalchemy import func, select
from stored import files_with
from tunes_kept import KEY, make_photo, make_tokens

from faceid.callbacks import FIRST_WAIT, LEASE, TRIES, WAIT_GROWTH, Callbacks
from faceid.domain import Prompt, Tune
from faceid.errors import BadURL, StorageFull
from faceid.fetching import Fetcher
from faceid.schema import callbacks as table
from faceid.schema import metadata
from faceid.store import DATABASE_FILE, TuneStore

ROOT = Path(__file__).resolve().parent.parent
URL = "https://client.test/done?user=1"
MARKER = "the very words of a prompt"
SECONDS = 30  # only ever waited for by a test that fails


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = datetime(2026, 11, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, time: timedelta) -> None:
        self.now += time


class Receiver:
    """Takes what is posted; answers by the statuses or errors it was given, then by 200."""

    def __init__(self, *answers: int | Exception):
        self.answers = list(answers)
        self.posts: list[tuple[str, bytes, dict]] = []
        self.on_post = lambda: None

    def __call__(self, url, body, headers) -> int:
        self.posts.append((url, body, dict(headers)))
        self.on_post()
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def ids(self) -> list[int]:
        return [json.loads(body)["id"] for _, body, _ in self.posts]


@pytest.fixture
def clock():
    return Clock()


def add_tune(store, owner="ada", title="Ada") -> int:
    tune = Tune(id=0, owner=owner, title=title, name="woman")
    return store.add_tune(tune, [make_photo(1)], {KEY: make_tokens(1)})[0].id


def add_prompt(store, *tune_ids, owner="ada") -> int:
    prompt = Prompt(id=0, owner=owner, text="x", base_model="fast", tune_ids=tune_ids)
    return store.add_prompt(prompt).id


def waiting(store) -> int:
    with store.database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


# Delivery


def test_the_object_is_posted_once_and_forgotten(store, clock):
    receiver = Receiver()
    callbacks = Callbacks(store.database, receiver, clock=clock)
    body = {"id": add_tune(store), "title": "Zoë 🪞", "images": [], "eta": None}
    callbacks.announce("ada", URL, body)
    assert (callbacks.deliver_due(), callbacks.deliver_due(), waiting(store)) == (1, 0, 0)
    ((url, content, headers),) = receiver.posts
    assert (url, json.loads(content), headers) == (URL, body, {"Content-Type": "application/json"})


def test_the_signature_is_the_hmac_of_the_bytes_that_are_posted(store, clock):
    receiver = Receiver()
    callbacks = Callbacks(store.database, receiver, secret="s" * 20, clock=clock)
    callbacks.announce("ada", URL, {"id": add_tune(store), "title": "é"})
    callbacks.deliver_due()
    ((_, content, headers),) = receiver.posts
    assert headers["X-FaceID-Signature"] == f"sha256={hmac.new(b's' * 20, content, hashlib.sha256).hexdigest()}"


def test_three_tries_ever_further_apart_then_it_is_given_up(store, clock, caplog):
    receiver = Receiver(500, BadURL("callback: client.test cannot be reached.", field="callback"), 302)
    callbacks = Callbacks(store.database, receiver, clock=clock)
    callbacks.announce("ada", URL, {"id": add_tune(store), "text": MARKER})
    for wait in (FIRST_WAIT, FIRST_WAIT * WAIT_GROWTH):
        assert callbacks.deliver_due() == 1
        clock.advance(wait - timedelta(seconds=1))
        assert callbacks.deliver_due() == 0
        clock.advance(timedelta(seconds=1))
    assert (callbacks.deliver_due(), waiting(store), len(receiver.posts)) == (1, 0, TRIES)
    assert len({body for _, body, _ in receiver.posts}) == 1
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "answered with status 500",
        "callback: client.test cannot be reached.",
        "answered with status 302",
    ]
    assert MARKER not in caplog.text
    assert "user=1" not in caplog.text


@pytest.mark.parametrize("status", [200, 201, 204])
def test_any_2xx_is_a_delivery(store, clock, status):
    callbacks = Callbacks(store.database, Receiver(status), clock=clock)
    callbacks.announce("ada", URL, {"id": add_tune(store)})
    callbacks.deliver_due()
    assert waiting(store) == 0


def test_what_succeeds_at_last_is_not_tried_again(store, clock):
    receiver = Receiver(500)
    callbacks = Callbacks(store.database, receiver, clock=clock)
    callbacks.announce("ada", URL, {"id": add_tune(store)})
    callbacks.deliver_due()
    clock.advance(FIRST_WAIT)
    assert (callbacks.deliver_due(), waiting(store), len(receiver.posts)) == (1, 0, 2)


def test_a_fault_of_our_own_counts_as_a_try_and_leaves_the_others_alone(store, clock, caplog):
    receiver = Receiver(ZeroDivisionError(MARKER))
    callbacks = Callbacks(store.database, receiver, clock=clock)
    callbacks.announce("ada", URL, {"id": add_tune(store)})
    callbacks.announce("bob", URL, {"id": add_tune(store, "bob")})
    assert (callbacks.deliver_due(), waiting(store)) == (2, 1)
    assert "ZeroDivisionError" in caplog.text
    assert MARKER not in caplog.text


def test_announcing_again_what_still_waits_posts_it_once(store, clock):
    """As after a crash between the announcement and the note that it was made."""
    receiver = Receiver()
    callbacks = Callbacks(store.database, receiver, clock=clock)
    tune, prompt = add_tune(store), add_prompt(store)
    for _ in range(2):
        callbacks.announce("ada", URL, {"id": tune})
        callbacks.announce("ada", URL, {"id": prompt})
        callbacks.announce("ada", f"{URL}&other", {"id": tune})
    callbacks.deliver_due()
    assert sorted(receiver.ids) == sorted([tune, tune, prompt])


# Threads and processes


def test_threads_deliver_what_is_announced(store):
    posted = threading.Event()
    receiver = Receiver()
    receiver.on_post = posted.set
    with closing(Callbacks(store.database, receiver)) as callbacks:
        callbacks.start()
        callbacks.announce("ada", URL, {"id": add_tune(store)})
        assert posted.wait(SECONDS)
    assert (len(receiver.posts), waiting(store)) == (1, 0)


def test_closing_leaves_what_is_not_delivered(store):
    with closing(Callbacks(store.database, Receiver())) as callbacks:
        callbacks.announce("ada", URL, {"id": add_tune(store)})
    assert waiting(store) == 1


def test_what_is_under_way_is_nobody_elses(store, clock):
    receiver, other = Receiver(), Receiver()
    callbacks, elsewhere = (Callbacks(store.database, r, clock=clock) for r in (receiver, other))
    receiver.on_post = elsewhere.deliver_due
    callbacks.announce("ada", URL, {"id": add_tune(store)})
    assert callbacks.deliver_due() == 1
    assert (len(receiver.posts), other.posts) == (1, [])


def test_a_slow_receiver_of_one_owner_does_not_hold_up_another(store, clock):
    slow, other = Receiver(), Receiver()
    callbacks, meanwhile = (Callbacks(store.database, r, clock=clock) for r in (slow, other))
    mine = [add_tune(store, title=str(i)) for i in range(3)]
    bobs = add_tune(store, "bob")
    for tune in mine:
        callbacks.announce("ada", URL, {"id": tune})
    clock.advance(timedelta(seconds=1))
    callbacks.announce("bob", URL, {"id": bobs})
    slow.on_post = meanwhile.deliver_due  # while ada's first is under way
    assert callbacks.deliver_due() == 3
    assert other.ids == [bobs]
    assert sorted(slow.ids) == sorted(mine)


def test_those_of_a_process_that_was_killed_go_on_after_a_restart(tmp_path, clock):
    folder = tmp_path / "faceid"
    program = "import sys, pathlib, test_callbacks; test_callbacks.deliver_and_die(pathlib.Path(sys.argv[1]))"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    died = subprocess.run([sys.executable, "-c", program, str(folder)], env=os.environ | {"PYTHONPATH": paths})
    assert died.returncode == -signal.SIGKILL
    receiver = Receiver()
    with closing(TuneStore.open(folder)) as store:
        callbacks = Callbacks(store.database, receiver, clock=clock)
        clock.advance(timedelta(seconds=1))
        assert callbacks.deliver_due() == 1  # bob's, which the killed process had not begun
        clock.advance(LEASE)
        assert callbacks.deliver_due() == 1  # ada's, which it had
        assert waiting(store) == 0
    assert [json.loads(body)["title"] for _, body, _ in receiver.posts] == ["Bob", "Ada"]


def deliver_and_die(folder: Path) -> None:
    """In a process of its own: two callbacks, killed while the first is posted."""
    store = TuneStore.open(folder)
    clock = Clock()
    callbacks = Callbacks(store.database, lambda *_: os.kill(os.getpid(), signal.SIGKILL), clock=clock)
    callbacks.announce("ada", URL, {"id": add_tune(store), "title": "Ada"})
    clock.advance(timedelta(seconds=1))
    callbacks.announce("bob", URL, {"id": add_tune(store, "bob"), "title": "Bob"})
    callbacks.deliver_due()


def test_a_database_of_an_earlier_version_gets_the_table(tmp_path, clock):
    folder = tmp_path / "faceid"
    with closing(TuneStore.open(folder)) as store:
        tune = add_tune(store)
        with store.database.writing() as connection:
            table.drop(connection)
    with closing(TuneStore.open(folder)) as store:
        receiver = Receiver()
        callbacks = Callbacks(store.database, receiver, clock=clock)
        callbacks.announce("ada", URL, {"id": tune})
        assert callbacks.deliver_due() == 1


# Deletion


@pytest.mark.parametrize("delete", ["tune", "prompt"])
def test_nothing_outlives_what_it_tells_of(store, tmp_path, clock, delete):
    tune = add_tune(store)
    prompt = add_prompt(store, tune)
    receiver = Receiver(500)
    callbacks = Callbacks(store.database, receiver, clock=clock)
    callbacks.announce("ada", URL, {"id": prompt, "text": MARKER})
    callbacks.deliver_due()
    assert files_with(tmp_path, MARKER.encode())
    if delete == "tune":
        store.delete_tune("ada", tune)
    else:
        store.delete_prompt("ada", prompt)
    assert store.database.erased.wait(SECONDS)
    assert files_with(tmp_path, MARKER.encode()) == []
    clock.advance(timedelta(days=1))
    assert (callbacks.deliver_due(), len(receiver.posts)) == (0, 1)


def test_what_was_delivered_leaves_nothing_once_its_tune_is_deleted(store, tmp_path, clock):
    tune = add_tune(store)
    callbacks = Callbacks(store.database, Receiver(), clock=clock)
    callbacks.announce("ada", URL, {"id": tune, "title": MARKER})
    callbacks.deliver_due()
    store.delete_tune("ada", tune)
    assert store.database.erased.wait(SECONDS)
    assert files_with(tmp_path, MARKER.encode()) == []


def test_one_deleted_while_it_is_posted_stays_deleted(store, tmp_path, clock):
    tune = add_tune(store)
    receiver = Receiver(500)
    receiver.on_post = lambda: store.delete_tune("ada", tune)
    callbacks = Callbacks(store.database, receiver, clock=clock)
    callbacks.announce("ada", URL, {"id": tune, "title": MARKER})
    callbacks.deliver_due()
    assert waiting(store) == 0
    assert files_with(tmp_path, MARKER.encode()) == []


def test_what_is_deleted_unknown_or_anothers_is_announced_to_nobody(store, tmp_path, clock):
    tune, bobs = add_tune(store), add_tune(store, "bob")
    store.delete_tune("ada", tune)
    callbacks = Callbacks(store.database, Receiver(), clock=clock)
    for id in (tune, bobs, 5):
        callbacks.announce("ada", URL, {"id": id, "title": MARKER})
    assert waiting(store) == 0
    assert files_with(tmp_path, MARKER.encode()) == []


def test_a_full_disk_is_said(tmp_path, clock):
    folder = tmp_path / "faceid"
    folder.mkdir()
    with closing(
        TuneStore(f"sqlite:///{folder / DATABASE_FILE}", pictures_dir=folder / "pictures", max_pages=500)
    ) as s:
        callbacks = Callbacks(s.database, Receiver(), clock=clock)
        tune = add_tune(s)
        with pytest.raises(StorageFull):
            callbacks.announce("ada", URL, {"id": tune, "title": "x" * 5_000_000})
        assert waiting(s) == 0


def test_the_table_belongs_to_the_schema():
    """Else neither a backup nor another process would know it."""
    assert metadata.tables["callbacks"] is table
    assert {key.ondelete for key in table.foreign_keys} == {"CASCADE"}


# Over HTTP


def test_over_http_by_the_rules_for_strangers_addresses(store, clock, caplog):
    with FarServer().running() as far:
        far.answer("/done?user=1", b"x" * 100_000)
        far.redirect("/moved", "/done?user=1")
        fetcher = Fetcher(resolve=resolve, transport=far.transport)
        callbacks = Callbacks(store.database, fetcher.post, secret="s" * 20, clock=clock)
        urls = ["http://photos.test/done?user=1", "http://internal.test/done", "http://photos.test/moved"]
        for number, url in enumerate(urls):
            callbacks.announce("ada", url, {"id": add_tune(store, title=str(number))})
            callbacks.deliver_due()
    sent = {seen.url: seen for seen in far.seen}
    assert set(sent) == {"http://93.184.216.34/done?user=1", "http://93.184.216.34/moved"}
    done = sent["http://93.184.216.34/done?user=1"]
    assert done.headers["x-faceid-signature"] == f"sha256={hmac.new(b's' * 20, done.body, 'sha256').hexdigest()}"
    assert waiting(store) == 2
    assert "not public" in caplog.text
    assert "status 302" in caplog.text
