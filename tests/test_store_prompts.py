"""What the store keeps of prompts and pictures, and what goes when a tune is deleted."""

import os
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from stored import SECONDS, add, add_prompt, files_with, make_prompt, make_tune, run_alone
from tunes_kept import KEY, MARKER, make_photo, make_tokens

from faceid.domain import TUNE_LIFETIME, now
from faceid.errors import NotFound
from faceid.store import TuneStore

# Prompts and pictures


def test_a_prompt_and_its_pictures_come_back_after_a_restart(folder):
    with closing(TuneStore.open(folder)) as store:
        tune = add(store)
        prompt = add_prompt(store, tune, parameters={"w": 512, "notes": ["x"]})
        assert store.get_prompt("ada", prompt.id) == prompt
        store.start_prompt(prompt.id)
        assert store.get_prompt("ada", prompt.id).status == "processing"
        second, first = (store.add_picture(prompt.id, i, 2**32 - 1 + i, b"PNG %d" % i) for i in (1, 0))
        store.finish_prompt(prompt.id)
    with closing(TuneStore.open(folder)) as store:
        done = store.get_prompt("ada", prompt.id)
        assert (done.status, done.pictures, done.parameters) == ("done", (first, second), prompt.parameters)
        assert done.tune_ids == (tune.id,)
        assert done.created_at <= done.started_at <= done.finished_at
    assert Path(second.path).read_bytes() == b"PNG 1"


def test_prompts_are_listed_newest_first_and_only_to_their_owner(store):
    for i in (10, 30, 20):
        add_prompt(store, id=i)
    add_prompt(store, id=25, owner="bob")
    assert [prompt.id for prompt in store.list_prompts("ada")] == [30, 20, 10]
    assert [prompt.id for prompt in store.list_prompts("ada", limit=1, offset=1)] == [20]
    assert [prompt.id for prompt in store.list_prompts("ada", before_id=20)] == [10]
    for call in (store.get_prompt, store.delete_prompt):
        with pytest.raises(NotFound):
            call("ada", 25)


def test_a_prompt_that_failed_says_why_and_one_that_is_done_stays_done(store):
    failed, done = add_prompt(store), add_prompt(store)
    with pytest.raises(ValueError, match="user_error"):
        store.fail_prompt(failed.id, " ")
    store.fail_prompt(failed.id, "Out of memory.")
    store.finish_prompt(done.id)
    store.fail_prompt(done.id, "Cancelled.", status="cancelled")
    store.fail_prompt(404, "Nobody reads this.")
    assert [(p.status, p.user_error) for p in (store.get_prompt("ada", i.id) for i in (failed, done))] == [
        ("failed", "Out of memory."),
        ("done", None),
    ]


def test_what_a_process_that_is_gone_did_not_finish_is_taken_over_once(folder):
    gone = TuneStore.open(folder)
    queued, running, done, told = (
        add_prompt(gone, id=i, callback="https://x" if i > 2 else None, request={"i": i}) for i in (1, 2, 3, 4)
    )
    ended = add_prompt(gone)
    gone.start_prompt(running.id)
    gone.add_picture(running.id, 0, 7, b"PNG of before")
    for prompt in (done, told, ended):
        gone.finish_prompt(prompt.id)
    gone.release_prompt(told.id)
    with closing(TuneStore.open(folder)) as store:
        assert store.take_over() == []  # it is alive
        gone.close()
        taken = store.take_over()
        assert [(p.id, p.status, p.request) for p in taken] == [
            (queued.id, "queued", {"i": 1}),
            (running.id, "queued", {"i": 2}),
            (done.id, "done", {}),
        ]
        assert taken[1].started_at is None
        assert store.take_over() == []
        with closing(TuneStore.open(folder)) as third:
            assert third.take_over() == []


def test_a_prompt_that_is_drawn_again_begins_without_pictures(store, folder):
    prompt = add_prompt(store)
    for _ in range(2):
        store.start_prompt(prompt.id)
        assert store.get_prompt("ada", prompt.id).pictures == ()
        kept = store.add_picture(prompt.id, 0, 7, b"PNG")
    assert store.get_prompt("ada", prompt.id).pictures == (kept,)
    assert len(list((folder / "pictures").iterdir())) == 1


def test_a_request_with_a_fingerprint_is_kept_once_unless_it_failed(store):
    first, added = store.add_prompt_once(make_prompt(fingerprint="f"))
    assert added
    assert store.add_prompt_once(make_prompt(fingerprint="f")) == (replace(first, request={}), False)
    assert store.add_prompt_once(make_prompt(fingerprint="f", owner="bob"))[1]
    assert store.add_prompt_once(make_prompt(fingerprint="g"))[1]
    assert all(store.add_prompt_once(make_prompt())[1] for _ in range(2))
    store.fail_prompt(first.id, "Out of memory.")
    assert store.add_prompt_once(make_prompt(fingerprint="f"))[1]


def test_prompts_by_base_model_and_by_tune(store):
    tune = add(store)
    named = add_prompt(store, tune, id=1)
    dev = add_prompt(store, id=2, base_model="flux1-dev")
    assert [p.id for p in store.list_prompts("ada", base_model="flux1-dev")] == [dev.id]
    assert [p.id for p in store.list_prompts("ada", tune_id=tune.id)] == [named.id]
    assert store.list_prompts("bob", tune_id=tune.id) == []


def test_a_picture_is_found_by_its_name_until_it_is_deleted(store):
    prompt = add_prompt(store)
    path = Path(store.add_picture(prompt.id, 0, 7, b"PNG").path)
    assert store.picture_path(path.name) == path
    store.delete_prompt("ada", prompt.id)
    for name in (path.name, "../tunes.sqlite3", ""):
        with pytest.raises(NotFound):
            store.picture_path(name)


