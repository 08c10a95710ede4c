"""What the store promises when the disk is full, a process is killed, or others write too: whole or nothing."""

import multiprocessing
import os
import random
import resource
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from stored import ROOT, SECONDS, add, add_prompt, files_with, run_alone
from tunes_kept import KEY, MARKER, PHOTOS, make_photo

from faceid.errors import SetupError, StorageFull
from faceid.store import TuneStore

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
    assert run_alone(fill_pictures, folder).returncode == 0
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
