"""What the store promises: whole or nothing, nobody else's, and gone when deleted."""

import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tunes_kept import KEY, MARKER, PHOTOS, make_photo, make_tokens

from faceid.domain import TUNE_LIFETIME, IdentityKey, Prompt, Tune, now
from faceid.errors import NotFound, SetupError, StorageFull
from faceid.ids import new_id
from faceid.store import TuneStore

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120  # only ever waited for by a test that fails


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "faceid"


@pytest.fixture
def store(folder):
    store = TuneStore.open(folder)
    yield store
    store.close()


def make_tune(**fields) -> Tune:
    return Tune(**({"id": 0, "owner": "ada", "title": "Ada", "name": "woman"} | fields))


def add(store, photos=None, **fields) -> Tune:
    return store.add_tune(make_tune(**fields), photos or [make_photo(1)], {KEY: make_tokens(1)})[0]


def make_prompt(**fields) -> Prompt:
    return Prompt(**({"id": 0, "owner": "ada", "text": "a portrait", "base_model": "fast"} | fields))


def add_prompt(store, *tunes, **fields) -> Prompt:
    return store.add_prompt(make_prompt(**{"tune_ids": tuple(t.id for t in tunes)} | fields))


def files_with(folder: Path, *markers: bytes) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in found if any(marker in path.read_bytes() for marker in markers)]


def run_here(function: str, folder: Path) -> subprocess.CompletedProcess:
    """Run a function of this file in a process of its own; what it returns is the exit status."""
    program = f"import sys, pathlib, test_store; sys.exit(test_store.{function}(pathlib.Path(sys.argv[1])))"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run([sys.executable, "-c", program, str(folder)], env=os.environ | {"PYTHONPATH": paths})


# Tunes


def test_everything_of_a_tune_comes_back_after_a_restart(folder):
    tune = make_tune(
        token="sks",
        branch="fast",
        base_tune_id=1504944,
        callback="https://example.org/done",
        is_api=True,
        characteristics={"hair": "grün"},
        options={"steps": None, "face_crop": True},
        consent_at=now(),
        consent_route="api",
    )
    photos = [make_photo(2), make_photo(1)]
    with closing(TuneStore.open(folder)) as store:
        tune, created = store.add_tune(tune, photos, {KEY: make_tokens(5)})
        assert created
    with closing(TuneStore.open(folder)) as store:
        assert store.get_tune("ada", tune.id) == tune
        assert tune.num_photos == 2
        assert tune.expires_at - tune.created_at == pytest.approx(TUNE_LIFETIME, abs=timedelta(seconds=1))
        kept = store.photos("ada", tune.id)
        assert [(p.sha256, p.original, p.warnings) for p in kept] == [
            (p.sha256, p.original, p.warnings) for p in photos
        ]
        assert store.thumbnail("ada", tune.id) == photos[0].thumbnail
        assert kept[0].vectors["offline"].dtype == np.float32
        np.testing.assert_array_equal(kept[0].vectors["offline"], photos[0].vectors["offline"])
        tokens = store.tokens("ada", tune.id, KEY)
        assert tokens.dtype == np.float16
        np.testing.assert_array_equal(tokens, make_tokens(5))


def test_photos_need_not_be_kept(store):
    tune = add(store, [replace(make_photo(1), original=None)])
    assert store.photos("ada", tune.id)[0].original is None


def test_the_same_owner_title_and_photos_are_the_existing_tune(store):
    one, two, three = (make_photo(i) for i in (1, 2, 3))
    tune = add(store, [one, two])
    again, created = store.add_tune(make_tune(name="man"), [two, one], {})
    assert (again, created) == (tune, False)
    assert store.find_tune("ada", "Ada", [two.sha256, one.sha256]) == tune
    for other in ({"photos": [one, three]}, {"photos": [one]}, {"title": "ada"}, {"owner": "bob"}):
        assert add(store, **({"photos": [one, two]} | other)).id != tune.id
    assert store.find_tune("ada", "Ada", [three.sha256]) is None
    assert store.find_tune("bob", "ada", None) is None


def test_where_titles_decide_other_photos_do_not_matter(store):
    tune = add(store)
    again, created = store.add_tune(make_tune(), [make_photo(2)], {}, titles_decide=True)
    assert (again, created) == (tune, False)
    assert store.find_tune("ada", "Ada", None) == tune


