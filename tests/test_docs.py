"""The README, held to the code: every setting, endpoint, limit and error stands in it, and its snippets run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from faceid import errors
from faceid.base_models import BASE_MODELS, FINISHING_WEIGHTS
from faceid.finishes import FINISHES
from faceid.limits import LIMITS
from faceid.prompt_syntax import parse_prompt
from faceid.settings import VARIABLES
from faceid.studio import Studio
from faceid.styles import STYLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
_, FRONT_MATTER, BODY = README.split("---\n", 2)
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```$", BODY, re.MULTILINE | re.DOTALL)
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}  # the Hub's card colours


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = re.split(rf"^#+ {heading}$", BODY, flags=re.MULTILINE)[1]
    rows = re.search(r"((?:^\|.*\|\n)+)", section, re.MULTILINE).group().splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def limit_row(name: str) -> list[str]:
    low, high, default, unit = LIMITS[name]
    return [f"`{name}`", f"{low:,g} to {high:,.10g} {unit}".strip(), "" if default is None else f"{default:g}"]


def test_front_matter_is_what_a_space_takes():
    card = yaml.safe_load(FRONT_MATTER)
    assert card["sdk"] == "gradio"
    assert card["app_file"] == "app.py"
    assert card["python_version"] == "3.12"
    assert len(card["short_description"]) <= 60
    assert {card["colorFrom"], card["colorTo"]} <= COLOURS
    assert re.fullmatch(r"\d+\.\d+\.\d+", card["sdk_version"])
    assert card["license"] == "mit"


def test_opens_with_the_two_commands():
    commands = next(text for language, text in SNIPPETS if language == "bash").splitlines()
    assert [line.split("#")[0].strip() for line in commands if line] == [
        "pip install -r requirements-dev.txt && python app.py",
        "pip install -r requirements-dev.txt && pytest",
    ]


def test_every_setting():
    assert table("Settings") == [[f"`{name}`", default, meaning] for name, (default, meaning) in VARIABLES.items()]


def test_every_limit():
    assert table("Limits") == [limit_row(name) for name in LIMITS]


def test_every_base_model():
    assert table("Base models") == [
        [f"`{m.slug}`", str(m.tune_id), m.repo or "in this repository", m.licence, str(m.default_steps)]
        for m in BASE_MODELS
    ]


def test_every_error():
    shown = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.UserError) and kind is not errors.UserError
    ]
    assert [row[0] for row in table("Errors")] == [f"`{name}`" for name in shown]


def test_every_endpoint(app_url):
    from gradio_client import Client

    described = Client(app_url, verbose=False).view_api(return_format="dict")["named_endpoints"]
    rows = {row[0].strip("`"): row[1] for row in table("Endpoints")}
    assert list(rows) == list(described)
    for name, endpoint in described.items():
        parameters = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        assert rows[name] == ", ".join(f"`{parameter}`" for parameter in parameters), name


def test_every_http_route_and_refusal():
    from faceid.web.owners import Owners
    from faceid.web.rest import build_http_api
    from faceid.web.rest_context import RestContext
    from faceid.web.rest_openapi import REFUSALS

    context = RestContext(Studio, Owners(b"", local=True), fetch=None, announce=None, secret=b"")
    paths = build_http_api(context).openapi()["paths"]
    served = {f"`{method.upper()} {path}`" for path, item in paths.items() for method in item}
    rows = [row[0] for row in table("HTTP API")]
    assert sorted(rows) == sorted(served)
    statuses = re.search(r"\| status \| when \|\n\|---\|---\|\n((?:\|.*\|\n)+)", BODY)[1]
    assert [int(status) for status in re.findall(r"^\| (\d+) ", statuses, re.MULTILINE)] == list(REFUSALS)


def test_every_finishing_step():
    assert [row[:2] for row in table("Finishing")] == [[f"`{step.name}`", step.help] for step in FINISHES]


def test_every_style():
    section = BODY[BODY.index("| style | words |") :]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines()[2 : 2 + len(STYLES)]]
    assert [row[:2] for row in rows] == [[style.name, style.words] for style in STYLES]
    assert [row[0] for row in rows if "no face_swap" in row[2]] == [style.name for style in STYLES if style.drawn]


def test_every_licence_of_finishing():
    licences = {row[1]: row[2] for row in table("Licences")}
    for weights in (weights for files in FINISHING_WEIGHTS.values() for weights in files):
        assert licences[weights.repo].startswith(weights.licence)


def test_every_tag_in_it_can_be_read():
    tags = re.findall(r"<faceid:[\d][^>]*>", BODY)
    assert tags
    for tag in tags:
        assert parse_prompt(tag).tags


def test_its_python_runs(app_url, astronaut_path, tmp_path):
    snippets = [text for language, text in SNIPPETS if language == "python"]
    assert snippets
    for snippet in snippets:
        script = snippet.replace("http://127.0.0.1:7860", app_url).replace("me.jpg", str(astronaut_path))
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr


def test_its_modules_can_be_run():
    for module in re.findall(r"python -m (faceid[\w.]*)", BODY):
        assert (ROOT / Path(*module.split("."))).with_suffix(".py").exists() or (
            ROOT / Path(*module.split("."), "__main__.py")
        ).exists(), module


def test_the_tree_names_what_is_there():
    tree = next(text for language, text in SNIPPETS if language == "text" and "app.py" in text)
    folder = ""
    for line in tree.splitlines():
        name = shlex.split(line.replace("'", ""))[0]
        folder = "faceid/" if line.startswith("    ") else ""
        assert (ROOT / folder / name).exists(), name
    for file in (ROOT / "faceid").iterdir():
        if not file.name.startswith("__"):
            assert re.search(rf"\b{re.escape(file.name)}\b", tree), file.name


@pytest.mark.parametrize("picture", re.findall(r"!\[[^\]]*\]\(([^)]+)\)", BODY))
def test_its_pictures_are_there(picture):
    assert (ROOT / picture).is_file()
