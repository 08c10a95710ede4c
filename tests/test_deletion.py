"""What is deleted, or has expired, is in no file that the app wrote: not its photo, face, vectors, tokens, words or
pictures. What was backed up comes back, and what was deleted does not, whenever the app is killed.
"""

import os
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from visitors import PublicApp, Refused, Visitor, files

from faceid.backup import Backup
from faceid.domain import TUNE_LIFETIME, Prompt, TuneFields, now
from faceid.errors import StorageFull
from faceid.rounds import Rounds
from faceid.store import DATABASE_FILE, TuneStore
from faceid.web.uploads import KEPT_SECONDS, add_upload, sweep_uploads, upload_folder, uploads_full

PROMPT = "woman under a vermilion zeppelin, seen by "
PIECE, PIECES = 48, 24  # bytes of a piece, pieces of something long: any of them counts
PATIENCE = 60  # seconds; never waited for where things go well


@pytest.fixture
def app(public_app):
    return public_app


@pytest.fixture
def ada(app):
    return Visitor(app)


@pytest.fixture
def title():
    return f"Zanzibar Quartermaine {secrets.token_hex(8)}"


@pytest.fixture
def photo(tmp_path, astronaut_path) -> Path:
    """A photo whose bytes are nowhere else: the astronaut in a grain of its own."""
    path = tmp_path / "zanzibar.jpg"
    grain = np.random.default_rng().integers(0, 4, (512, 512, 3), np.uint8)
    Image.fromarray(np.asarray(Image.open(astronaut_path).convert("RGB")) // 4 * 4 + grain).save(path, quality=92)
    return path


def traces_of(app: PublicApp, photo: Path, title: str, tune_id: int) -> dict[str, bytes]:
    """What must not be found afterwards, by name, as the app keeps it now."""
    of_tune = {
        "the face": "SELECT thumbnail FROM photos",
        "the kept photo": "SELECT original FROM photos",
        "the vectors": "SELECT vector FROM vectors",
        "the tokens": "SELECT tokens FROM identities",
    }
    traces = {"the photo": photo.read_bytes(), "the title": title.encode(), "the prompt": f"{PROMPT}{title}".encode()}
    with closing(sqlite3.connect(app.folder / DATABASE_FILE)) as connection:
        for name, query in of_tune.items():
            for number, (value,) in enumerate(connection.execute(f"{query} WHERE tune_id = ?", [tune_id])):
                traces[f"{name} {number}"] = value
        drawn = "SELECT file FROM pictures JOIN prompt_tunes USING (prompt_id) WHERE tune_id = ?"
        for number, (file,) in enumerate(connection.execute(drawn, [tune_id]).fetchall()):
            traces[f"the picture {number}"] = (app.folder / "pictures" / file).read_bytes()
            traces[f"the picture's name {number}"] = file.encode()
    return traces


def found(app: PublicApp, traces: dict[str, bytes]) -> set[str]:
    """The names of the traces of which a piece is in a file of the app: its data, uploads, backup, temporary files."""
    pieces = {name: cut(content) for name, content in traces.items()}
    places = [path.read_bytes() for path in app.folder.parent.rglob("*") if path.is_file()]
    return {name for name, some in pieces.items() if any(piece in place for place in places for piece in some)}


def cut(content: bytes) -> list[bytes]:
    """Pieces from everywhere in it but its head, which others share."""
    if len(content) <= 4 * PIECE:
        return [content]
    return [content[at : at + PIECE] for at in range(len(content) // 4, len(content) - PIECE, len(content) // PIECES)]


def make_tune_and_picture(visitor: Visitor, photo: Path, title: str) -> int:
    tune = visitor.create(photo, title)
    visitor.call("generate", {"text": f"{tune['tag']} {PROMPT}{title}", "num_images": 1, "steps": 1})
    return tune["id"]


def wait_for(condition) -> bool:
    """Whether it comes true."""
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_deleted_tune_is_in_no_file(app, ada, photo, title, astronaut_path, caplog):
    tune_id = make_tune_and_picture(ada, photo, title)
    another = ada.create(astronaut_path, "another")["id"]
    ada.call("delete_tune", {"tune_id": another})  # now the backup has the first one
    traces = traces_of(app, photo, title, tune_id)
    assert {"the face 0", "the kept photo 0", "the vectors 0", "the tokens 0", "the picture 0"} <= set(traces)
    assert found(app, traces) == set(traces)  # it can be found while it is there
    backup = PublicApp(app.url, app.folder.parent / "backup" / "x", {})
    assert {"the photo", "the title", "the tokens 0"} <= found(backup, traces)
    ada.call("delete_tune", {"tune_id": tune_id})
    assert found(app, traces) == set()
    assert not [name for name in ("the title", "the prompt") if traces[name].decode() in caplog.text]


def test_a_reader_delays_the_erasing_and_does_not_prevent_it(app, ada, photo, title):
    tune_id = make_tune_and_picture(ada, photo, title)
    traces = traces_of(app, photo, title, tune_id)
    with closing(sqlite3.connect(app.folder / DATABASE_FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tunes").fetchone()
        ada.call("delete_tune", {"tune_id": tune_id})
        assert "the photo" in found(app, traces)  # in the log, which the reader holds
        with pytest.raises(Refused, match="There is no tune"):
            ada.call("get_tune", {"tune_id": tune_id})
    assert wait_for(lambda: found(app, traces) == set())


def test_an_expired_tune_is_gone_with_the_next_visit_of_anybody(app, ada, photo, title):
    tune_id = make_tune_and_picture(ada, photo, title)
    traces = traces_of(app, photo, title, tune_id)
    with closing(sqlite3.connect(app.folder / DATABASE_FILE)) as connection:
        connection.execute("UPDATE tunes SET expires_at = created_at WHERE id = ?", [tune_id])
        connection.commit()
    with pytest.raises(Refused, match="There is no tune"):
        ada.call("get_tune", {"tune_id": tune_id})
    Visitor(app).call("list_tunes", {})
    assert found(app, traces) == set()


def test_what_is_30_days_old_goes_by_itself(make_studio, title, astronaut, tmp_path):
    backup = Backup(tmp_path / "data" / DATABASE_FILE, tmp_path / "away", interval=0.01)
    backup.restore_if_empty()
    studio = make_studio(backup=backup)
    tune = studio.create_tune("me", [astronaut], TuneFields(title=title, name="woman")).tune
    store = studio._store
    store.add_prompt(Prompt(id=0, owner="me", text=PROMPT, base_model="fast"))  # it names nobody
    studio.delete_expired(now() + TUNE_LIFETIME - timedelta(minutes=1))
    assert studio.get_tune("me", tune.id)
    studio.delete_expired(now() + TUNE_LIFETIME)
    assert wait_for(backup.written.is_set)
    backup.close()
    assert store.list_prompts("me") == []
    app = PublicApp("", tmp_path / "data", {})
    words = {"the title": title.encode(), "the prompt": PROMPT.encode(), "the photo": astronaut.content}
    assert found(app, words) == set()


def test_photos_that_only_lay_on_the_page_go_when_it_is_left(app, ada, photo, astronaut_path):
    first, second = ada.upload(photo, astronaut_path)
    traces = {"the photo": photo.read_bytes()}
    ada.happen("look", [files(first, second)])
    assert found(app, traces) == {"the photo"}
    ada.happen("look", [files(second)])  # the first was taken off the list
    assert found(app, traces) == set()
    assert Path(second).exists()
    with httpx.stream("GET", f"{app.url}/gradio_api/heartbeat/{ada.session}", timeout=PATIENCE) as heartbeat:
        next(heartbeat.iter_lines())
    assert wait_for(lambda: not Path(second).exists())
    assert not Path(second).parent.exists()


@pytest.mark.parametrize("wrong", [{"consent": False}, {"name": "cat"}, {"owner_key": "short"}])
def test_photos_that_were_refused_go_too(app, ada, photo, title, wrong):
    (path,) = ada.upload(photo)
    fields = {"photos": files(path), "title": title, "owner_key": ada.key} | wrong
    with pytest.raises(Refused):
        ada.call("create_tune", fields, {})
    assert found(app, {"the photo": photo.read_bytes(), "the title": title.encode()}) == set()


def test_photos_that_nobody_asks_for_go_by_themselves(app, ada, photo):
    ada.upload(photo)
    left = app.uploads / "tmp1234"  # what Gradio left of a request that broke off
    left.write_bytes(photo.read_bytes())
    traces = {"the photo": photo.read_bytes()}
    sweep_uploads(moment=time.time() + KEPT_SECONDS - 60)
    assert found(app, traces) == {"the photo"}
    sweep_uploads(moment=time.time() + KEPT_SECONDS + 1)
    assert found(app, traces) == set()


def test_what_is_due_is_done_again_also_after_it_failed(caplog):
    done, often = [], threading.Event()

    def fail() -> None:
        done.append("failed")
        raise StorageFull("the disk, and a secret")

    def succeed() -> None:
        done.append("done")
        if len(done) >= 6:
            often.set()

    with closing(Rounds(fail, succeed, interval=0.001)):
        assert often.wait(PATIENCE)
    assert done[:4] == ["failed", "done", "failed", "done"]
    assert "fail failed, and is tried again: StorageFull" in caplog.text
    assert "secret" not in caplog.text


def test_uploads_of_all_together_are_bounded(app, astronaut):
    assert not uploads_full()
    path = Path(add_upload(astronaut))
    assert uploads_full(len(astronaut.content))
    path.unlink()
    assert upload_folder() == app.uploads.resolve()


@pytest.mark.parametrize("seed", range(4))
def test_whenever_it_is_killed_the_backup_has_what_was_safe_and_nothing_deleted(tmp_path, seed):
    folder, away = tmp_path / "local", tmp_path / "away"
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for life in range(2):  # the second lives on what was restored
        command = [sys.executable, str(Path(__file__).with_name("backed_up.py")), folder, away, f"{seed}{life}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
        lines = follow(process, until_safe=3, then=0.02 * seed)
        assert process.returncode == -9
        safe = lines[: len(lines) - lines[::-1].index("safe")]
        must = {line[1:] for line in safe if line[0] == "+"} - {line[1:] for line in lines if line[0] == "?"}
        must_not = {line[1:] for line in lines if line[0] == "-"}
        folder = tmp_path / f"empty {life}"
        restored = Backup(folder / DATABASE_FILE, away, interval=3600)
        assert restored.restore_if_empty()
        with closing(TuneStore.open(folder)) as store:
            there = {str(tune.id) for tune in store.list_tunes("owner", limit=10_000)}
            assert must <= there
            assert not must_not & there
            assert all(len(store.photos("owner", int(tune_id))) == 1 for tune_id in there)
        restored.close()


def follow(process: subprocess.Popen, *, until_safe: int, then: float) -> list[str]:
    """Its lines until it said `safe` so many times, and for `then` seconds more; then it is killed with -9."""
    lines, left = [], until_safe
    killer = threading.Timer(then, process.kill)
    try:
        for line in process.stdout:
            lines.append(line.strip())
            left -= lines[-1] == "safe"
            if left == 0 and killer.ident is None:
                killer.start()
    finally:
        process.kill()
        process.wait(PATIENCE)
        killer.cancel()
    return [line for line in lines if line == "safe" or line[1:].isdecimal()]