def test_a_tune_that_expired_is_not_the_existing_one(store):
    old = add(store, expires_at=now())
    assert store.find_tune("ada", "Ada", None) is None
    assert add(store).id != old.id


def test_an_id_that_is_taken_is_replaced(store):
    tune = add(store, title="one", id=77)
    assert tune.id == 77
    assert add(store, title="two", id=77).id > 2**22
    prompt = add_prompt(store, id=5)
    assert (prompt.id, add_prompt(store, id=5).id > 2**22) == (5, True)


def test_a_foreign_an_expired_and_an_unknown_tune_give_the_same_error(store):
    foreign, expired = add(store, owner="bob"), add(store, expires_at=now())
    calls = [
        lambda i: store.get_tune("ada", i),
        lambda i: store.update_tune("ada", i, title="mine"),
        lambda i: store.delete_tune("ada", i),
        lambda i: store.photos("ada", i),
        lambda i: store.thumbnail("ada", i),
        lambda i: store.tokens("ada", i, KEY),
        lambda i: store.add_tokens("ada", i, KEY, make_tokens(1)),
        lambda i: add_prompt(store, tune_ids=(i,)),
    ]
    for call in calls:
        messages = set()
        for tune_id in (foreign.id, expired.id, 12345):
            with pytest.raises(NotFound) as error:
                call(tune_id)
            messages.add(str(error.value).replace(str(tune_id), "ID"))
        assert len(messages) == 1
    assert store.get_tune("bob", foreign.id).title == "Ada"
    assert store.list_tunes("ada") == []


def test_tunes_are_listed_newest_first_page_by_page(store):
    ids = [add(store, id=i, title=f"tune {i}").id for i in (10, 30, 20)]
    add(store, id=25, owner="bob")
    assert ids == [10, 30, 20]

    def listed(**kw):
        return [tune.id for tune in store.list_tunes("ada", **kw)]

    assert listed() == [30, 20, 10]
    assert listed(limit=2) == [30, 20]
    assert listed(limit=2, offset=1) == [20, 10]
    assert listed(before_id=30, limit=1) == [20]
    assert listed(before_id=10) == []


def test_tunes_are_filtered(store):
    add(store, id=1, title="Ärztin 100%", name="woman", branch="flux1")
    add(store, id=2, title="doctor", name="man", branch="fast")

    def listed(**kw):
        return [tune.id for tune in store.list_tunes("ada", **kw)]

    assert listed(title="äRZT") == [1]
    assert listed(title="0%") == [1]
    assert listed(title="d%r") == []
    assert listed(names=("man", "boy")) == [2]
    assert listed(branch="fast", model_type="faceid") == [2]
    assert listed(model_type="lora") == []


