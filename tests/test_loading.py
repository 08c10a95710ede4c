import subprocess
import sys
import threading
from pathlib import Path

import pytest

from faceid.base_models import find_base_model
from faceid.cuda import find_driver, has_cuda
from faceid.domain import PromptFields, TuneFields
from faceid.errors import NotReady, SetupError, Unavailable
from faceid.loading import Loading, Models
from faceid.web.notices import Notices

ROOT = Path(__file__).parents[1]
FAST = [find_base_model("fast")]


def test_who_needs_the_models_waits_for_them(analyzer):
    loading, models, answers = Loading(), Models(analyzer, {}), []
    waiting = threading.Thread(target=lambda: answers.append(loading.wait()))
    waiting.start()
    loading.finish(models)
    waiting.join(timeout=10)
    assert answers == [models]
    assert loading.done


def test_nobody_waits_for_ever():
    loading = Loading(patience=0)
    with pytest.raises(NotReady, match="still being loaded") as refusal:
        loading.wait()
    assert refusal.value.retry_after > 0
    assert not loading.done


def test_who_waits_is_told_why_the_models_will_not_come():
    loading = Loading()
    loading.fail(SetupError("accept the licence"))
    with pytest.raises(Unavailable, match="could not be loaded: accept the licence"):
        loading.wait()


def test_a_studio_that_is_not_ready_lists_and_refuses(make_studio, tune, astronaut):
    studio = make_studio(loading=Loading(patience=0))
    assert not studio.is_ready
    assert studio.list_tunes("me") == [tune]
    with pytest.raises(NotReady):
        studio.generate("me", PromptFields("a woman"))
    with pytest.raises(NotReady):
        studio.create_tune("me", [astronaut], TuneFields("Another", "woman"))
    assert studio.create_tune("me", [astronaut], TuneFields("Eileen", "woman")).tune == tune
    studio.delete_tune("me", tune.id)
    assert studio.list_tunes("me") == []


def test_the_notices_say_what_is_known(face_pack):
    notices = Notices(FAST)
    assert notices.status().startswith("Loading **")
    assert face_pack.licence not in notices.licences()
    notices.know(face_pack, None)
    assert notices.status().startswith("Drawing with **")
    assert face_pack.licence in notices.licences()


def test_torch_is_not_asked_where_there_is_no_driver():
    script = (
        "import sys; from faceid.cuda import has_cuda;"
        "print(has_cuda(zero_gpu=False, has_driver=lambda: False), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    "asked", [{"zero_gpu": True, "has_driver": lambda: False}, {"zero_gpu": False, "has_driver": lambda: True}]
)
def test_torch_decides_where_there_may_be_a_device(asked):
    import torch

    assert has_cuda(**asked) == torch.cuda.is_available()


def test_a_driver_is_a_library_that_opens():
    assert not find_driver(["libno-such-driver.so.1"])
    assert find_driver([""]) or sys.platform == "win32"  # this program itself, for dlopen


def test_the_page_is_composed_without_an_engine():
    script = "import sys, app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"torch", "diffusers", "insightface", "onnxruntime"}.isdisjoint(loaded.split())
