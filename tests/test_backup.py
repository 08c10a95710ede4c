"""Backups: consistent, replaced after a deletion, restored from, and never a damaged one."""

import sqlite3
import threading
from contextlib import closing

import pytest
from tunes_kept import KEY, MARKER, make_photo, make_tokens

from faceid.backup import Backup
from faceid.domain import Prompt, Tune
from faceid.errors import SetupError
from faceid.store import TuneStore

SECONDS = 120  # only ever waited for by a test that fails


@pytest.fixture
def local(tmp_path):
    return tmp_path / "local"


@pytest.fixture
def away(tmp_path):
    return tmp_path / "away"


@pytest.fixture
def backup(local, away):
    backup = Backup(local / "tunes.sqlite3", away, interval=3600)
    assert not backup.restore_if_empty()
    yield backup
    backup.close()


@pytest.fixture
def store(local, backup):
    store = TuneStore.open(local)
    yield store
    store.close()


def add(store, title="Ada", marker=MARKER) -> Tune:
    tune = Tune(id=0, owner="ada", title=title, name="woman")
    return store.add_tune(tune, [make_photo(1, marker=marker)], {KEY: make_tokens(1)})[0]


def titles(store) -> list[str]:
    return [tune.title for tune in store.list_tunes("ada")]


def test_what_was_backed_up_is_there_after_the_local_folder_is_lost(store, backup, away, tmp_path):
    tune = add(store)
    prompt = store.add_prompt(Prompt(id=0, owner="ada", text="x", base_model="fast", tune_ids=(tune.id,)))
    store.add_picture(prompt.id, 0, 0, b"PNG")
    backup.write()
    elsewhere = tmp_path / "another machine"
    assert Backup(elsewhere / "tunes.sqlite3", away).restore_if_empty()
    with closing(TuneStore.open(elsewhere)) as restored:
        assert restored.get_tune("ada", tune.id) == tune
        assert restored.photos("ada", tune.id)[0].original == store.photos("ada", tune.id)[0].original
        assert restored.get_prompt("ada", prompt.id).pictures == ()  # pictures are not in a backup
    with closing(sqlite3.connect(elsewhere / "tunes.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_backup_is_written_beside_an_unfinished_transaction_without_it(store, backup, local, tmp_path):
    add(store)
    with closing(sqlite3.connect(local / "tunes.sqlite3", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE tunes SET title = 'unfinished'")
        backup.write()
        writer.execute("ROLLBACK")
    with closing(sqlite3.connect(backup.path)) as connection:
        assert connection.execute("SELECT title FROM tunes").fetchall() == [("Ada",)]


def test_a_local_database_is_never_overwritten(store, backup):
    backup.write()
    add(store)
    assert not backup.restore_if_empty()
    assert titles(store) == ["Ada"]


def test_a_log_without_its_database_is_not_read_into_the_restored_one(store, backup, local):
    add(store)
    backup.write()
    store.close()
    (local / "tunes.sqlite3").unlink()
    (local / "tunes.sqlite3-wal").write_bytes(b"of another database")
    assert backup.restore_if_empty()
    assert not (local / "tunes.sqlite3-wal").exists()
    with closing(TuneStore.open(local)) as restored:
        assert titles(restored) == ["Ada"]


def test_one_file_is_kept_and_nothing_is_left_beside_it(store, backup, local, away):
    for title in ("one", "two"):
        add(store, title)
        backup.write()
    assert [path.name for path in away.iterdir()] == ["tunes.sqlite3"]
    assert oct(backup.path.stat().st_mode & 0o777) == "0o600"
    assert not list(local.glob("*.part"))


def test_what_is_deleted_is_gone_from_the_backup_too(store, backup, local, away):
    tune, stays = add(store), add(store, "stays", marker=b"another face ")
    backup.write()
    assert MARKER in backup.path.read_bytes()
    store.delete_tune("ada", tune.id)
    backup.replace_now()
    for folder in (local, away):
        assert not [path.name for path in folder.rglob("*") if path.is_file() and MARKER in path.read_bytes()]
    with closing(sqlite3.connect(backup.path)) as connection:
        assert connection.execute("SELECT id FROM tunes").fetchall() == [(stays.id,)]


def test_drafts_of_a_process_that_was_killed_are_removed_at_the_start(local, away):
    drafts = [folder / "tunes.sqlite3.0a1b2c3d.part" for folder in (local, away)]
    for draft in drafts:
        draft.parent.mkdir()
        draft.write_bytes(MARKER)
    Backup(local / "tunes.sqlite3", away).restore_if_empty()
    assert not any(draft.exists() for draft in drafts)


@pytest.mark.parametrize("damage", ["not a database", "cut", "torn", "another database"])
def test_a_damaged_backup_is_refused_by_name(store, backup, local, away, damage):
    add(store)
    backup.write()
    store.close()
    (local / "tunes.sqlite3").unlink()
    whole = backup.path.read_bytes()
    if damage == "another database":
        backup.path.unlink()
        with closing(sqlite3.connect(backup.path)) as connection:
            connection.execute("CREATE TABLE recipes (id)")
    else:
        middle = len(whole) // 2
        torn = whole[:4096] + bytes(range(256)) * 64 + whole[4096 + 256 * 64 :]
        backup.path.write_bytes({"not a database": b"?" * 5000, "cut": whole[:middle], "torn": torn}[damage])
    with pytest.raises(SetupError, match=r"away/tunes\.sqlite3 is damaged .* move it away"):
        backup.restore_if_empty()
    assert list(local.glob("tunes*")) == []


def test_a_touch_is_followed_by_one_backup(local, away):
    backup = Backup(local / "tunes.sqlite3", away, interval=0.01)
    backup.restore_if_empty()
    with closing(TuneStore.open(local)) as store:
        tune = add(store)
        for _ in range(5):
            backup.touch()
        assert backup.written.wait(SECONDS)
        with closing(sqlite3.connect(backup.path)) as connection:
            assert connection.execute("SELECT id FROM tunes").fetchall() == [(tune.id,)]
        backup.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "faceid-backup"]


def test_a_deletion_that_missed_its_backup_is_made_up_for_after_the_start(store, backup, local, away):
    tune = add(store)
    backup.write()
    store.delete_tune("ada", tune.id)  # and here the process is killed
    started_again = Backup(local / "tunes.sqlite3", away, interval=0.01)
    assert not started_again.restore_if_empty()
    assert started_again.written.wait(SECONDS)
    assert MARKER not in backup.path.read_bytes()
    started_again.close()


def test_closing_writes_what_has_changed_and_only_then(store, backup):
    backup.close()
    assert not backup.path.exists()
    add(store)
    backup.touch()
    backup.close()
    assert MARKER in backup.path.read_bytes()


def test_a_backup_that_cannot_be_replaced_after_a_deletion_is_said_and_tried_again(local, away):
    backup = Backup(local / "tunes.sqlite3", away, interval=0.01)
    backup.restore_if_empty()
    with closing(TuneStore.open(local)) as store:
        tune = add(store)
        backup.write()
        lost = away.rename(away.with_name("unmounted"))
        store.delete_tune("ada", tune.id)
        with pytest.raises(SetupError, match="not yet from the backup"):
            backup.replace_now()
        assert not backup.written.is_set()
        lost.rename(away)
        assert backup.written.wait(SECONDS)
        assert MARKER not in backup.path.read_bytes()
        backup.close()