def test_an_update_changes_what_is_given(store):
    tune = add(store, created_at=datetime(2026, 1, 1, tzinfo=UTC), updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    changed = store.update_tune("ada", tune.id, title="Ada L.", characteristics={"eyes": "grey"})
    assert (changed.title, changed.name, changed.characteristics) == ("Ada L.", "woman", {"eyes": "grey"})
    assert changed.updated_at > tune.updated_at
    assert changed.created_at == tune.created_at
    assert store.get_tune("ada", tune.id) == changed


def test_tokens_belong_to_an_adapter_and_a_face_pack(store):
    tune = add(store)
    newer = IdentityKey("pulid-fast@2", "offline")
    assert store.tokens("ada", tune.id, newer) is None
    for number in (2, 3):  # the second time in the place of the first
        store.add_tokens("ada", tune.id, newer, make_tokens(number))
    assert store.tokens("ada", tune.id, newer)[0, 0, 0] == 3
    assert store.tokens("ada", tune.id, KEY)[0, 0, 0] == 1


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
    died = run_here("die_before_the_log_is_emptied", folder)
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


# A full disk


@pytest.mark.parametrize(("size", "max_pages"), [(100_000, 120), (2_000_000, 1000)])
def test_a_full_database_says_so_and_nothing_is_half_written(folder, size, max_pages):
    """The larger transaction spills into the log before it fails; nothing of it may stay there."""
    url, pictures = f"sqlite:///{folder}/tunes.sqlite3", folder / "pictures"
    with closing(TuneStore(url, pictures_dir=pictures, max_pages=max_pages)) as store:
        small = add(store, [make_photo(1, marker=b"fits ")])
        with pytest.raises(StorageFull, match="nothing was changed"):
            add(store, [make_photo(i, size=size) for i in range(3)], title="large")
        assert store.list_tunes("ada") == [small]
        assert files_with(folder, MARKER) == []
        store.delete_tune("ada", small.id)
        assert add(store, [make_photo(1)]).num_photos == 1  # what was freed can be used


def test_a_disk_too_full_for_a_picture_says_so_and_leaves_no_file(folder):
    assert run_here("fill_pictures", folder).returncode == 0
    assert list((folder / "pictures").iterdir()) == []


def fill_pictures(folder: Path) -> str | int:
    """In a process of its own: no file may grow past 1 MiB, and a picture of 2 MiB is to be kept."""
    store = TuneStore.open(folder)
    prompt = add_prompt(store)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    try:
        store.add_picture(prompt.id, 0, 0, bytes(2**21))
    except StorageFull:
        return 0 if store.get_prompt("ada", prompt.id).pictures == () else "the row came before the file"
    return "no error"


def test_a_file_that_is_no_database_is_refused_by_name(folder):
    folder.mkdir()
    (folder / "tunes.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(SetupError, match=r"tunes\.sqlite3 is damaged"):
        TuneStore.open(folder)
    with pytest.raises(SetupError, match="path of a file"):
        TuneStore("sqlite://", pictures_dir=folder / "pictures")


# Crashes and company


def test_a_writer_killed_at_any_moment_leaves_whole_tunes(folder):
    moments = random.Random(17)
    numbers = []
    for _ in range(6):
        first = numbers[-1] + 1000 if numbers else 0  # the one that was cut off may be in
        command = [sys.executable, ROOT / "tests" / "tunes_kept.py", folder, str(first)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        ) as writer:
            numbers += [int(writer.stdout.readline()) for _ in range(moments.randint(1, 4))]
            sum(range(moments.randint(0, 400_000)))  # a part of a transaction, more or less
            writer.kill()
            numbers += [int(line) for line in writer.stdout.read().splitlines()]
        with closing(TuneStore.open(folder)) as store:
            check_whole(store, numbers)
        with closing(sqlite3.connect(folder / "tunes.sqlite3")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check_whole(store, numbers: list[int]) -> None:
    """Every tune that was told to be in is there, and every tune that is there is whole."""
    tunes = store.list_tunes("owner", limit=1000)
    assert {f"tune {number}" for number in numbers} <= {tune.title for tune in tunes}
    for tune in tunes:
        photos = store.photos("owner", tune.id)
        assert [photo.sha256 for photo in photos] == [make_photo(i, size=200_000).sha256 for i in range(PHOTOS)]
        assert [photo.vectors["offline"][0] for photo in photos] == list(range(PHOTOS))
        assert store.tokens("owner", tune.id, KEY)[0, 0, 0] == int(tune.title.split()[1])


def add_the_same(folder: Path, start, results) -> None:
    start.wait()
    with closing(TuneStore.open(folder)) as store:
        results.put([add(store, title=f"tune {number}").id for number in range(10)])


def test_two_processes_on_one_file_agree_on_what_exists(folder):
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Barrier(3), spawn.Queue()
    writers = [spawn.Process(target=add_the_same, args=(folder, start, results)) for _ in range(2)]
    for writer in writers:
        writer.start()
    start.wait(SECONDS)  # then both make the database, too
    one, other = (results.get(timeout=SECONDS) for _ in writers)
    for writer in writers:
        writer.join(SECONDS)
    assert one == other
    with closing(TuneStore.open(folder)) as store:
        assert len(store.list_tunes("ada")) == 10


def test_threads_share_a_store(store):
    start = threading.Barrier(8, timeout=SECONDS)
    ids = []

    def work(number: int) -> None:
        start.wait()
        ids.append(add(store, title=f"tune {number % 2}").id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert len(ids) == 8
    assert len(set(ids)) == 2


# Ids


def test_ids_grow_with_time_and_stay_exact_in_a_double():
    moment = datetime(2026, 5, 4, tzinfo=UTC)
    assert new_id(moment) < new_id(moment + timedelta(seconds=1))
    assert new_id(moment) >> 22 == (moment - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds()
    assert new_id(datetime(2093, 1, 1, tzinfo=UTC)) < 2**53
    assert len({new_id(moment) for _ in range(100)}) > 95
