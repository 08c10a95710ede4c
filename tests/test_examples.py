"""The examples, run as a user runs them, against the real app."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_client(app_url, astronaut_path):
    printed = run(sys.executable, EXAMPLES / "client.py", app_url, astronaut_path)
    assert printed.startswith("tune ")
    assert "seed 1 " in printed
    assert "seed 2 " in printed


def test_stream(app_url):
    printed = run(sys.executable, EXAMPLES / "stream.py", app_url, "a woman, blue hour")
    assert [line.split()[0] for line in printed.splitlines()] == ["seed", "seed", "seed", "done"]


def test_curl(app_url, astronaut_path):
    printed = run("bash", EXAMPLES / "curl.sh", app_url, astronaut_path)
    assert "event: complete" in printed
    assert '"title": "John Doe"' in printed


def test_every_example_is_short():
    for example in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.sh"), *EXAMPLES.glob("*.mjs")]:
        assert len(example.read_text().splitlines()) <= 50, example.name
