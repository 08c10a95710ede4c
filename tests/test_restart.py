"""Prompts through a restart: none is lost, none is done twice, whenever the app dies."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Queue

import pytest
from PIL import Image
from prompts_kept import CALLBACK, ask, make_studio

from faceid.base_models import find_base_model
from faceid.domain import Prompt, PromptFields
from faceid.errors import Cancelled
from faceid.jobs import JobQueue
from faceid.lease import Lease
from faceid.loading import Loading, Models
from faceid.prompts import _new_prompt
from faceid.resuming import RESTARTED
from faceid.store import DATABASE_FILE, TuneStore

HERE = Path(__file__).parent
SECONDS = 30  # only ever waited for by a test that fails


@contextmanager
def another_process(folder: Path, *texts: str):
    """A process that draws prompts at the test's word; killed, if it lives, at the end."""
    command = [sys.executable, HERE / "prompts_kept.py", folder, *texts]
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def let_paint(process: subprocess.Popen, pictures: int) -> str:
    """Let it paint so many pictures; what it is about to paint then."""
    line = process.stdout.readline()
    for _ in range(pictures):
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stdout.readline()
    return line.strip()


class Restarted:
    """The app started again over a folder: what it painted, and whom it told, in their order."""

    def __init__(self, folder: Path, **given):
        self.store = TuneStore.open(folder)
        self.painted: list[str] = []
        self.told: Queue[Prompt] = Queue()
        self.jobs = JobQueue()
        self._redraw = given.pop("redraw", True)
        self.studio = make_studio(self.store, self._note, **{"jobs": self.jobs} | given)

    def _note(self, request, index):
        self.painted.append(f"{request.prompt} {index}")

    def resume(self, expected: int) -> list[Prompt]:
        """Take over, and wait until so many prompts have ended; as they were announced."""
        self.studio.resume(announce=self.told.put, redraw=self._redraw).join(SECONDS)
        return [self.told.get(timeout=SECONDS) for _ in range(expected)]

    def close(self):
        self.jobs.close()
        self.store.close()


@pytest.mark.parametrize("painted", [0, 1, 3, 4])
def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path, painted):
    with another_process(tmp_path, "alps", "beach") as process:
        let_paint(process, painted)
    half_done = painted // 3
    with closing(Restarted(tmp_path)) as app:
        ended = app.resume(2)
        assert [prompt.text for prompt in sorted(ended, key=lambda p: p.finished_at)] == ["alps", "beach"]
        again = ["alps", "beach"][half_done:]
        assert app.painted == [f"{text} {index}" for text in again for index in range(3)]
        prompts = app.store.list_prompts("me")
        for prompt in prompts:
            assert prompt.status == "done"
            assert [(p.index, p.seed) for p in prompt.pictures] == [(0, 7), (1, 8), (2, 9)]
            assert [Image.open(p.path).getpixel((0, 0))[0] for p in prompt.pictures] == [7, 8, 9]
        assert len(list((tmp_path / "pictures").iterdir())) == 6
    with closing(Restarted(tmp_path)) as later:
        later.resume(0)
        assert later.painted == []
        assert later.told.empty()


def test_what_another_living_process_draws_is_left_to_it(tmp_path):
    with another_process(tmp_path, "alps") as process:
        let_paint(process, 1)
        with closing(Restarted(tmp_path)) as second:
            second.resume(0)
            assert [p.status for p in second.store.list_prompts("me")] == ["processing"]
            process.kill()
            process.wait()
            (ended,) = second.resume(1)
            assert ended.status == "done"
    assert second.painted == ["alps 0", "alps 1", "alps 2"]


def test_a_shutdown_in_order_leaves_prompts_to_the_next_start(tmp_path):
    begun = Queue()
    with closing(TuneStore.open(tmp_path)) as store, closing(JobQueue()) as jobs:
        studio = make_studio(store, lambda request, index: begun.put(index), jobs=jobs)
        alps, beach = ask(studio, "alps", num_images=8, steps=50), ask(studio, "beach")
        begun.get(timeout=SECONDS)
        jobs.close()
        left = [store.get_prompt("me", prompt.id) for prompt in (alps, beach)]
        assert {prompt.status for prompt in left} <= {"queued", "processing", "done"}  # none of them cancelled
    with closing(Restarted(tmp_path)) as app:
        assert {prompt.id for prompt in app.resume(2)} == {alps.id, beach.id}
        assert {prompt.status for prompt in app.store.list_prompts("me")} == {"done"}
        assert {line.split()[0] for line in app.painted} <= {"alps", "beach"}


def test_where_it_cannot_be_drawn_again_it_fails_and_says_so(tmp_path):
    with another_process(tmp_path, "alps", "beach") as process:
        let_paint(process, 1)
    with closing(Restarted(tmp_path, redraw=False)) as app:
        for prompt in app.resume(2):
            assert (prompt.status, prompt.user_error, prompt.callback) == ("failed", RESTARTED, CALLBACK)
        assert app.painted == []