def test_a_photo_is_found_by_its_place_while_it_is_kept(store):
    tune = store.add_tune(make_tune(), [make_photo(1), replace(make_photo(2), original=None)], {})[0]
    assert store.photo(tune.id, 0) == make_photo(1).original
    store.add_tune(make_tune(title="old", id=5, expires_at=now() - timedelta(days=1)), [make_photo(1)], {})
    for tune_id, position in ((tune.id, 1), (tune.id, 2), (tune.id + 1, 0), (5, 0)):
        with pytest.raises(NotFound):
            store.photo(tune_id, position)


def test_a_picture_for_a_prompt_deleted_meanwhile_is_not_kept(store, folder):
    tune = add(store)
    prompt = add_prompt(store, tune)
    store.delete_tune("ada", tune.id)
    for late in (store.start_prompt, store.finish_prompt, lambda i: store.add_picture(i, 0, 0, b"PNG")):
        with pytest.raises(NotFound):
            late(prompt.id)
    assert list((folder / "pictures").iterdir()) == []


def test_what_a_crash_leaves_of_pictures_is_swept_at_the_start(folder):
    with closing(TuneStore.open(folder)) as store:
        prompt = add_prompt(store)
        kept, lost = (store.add_picture(prompt.id, i, i, b"PNG") for i in range(2))
    Path(lost.path).unlink()
    for stray in ("stray.png", f"{Path(kept.path).name}.0a1b2c3d.part"):
        (folder / "pictures" / stray).write_bytes(b"PNG")
    with closing(TuneStore.open(folder)) as store:
        assert store.get_prompt("ada", prompt.id).pictures == (kept,)
    assert [path.name for path in (folder / "pictures").iterdir()] == [Path(kept.path).name]


def test_a_picture_that_is_already_there_leaves_no_second_file(store, folder):
    prompt = add_prompt(store)
    store.add_picture(prompt.id, 0, 0, b"PNG")
    with pytest.raises(Exception, match="UNIQUE"):
        store.add_picture(prompt.id, 0, 0, b"PNG again")
    assert len(list((folder / "pictures").iterdir())) == 1


def test_folders_and_files_are_for_their_user_alone(store, folder):
    prompt = add_prompt(store)
    store.add_picture(prompt.id, 0, 0, b"PNG")
    modes = {oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()}
    assert modes == {"0o600"}
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "pictures")] == ["0o700", "0o700"]


# Deletion


def test_a_deleted_tune_leaves_no_byte_in_any_file(store, folder):
    tokens, vector = make_tokens(0.3), np.full(128, 0.7, np.float32)
    photo = replace(make_photo(1, size=500_000), vectors={"offline": vector})
    tune = store.add_tune(make_tune(), [photo, make_photo(2)], {KEY: tokens})[0]
    prompt = add_prompt(store, tune, text="a secret wish")
    picture = store.add_picture(prompt.id, 0, 0, b"PNG of a person")
    other = add_prompt(store, text="stays")
    markers = (MARKER, tokens.tobytes()[:64], vector.tobytes()[:64], b"PNG of a person", b"a secret wish")
    assert len(files_with(folder, *markers)) >= 2
    store.delete_tune("ada", tune.id)
    assert files_with(folder, *markers) == []
    assert not Path(picture.path).exists()
    assert [p.id for p in store.list_prompts("ada")] == [other.id]


def test_a_deleted_prompt_takes_its_pictures_and_leaves_the_tune(store, folder):
    tune = add(store)
    prompt = add_prompt(store, tune, text="a secret wish")
    store.add_picture(prompt.id, 0, 0, b"PNG of a person")
    store.delete_prompt("ada", prompt.id)
    assert files_with(folder, b"a secret wish", b"PNG of a person") == []
    assert store.get_tune("ada", tune.id) == tune


def test_expired_tunes_are_deleted_whoever_they_belong_to(store, folder):
    soon = now() + timedelta(hours=1)
    mine, stays, others = add(store, id=1, expires_at=soon), add(store, id=2, title="B"), add(store, id=3, owner="bob")
    prompt = add_prompt(store, mine)
    assert store.delete_expired() == []
    assert store.delete_expired(soon) == [mine.id]
    assert store.delete_expired(soon + TUNE_LIFETIME) == [stays.id, others.id]
    assert files_with(folder, MARKER) == []
    with pytest.raises(NotFound):
        store.get_prompt("ada", prompt.id)


def test_the_log_is_emptied_once_a_reader_lets_go_of_it(store, folder):
    tune = add(store)
    with closing(sqlite3.connect(folder / "tunes.sqlite3", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tunes").fetchone()
        store.delete_tune("ada", tune.id)
        assert not store.database.erased.is_set()
        assert files_with(folder, MARKER)
        add(store, title="B", owner="bob", photos=[make_photo(1, marker=b"another face ")])  # nobody waits meanwhile
        reader.execute("COMMIT")
    assert store.database.erased.wait(SECONDS)
    assert files_with(folder, MARKER) == []


def test_a_log_left_by_a_process_that_died_is_emptied_at_the_start(folder):
    died = run_alone(die_before_the_log_is_emptied, folder)
    assert died.returncode == -signal.SIGKILL
    assert files_with(folder, MARKER)
    with closing(TuneStore.open(folder)):
        assert files_with(folder, MARKER) == []


def die_before_the_log_is_emptied(folder: Path) -> None:
    """In a process of its own: a reader holds the log while a tune is deleted, then the process is killed."""
    store = TuneStore.open(folder)
    tune = add(store)
    reader = sqlite3.connect(folder / "tunes.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM tunes").fetchone()
    store.delete_tune("ada", tune.id)
    os.kill(os.getpid(), signal.SIGKILL)
