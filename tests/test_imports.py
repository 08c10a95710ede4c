"""The house: which way imports point, and what stays light."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import gradio
import pytest
from gradio.component_meta import create_or_modify_pyi

from faceid.web.lean_gradio import without_stubs

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "gradio", "diffusers", "insightface", "transformers", "onnxruntime"}
# What each wing may import of the project; a module belongs to the first entry that fits.
WINGS = {
    "faceid.web": {"faceid.flux", "faceid.pulid", "faceid.faces", "faceid.hub"},
    "faceid.studio": {"faceid.flux", "faceid.pulid", "faceid.faces", "faceid.hub", "faceid.web", "faceid.store"},
    "faceid.store": {"faceid.flux", "faceid.pulid", "faceid.faces", "faceid.hub", "faceid.web", "faceid.studio"},
    "faceid.jobs": {"faceid.flux", "faceid.pulid", "faceid.faces", "faceid.web", "faceid.studio", "faceid.store"},
    "faceid.faces": {"faceid.flux", "faceid.pulid", "faceid.web", "faceid.studio", "faceid.store", "faceid.jobs"},
    "faceid.pulid": {"faceid.flux", "faceid.web", "faceid.studio", "faceid.store", "faceid.jobs"},
    "faceid.flux": {"faceid.web", "faceid.studio", "faceid.store", "faceid.jobs"},
}


def imported_by(path: Path) -> set[str]:
    """Every module a file imports at run time: not those under `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("wing", WINGS)
def test_imports_point_one_way(wing):
    base = ROOT / wing.replace(".", "/")
    files = list(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    assert files
    for file in files:
        for name in imported_by(file):
            assert not any(name == no or name.startswith(f"{no}.") for no in WINGS[wing]), f"{file.name}: {name}"


def test_the_studio_is_light():
    script = "import sys, faceid.studio; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(loaded.split())


def test_the_environment_is_read_in_one_place():
    readers = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "faceid").rglob("*.py")
        if "bench" not in file.parts and ("environ" in file.read_text() or "getenv" in file.read_text())
    ]
    assert readers == ["faceid/settings.py"]


def test_importing_gradio_writes_nothing_beside_it():
    stub = Path(inspect.getfile(gradio.Textbox)).with_suffix(".pyi")
    before = stub.read_text() if stub.exists() else None
    with without_stubs():
        create_or_modify_pyi(gradio.Textbox, "Textbox", ["an_event_that_is_none"])
    assert (stub.read_text() if stub.exists() else None) == before
    assert inspect.getsource(gradio.Textbox)


def test_what_names_no_module_is_refused_as_without_us():
    with without_stubs(), pytest.raises(TypeError, match="builtin"):
        inspect.getfile("".join)
