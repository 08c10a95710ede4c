"""faceid.flux.snapshot: which files of a pipeline are missing, and what is said of them. Nothing is loaded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from offline_mode import offline  # noqa: F401
from tiny_hub import serve_hub, write_cache

from faceid.errors import SetupError
from faceid.flux.snapshot import SHARED_COMPONENTS, download_pipeline, missing_files

ROOT = Path(__file__).parents[1]
REPO = "black-forest-labs/FLUX.1-dev"
SHARDS = {"weight_map": {"a": "diffusion-00001-of-00002.safetensors", "b": "diffusion-00002-of-00002.safetensors"}}
INDEX = {
    "_class_name": "FluxPipeline",
    "feature_extractor": [None, None],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
FILES = {
    "model_index.json": json.dumps(INDEX).encode(),
    "scheduler/scheduler_config.json": b"{}",
    "text_encoder/config.json": b"{}",
    "text_encoder/model.safetensors": b"",
    "tokenizer/tokenizer_config.json": b"{}",
    "transformer/config.json": b"{}",
    "transformer/diffusion.safetensors.index.json": json.dumps(SHARDS).encode(),
    "transformer/diffusion-00001-of-00002.safetensors": b"",
    "transformer/diffusion-00002-of-00002.safetensors": b"",
    "vae/config.json": b"{}",
    "vae/diffusion_pytorch_model.safetensors": b"",
}


def write(cache, *without):
    return write_cache(cache, REPO, {name: content for name, content in FILES.items() if name not in without})


def test_nothing_is_missing_in_a_whole_pipeline(tmp_path):
    folder = write(tmp_path)
    assert missing_files(folder) == []
    assert download_pipeline(REPO, lock_dir=tmp_path, cache_dir=tmp_path) == folder


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("model_index.json", "model_index.json"),
        ("transformer/diffusion-00002-of-00002.safetensors", "transformer/diffusion-00002-of-00002.safetensors"),
        ("vae/diffusion_pytorch_model.safetensors", "vae/*.safetensors"),
        ("tokenizer/tokenizer_config.json", "tokenizer/*.json"),
    ],
)
def test_every_missing_file_is_named(tmp_path, name, missing):
    assert missing_files(write(tmp_path, name)) == [missing]


def test_shared_components_may_be_missing(tmp_path):
    folder = write(tmp_path, *(name for name in FILES if name.startswith(("text_encoder/", "vae/"))))
    assert missing_files(folder, SHARED_COMPONENTS) == []
    assert missing_files(folder) == ["text_encoder/*.json", "vae/*.json"]


def test_half_a_download_is_refused_with_the_command_that_fetches_the_rest(tmp_path):
    write(tmp_path, "vae/diffusion_pytorch_model.safetensors")
    with pytest.raises(SetupError, match=r"without vae/\*\.safetensors: .*faceid\.doctor --download"):
        download_pipeline(REPO, lock_dir=tmp_path, cache_dir=tmp_path)


def test_an_empty_cache_without_network_is_a_setup_error(tmp_path):
    with pytest.raises(SetupError, match="cannot be reached"):
        download_pipeline(REPO, lock_dir=tmp_path, cache_dir=tmp_path)


ASK = """
import sys
from pathlib import Path
from faceid.errors import SetupError
from faceid.flux.snapshot import download_pipeline
repo, folder, endpoint = sys.argv[1:]
try:
    download_pipeline(repo, lock_dir=Path(folder), cache_dir=Path(folder), endpoint=endpoint)
except SetupError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_names_the_page_to_accept(tmp_path, status):
    """In a process of its own: this one is in offline mode, where no Hub is asked."""
    environ = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    with serve_hub({}) as hub:
        hub.refusals[REPO] = (status, "GatedRepo")
        command = [sys.executable, "-c", ASK, REPO, str(tmp_path), hub.endpoint]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert f"{REPO} is gated: accept its licence at https://huggingface.co/{REPO}, then set HF_TOKEN" in done.stdout