def test_a_base_model_that_is_gone_fails_with_the_ones_there_are(tmp_path):
    with another_process(tmp_path, "alps") as process:
        let_paint(process, 0)
    with closing(Restarted(tmp_path, base_models=[find_base_model("flux1-schnell")])) as app:
        (prompt,) = app.resume(1)
        assert prompt.status == "failed"
        assert "Loaded: flux1-schnell" in prompt.user_error


def test_what_another_version_took_fails_and_the_next_is_drawn(tmp_path):
    with another_process(tmp_path, "alps", "beach") as process:
        let_paint(process, 0)
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as database, database:
        database.execute("UPDATE prompts SET request = json_set(request, '$.fields.glitter', 1) WHERE text = 'alps'")
    with closing(Restarted(tmp_path)) as app:
        states = {prompt.text: (prompt.status, prompt.user_error) for prompt in app.resume(2)}
    assert states["alps"] == ("failed", "glitter: another version of this app took it, and this one cannot. Ask anew.")
    assert states["beach"] == ("done", None)


def test_it_waits_for_the_models(tmp_path):
    with another_process(tmp_path, "alps") as process:
        let_paint(process, 0)
    loading = Loading(patience=0.01)
    with closing(Restarted(tmp_path, loading=loading)) as app:
        thread = app.studio.resume(announce=app.told.put)
        thread.join(0.1)
        assert thread.is_alive()
        loading.finish(Models(None, {}))
        assert app.told.get(timeout=SECONDS).status == "done"


def test_where_the_app_closes_again_at_once_the_next_start_takes_over(tmp_path):
    with another_process(tmp_path, "alps") as process:
        let_paint(process, 1)
    with closing(Restarted(tmp_path)) as short:
        short.jobs.close()
        short.resume(0)
        assert [prompt.status for prompt in short.store.list_prompts("me")] == ["queued"]
    with closing(Restarted(tmp_path)) as app:
        assert [prompt.status for prompt in app.resume(1)] == ["done"]


def test_an_end_nobody_was_told_of_is_told_after_the_restart(tmp_path):
    with closing(TuneStore.open(tmp_path)) as store:
        studio = make_studio(store, lambda request, index: None)  # it never resumes, so it tells nobody
        prompt = ask(studio, "alps")
        list(studio._jobs_of_prompts[prompt.id].events())
    with closing(Restarted(tmp_path)) as app:
        (told,) = app.resume(1)
        assert (told.id, told.status, told.origin, len(told.pictures)) == (prompt.id, "done", "http://here", 3)
        assert app.painted == []


def test_one_that_is_cancelled_is_told_once_whether_it_waited_or_was_drawn(tmp_path):
    begun, release = threading.Event(), threading.Event()
    with closing(Restarted(tmp_path)) as app:

        def paint(request, index):
            begun.set()
            release.wait(SECONDS)

        studio = make_studio(app.store, paint, jobs=app.jobs)
        studio.resume(announce=app.told.put).join(SECONDS)
        drawn, waiting = ask(studio, "alps", seed=1), ask(studio, "beach", seed=2)
        jobs = [studio._jobs_of_prompts[prompt.id] for prompt in (drawn, waiting)]
        assert begun.wait(SECONDS)
        for prompt in (waiting, drawn):
            studio.cancel("me", prompt.id)
        release.set()
        for job in jobs:
            with pytest.raises(Cancelled):
                list(job.events())
        told = [app.told.get_nowait() for _ in range(app.told.qsize())]
        assert [(prompt.id, prompt.status) for prompt in told] == [
            (waiting.id, "cancelled"),
            (drawn.id, "cancelled"),
        ]


def test_more_than_the_queue_takes_is_queued_again(tmp_path):
    with closing(TuneStore.open(tmp_path)) as store:
        studio = make_studio(store, lambda request, index: None, jobs=JobQueue(max_waiting=5))
        studio._jobs.close()
        for number in range(8):
            plan = studio._plan("me", PromptFields(text=f"beach {number}", num_images=1, callback=CALLBACK))
            store.add_prompt(_new_prompt("me", plan))
    with closing(Restarted(tmp_path, jobs=JobQueue(max_waiting=2))) as app:
        assert {prompt.status for prompt in app.resume(8)} == {"done"}


def test_a_lease_is_held_while_its_process_lives(tmp_path):
    one, other = Lease(tmp_path), Lease(tmp_path)
    assert one.is_alive(one.token)
    assert one.is_alive(other.token)
    other.close()
    assert not one.is_alive(other.token)
    assert not one.is_alive(None)
    assert not one.is_alive("0123")
    assert [path.name for path in tmp_path.iterdir()] == [one.token]


def test_what_killed_processes_left_of_leases_is_removed(tmp_path):
    old, held, young = tmp_path / "old", Lease(tmp_path), tmp_path / "young"
    for path in (old, young):
        path.touch()
    for path in (old, tmp_path / held.token):
        os.utime(path, (1, 1))
    Lease(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert (tmp_path / held.token).exists()
