"""Tunes and prompts in a store, for the tests of what it keeps and of what it forgets."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunes_kept import KEY, make_photo, make_tokens

from faceid.domain import Prompt, Tune

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120  # only ever waited for by a test that fails


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


def run_alone(function: Callable[[Path], Any], folder: Path) -> subprocess.CompletedProcess:
    """Run a function of a test's file in a process of its own; what it returns is the exit status."""
    name = function.__name__
    program = (
        f"import sys, pathlib; from {function.__module__} import {name}; sys.exit({name}(pathlib.Path(sys.argv[1])))"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run([sys.executable, "-c", program, str(folder)], env=os.environ | {"PYTHONPATH": paths})
