import asyncio
import os
import random
from contextlib import closing, nullcontext

import pytest

from faceid.bench.__main__ import group
from faceid.bench.figures import FIGURES
from faceid.bench.http_calls import (
    add_tunes,
    bare_route,
    measure_first_page,
    measure_get,
    measure_malformed,
    p95,
    time_gets,
)
from faceid.bench.malformed import make_malformed
from faceid.bench.processes import RunningApp
from faceid.errors import SetupError
from faceid.store import TuneStore
from faceid.web.owners import Owners

FORM = "application/x-www-form-urlencoded"
KEY = "a-key-of-more-than-20-characters"


def test_every_call_of_every_client_is_timed_against_a_bare_route():
    with bare_route({"id": 1}) as url:
        seconds = asyncio.run(time_gets(url, "/tunes/1", clients=3, calls=4))
        with pytest.raises(SetupError, match="404"):
            asyncio.run(time_gets(url, "/prompts/1", clients=1, calls=1))
    assert len(seconds) == 12
    assert all(0 < each < 60 for each in seconds)


def test_the_95th_percentile():
    assert p95([float(number) for number in range(101)]) == 95


def test_tunes_are_put_into_an_apps_folder_for_whoever_sends_the_key(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    ids = add_tunes(tmp_path, KEY, 30)
    owner = Owners(secret=b"secret", local=True).of_call({"x-faceid-key": KEY})
    with closing(TuneStore.open(tmp_path)) as store:
        assert sorted(tune.id for tune in store.list_tunes(owner, limit=120)) == ids
        assert store.list_tunes("local") == []


@pytest.fixture
def run(app_url, app_folder):
    """The tests' own app in the place of a fresh process."""
    return lambda: nullcontext(RunningApp(os.getpid(), f"{app_url}/", app_folder, 0.0))


def test_the_figures_are_measured_on_the_real_app_and_say_what_was_done(run):
    page = measure_first_page(many=50, few=25, pages=1, run=run)
    assert page.value > 0
    assert "with 50 and with 25 tunes" in page.done
    get = measure_get(clients=3, calls=2, rounds=1, run=run)
    assert get.value > 0
    assert "3 connections at once" in get.done
    assert "20 bodies" in measure_malformed(bodies=20, warm=5, run=run).done


def test_a_body_that_is_taken_is_no_malformed_one(run):
    taken = ("/tunes/1/prompts", FORM, b"prompt[text]=woman")
    with pytest.raises(SetupError, match="status 201"):
        measure_malformed(bodies=1, warm=0, run=run, make=lambda chance: taken)


def test_malformed_bodies_are_of_every_kind_and_always_the_same():
    made, again = ([make_malformed(chance) for _ in range(200)] for chance in (random.Random(5), random.Random(5)))
    assert made == again
    assert {kind.split(";")[0] for _, kind, _ in made} == {
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }
    assert len({body for _, _, body in made}) > 150
    assert max(len(body) for _, _, body in made) > 10_000


def test_http_means_its_three_figures():
    assert [f.name for f in FIGURES if group(f) == "http"] == ["http-get", "http-page", "http-malformed"]
    assert all(f.target for f in FIGURES if group(f) == "http")
