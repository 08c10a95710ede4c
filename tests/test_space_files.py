"""The files a Space is made of, held to the Hub's rules (huggingface.co/docs/hub/spaces-config-reference)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from faceid.base_models import BASE_MODELS
from faceid.settings import LOGIN_VARIABLES, VARIABLES, Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CARD = yaml.safe_load(README.split("---\n", 2)[1])
DUPLICATE = re.split(r"^## ", README.split("## Duplicate this Space\n")[1], maxsplit=1, flags=re.MULTILINE)[0]

COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
HARDWARE = {
    "cpu-basic", "cpu-upgrade", "cpu-performance", "cpu-xl", "zero-a10g", "t4-small", "t4-medium", "l4x1", "l4x4",
    "l40sx1", "l40sx4", "l40sx8", "a10g-small", "a10g-large", "a10g-largex2", "a10g-largex4", "a100-large", "a100x4",
    "a100x8", "h100", "h100x8",
}  # fmt: skip
KNOWN = {
    "title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware",
    "suggested_storage", "app_file", "app_port", "base_path", "fullWidth", "header", "short_description", "models",
    "datasets", "tags", "thumbnail", "pinned", "hf_oauth", "hf_oauth_scopes", "hf_oauth_expiration_minutes",
    "hf_oauth_authorized_org", "disable_embedding", "startup_duration_timeout", "custom_headers", "preload_from_hub",
    "license",
}  # fmt: skip
REPO = re.compile(r"[\w.-]+/[\w.-]+")
GATED = {model.repo for model in BASE_MODELS if model.gated}


def test_the_card_has_no_key_that_the_hub_does_not_know():
    assert set(CARD) <= KNOWN


def test_what_is_shown_of_it():
    assert re.fullmatch(r"[^\n]{1,80}", CARD["title"])
    assert 0 < len(CARD["short_description"]) <= 60
    assert {CARD["colorFrom"], CARD["colorTo"]} <= COLOURS
    emoji = CARD["emoji"]
    assert not emoji.isascii()
    assert len(emoji.replace("\ufe0f", "")) == 1
    assert CARD["license"] == "mit"
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in CARD["tags"])


def test_what_runs_it():
    assert CARD["sdk"] == "gradio"
    assert (ROOT / CARD["app_file"]).is_file()
    assert isinstance(CARD["python_version"], str)  # 3.10 unquoted would be 3.1
    assert CARD["python_version"] in ("3.10", "3.12")  # what ZeroGPU has
    assert re.fullmatch(r"\d+\.\d+\.\d+", CARD["sdk_version"])
    assert CARD["suggested_hardware"] in HARDWARE
    assert re.fullmatch(r"\d+(\.\d+)?[smhd]?", str(CARD["startup_duration_timeout"]))


def test_the_builders_own_versions_fit_the_requirements():
    """It installs `gradio[oauth]==<sdk_version>`, spaces and torch beside requirements.txt."""
    from packaging.requirements import Requirement

    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    needed = {requirement.name: requirement for requirement in map(Requirement, filter(None, lines))}
    assert needed["gradio"].specifier.contains(CARD["sdk_version"])
    assert "oauth" in needed["gradio"].extras
    assert needed["torch"].specifier.contains("2.13.0")
    assert not any(bound.operator in ("<", "<=", "==") for bound in needed["torch"].specifier)
    assert not any(bound.operator in ("<", "<=", "==") for bound in needed["spaces"].specifier)
    assert "cachetools" in needed


def test_what_it_downloads_while_it_is_built_is_open_to_all():
    for entry in CARD["preload_from_hub"]:
        repo, *files = entry.split(" ", 1)
        assert REPO.fullmatch(repo)
        assert repo not in GATED, "a build has no token"
        assert all(re.fullmatch(r"[\w./-]+", file) for names in files for file in names.split(","))
    assert all(REPO.fullmatch(repo) for repo in CARD["models"])
    assert GATED  # FLUX.1 [dev] is one


def test_it_offers_the_login():
    assert CARD["hf_oauth"] is True
    given = dict.fromkeys(LOGIN_VARIABLES, "x") | {"SPACE_ID": "a/b"}
    assert Settings.from_env(given).login
    for missing in given:
        assert not Settings.from_env({name: value for name, value in given.items() if name != missing}).login
    assert not Settings.from_env(given | {"FACEID_API_KEYS": "k" * 20}).login
    assert not Settings.from_env({}).login


def test_the_packages_are_named_as_debian_names_them():
    packages = (ROOT / "packages.txt").read_text().split()
    assert packages
    assert len(packages) == len(set(packages))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in packages)


@pytest.mark.skipif(sys.platform != "linux", reason="packages.txt is for Debian")
def test_the_packages_bring_what_opencv_loads():
    """The libraries of its extension that are no part of glibc or of its wheel are in one of the packages."""
    import cv2

    extension = next(Path(cv2.__file__).parent.glob("cv2*.so"))
    listed = subprocess.run(["ldd", str(extension)], capture_output=True, text=True, check=True).stdout
    needed = {line.split()[0] for line in listed.splitlines() if "=> /" in line and "opencv" not in line}
    provided = {"libgl1": "libGL.so.1", "libglib2.0-0": "libglib-2.0.so.0", "libxcb1": "libxcb.so.1"}
    packages = (ROOT / "packages.txt").read_text().split()
    for name, library in provided.items():
        if library in needed:
            assert name in packages, library
    assert set(packages) <= set(provided)


def test_the_readme_says_what_a_duplicate_needs():
    for word in (
        "HF_TOKEN",
        "FACEID_SECRET",
        "FACEID_API_KEYS",
        "FACEID_BASE_MODEL",
        "FACEID_BACKUP_DIR",
        "/data",
        "hf_oauth",
    ):
        assert word in DUPLICATE, word
    for name in re.findall(r"`(FACEID_\w+|HF_TOKEN)`", DUPLICATE):
        assert name in VARIABLES, name
    for hardware in re.findall(r"`((?:cpu|zero|l40s|a100|a10g|h100)[\w-]*)`", DUPLICATE):
        assert hardware in HARDWARE, hardware
