"""faceid.hub against a miniature Hub on the loopback, a made cache folder, and no Hub at all."""

import json
import logging
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiny_hub import COMMIT, serve_hub, write_cache

from faceid.errors import SetupError
from faceid.hub import LOCK_FILE, HubFileMissing, HubUnreachable, fetch

REPO = "owner/weights"
NOWHERE = "http://127.0.0.1:1"  # nothing listens there


@pytest.fixture
def hub():
    with serve_hub({f"{REPO}/a.bin": b"first", f"{REPO}/nested/b.bin": b"second"}) as hub:
        yield hub


@pytest.fixture
def options(tmp_path):
    return {"lock_dir": tmp_path / "state", "cache_dir": tmp_path / "cache", "timeout": 0.5}


def read_lock(options):
    return json.loads((options["lock_dir"] / LOCK_FILE).read_text())


def test_a_file_is_downloaded_and_its_hash_written_down(hub, options, caplog):
    caplog.set_level(logging.INFO, "faceid.hub")
    assert fetch(REPO, "a.bin", endpoint=hub.endpoint, **options).read_bytes() == b"first"
    assert fetch(REPO, "nested/b.bin", endpoint=hub.endpoint, **options).read_bytes() == b"second"
    entry = read_lock(options)[f"{REPO}@main/a.bin"]
    assert entry["commit"] == COMMIT
    assert entry["sha256"] == "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
    assert f"{REPO}@main/nested/b.bin" in read_lock(options)
    assert "unpinned" in caplog.text


def test_once_fetched_the_hub_is_not_asked_again(hub, options):
    first = fetch(REPO, "a.bin", endpoint=hub.endpoint, **options)
    hub.requests.clear()
    assert fetch(REPO, "a.bin", endpoint=hub.endpoint, **options) == first
    assert hub.requests == []


def test_a_branch_that_moved_on_does_not_change_what_is_used(hub, options):
    fetch(REPO, "a.bin", endpoint=hub.endpoint, **options)
    hub.commit, hub.files[f"{REPO}/a.bin"] = "f" * 40, b"newer"
    assert fetch(REPO, "a.bin", endpoint=hub.endpoint, **options).read_bytes() == b"first"


def test_another_content_under_the_locked_commit_is_refused(hub, options, tmp_path):
    fetch(REPO, "a.bin", endpoint=hub.endpoint, **options)
    hub.files[f"{REPO}/a.bin"] = b"forged"
    elsewhere = options | {"cache_dir": tmp_path / "empty"}
    with pytest.raises(SetupError, match=r"(?s)a\.bin.*sha256.*a7937b64.*first fetched"):
        fetch(REPO, "a.bin", endpoint=hub.endpoint, **elsewhere)


def test_a_cached_file_that_was_changed_is_refused_naming_both_hashes(options):
    snapshot = write_cache(options["cache_dir"], REPO, {"a.bin": b"first"})
    fetch(REPO, "a.bin", endpoint=NOWHERE, **options)
    (snapshot / "a.bin").write_bytes(b"other")
    os.utime(snapshot / "a.bin", ns=(1, 1))
    with pytest.raises(SetupError) as caught:
        fetch(REPO, "a.bin", endpoint=NOWHERE, **options)
    assert str(snapshot / "a.bin") in str(caught.value)
    assert "a7937b64" in str(caught.value)  # the locked one
    assert "d9298a10" in str(caught.value)  # the present one


def test_an_unchanged_file_is_not_read_again(options):
    snapshot = write_cache(options["cache_dir"], REPO, {"a.bin": b"first"})
    fetch(REPO, "a.bin", endpoint=NOWHERE, **options)
    stat = (snapshot / "a.bin").stat()
    (snapshot / "a.bin").write_bytes(b"FIRST")  # same size and, below, same time: only reading it would tell
    os.utime(snapshot / "a.bin", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fetch(REPO, "a.bin", endpoint=NOWHERE, **options)


def test_a_locked_commit_that_is_gone_is_named(hub, options, tmp_path):
    fetch(REPO, "a.bin", endpoint=hub.endpoint, **options)
    hub.commit = "1" * 40
    with pytest.raises(HubFileMissing, match=f"revision {COMMIT}"):
        fetch(REPO, "a.bin", endpoint=hub.endpoint, **options | {"cache_dir": tmp_path / "empty"})


def test_a_missing_file_is_named(hub, options):
    with pytest.raises(HubFileMissing, match=rf"{REPO} has no file c\.bin"):
        fetch(REPO, "c.bin", endpoint=hub.endpoint, **options)


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (403, "GatedRepo", rf"accept its licence at https://huggingface\.co/{REPO}"),
        (404, "RepoNotFound", "not on the Hub or is private"),
        (403, "", "answered 403"),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_an_outage(hub, options, status, code, text):
    hub.refusals[REPO] = (status, code)
    with pytest.raises(SetupError, match=text) as caught:
        fetch(REPO, "a.bin", endpoint=hub.endpoint, **options)
    assert not isinstance(caught.value, HubUnreachable)


def test_an_outage_is_unreachable(hub, options):
    hub.refusals[REPO] = (503, "")
    with pytest.raises(HubUnreachable, match=r"a\.bin"):
        fetch(REPO, "a.bin", endpoint=hub.endpoint, **options)


def test_no_hub_fails_quickly(options):
    start = time.monotonic()
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        fetch(REPO, "a.bin", endpoint=NOWHERE, **options)
    assert time.monotonic() - start < 5


def test_a_hub_that_never_answers_fails_within_the_time_out(options):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(HubUnreachable, match="cannot be reached"):
            fetch(REPO, "a.bin", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", **options)
    assert time.monotonic() - start < 5


def test_a_cache_is_enough_where_the_hub_is_out_of_reach(options):
    write_cache(options["cache_dir"], REPO, {"a.bin": b"first"})
    assert fetch(REPO, "a.bin", endpoint=NOWHERE, **options).read_bytes() == b"first"


@pytest.mark.parametrize("cached", [True, False])
def test_offline_mode_uses_the_cache_and_nothing_else(tmp_path, cached):
    if cached:
        write_cache(tmp_path / "cache", REPO, {"a.bin": b"first"})
    code = (
        "import sys; from pathlib import Path; from faceid.hub import fetch, HubUnreachable\n"
        f"try: sys.stdout.write(fetch({REPO!r}, 'a.bin', lock_dir=Path({str(tmp_path)!r})).read_text())\n"
        "except HubUnreachable: sys.stdout.write('unreachable')\n"
    )
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == ("first" if cached else "unreachable"), done.stderr


def test_a_damaged_lock_file_is_named(options):
    write_cache(options["cache_dir"], REPO, {"a.bin": b"first"})
    options["lock_dir"].mkdir()
    (options["lock_dir"] / LOCK_FILE).write_text("{")
    with pytest.raises(SetupError, match=LOCK_FILE):
        fetch(REPO, "a.bin", endpoint=NOWHERE, **options)


def test_many_at_once_lose_no_entry(options):
    names = [f"{i}.bin" for i in range(12)]
    write_cache(options["cache_dir"], REPO, {name: name.encode() for name in names})
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: fetch(REPO, name, endpoint=NOWHERE, **options), names))
    assert len(read_lock(options)) == 12
    assert [p.name for p in options["lock_dir"].iterdir() if not p.name.endswith(".guard")] == [LOCK_FILE]
