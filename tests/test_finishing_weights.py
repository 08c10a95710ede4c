"""faceid.finishing.weights and loading: what can be had becomes a network, what cannot a reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from tiny_hub import serve_hub
from tiny_pack import write_tiny_recogniser
from tiny_swapper import write_tiny_swapper

from faceid import hub
from faceid.base_models import FINISHING_WEIGHTS, SWAP_RECOGNISER
from faceid.finishing.loading import load_finishing
from faceid.finishing.weights import OUT_OF_REACH, UNUSABLE, load_networks
from faceid.flux.loading import Loaded
from faceid.hub import HubUnreachable
from faceid.settings import Settings


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Networks of the right kinds without a meaning, by their names on the Hub."""
    folder = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    upscaler = Compact(num_feat=8, num_conv=2, upscale=4)
    save_file(upscaler.state_dict(), folder / "RealESRGAN_x4plus.safetensors")
    torch.save(Compact(num_feat=8, num_conv=2, upscale=1).state_dict(), folder / "GFPGANv1.4.pth")
    write_tiny_swapper(folder / "inswapper_128.onnx")
    write_tiny_recogniser(folder / "w600k_r50.onnx")
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def fetch(files, asked):
    def fetch_file(repo, filename, *, lock_dir, token=None):
        asked.append(f"{repo}/{filename}")
        return files[Path(filename).name]

    return fetch_file


def load(tmp_path, fetch, **given):
    return load_networks(**{"lock_dir": tmp_path, "offline": False, "accept_inswapper": True, "fetch": fetch} | given)


def test_all_that_can_be_had_is_loaded(tmp_path, fetch, asked):
    networks = load(tmp_path, fetch)
    assert networks.missing == {}
    assert None not in (networks.super_resolution, networks.face_correct, networks.face_swap, networks.swap_reader)
    assert len(asked) == sum(len(weights.files) for entry in FINISHING_WEIGHTS.values() for weights in entry)
    assert f"public-data/insightface/{SWAP_RECOGNISER}" in asked


def test_a_licence_that_was_not_accepted_is_not_downloaded(tmp_path, fetch, asked):
    networks = load(tmp_path, fetch, accept_inswapper=False)
    assert networks.face_swap is networks.swap_reader is None
    assert "FACEID_ACCEPT_INSWAPPER=true" in networks.missing["face_swap"]
    assert not any("inswapper" in name or "buffalo" in name for name in asked)


def test_offline_nothing_is_asked_for(tmp_path, fetch, asked):
    networks = load(tmp_path, fetch, offline=True)
    assert asked == []
    assert networks.missing.keys() == FINISHING_WEIGHTS.keys()
    assert "FACEID_FACE_PACK=offline" in networks.missing["face_correct"]


def test_a_hub_out_of_reach_is_a_reason_and_no_error(tmp_path, caplog):
    def unreachable(*args, **kwargs):
        raise HubUnreachable("a/repository: ConnectError.")

    with caplog.at_level("INFO"):
        networks = load(tmp_path, unreachable)
    assert networks.super_resolution is None
    assert networks.missing["super_resolution"] == OUT_OF_REACH
    assert "super_resolution is off: a/repository: ConnectError." in caplog.text  # for whoever runs the app


@pytest.mark.parametrize("name", ["RealESRGAN_x4plus.safetensors", "GFPGANv1.4.pth"])
def test_a_damaged_or_another_file_is_a_reason(tmp_path, files, fetch, name, caplog):
    caplog.set_level("INFO")
    damaged = tmp_path / name
    damaged.write_bytes(b"not a network")
    assert list(load(tmp_path, _with(fetch, name, damaged)).missing.values()) == [UNUSABLE]
    assert "cannot be read" in caplog.text
    other = next(path for other, path in files.items() if other != name and path.suffix in (".pth", ".safetensors"))
    assert list(load(tmp_path, _with(fetch, name, other)).missing.values()) == [UNUSABLE]
    assert "another network" in caplog.text


def _with(fetch, name, path):
    return lambda repo, filename, **given: path if filename == name else fetch(repo, filename, **given)


def test_code_in_a_pth_file_does_not_run(tmp_path, fetch):
    class Runs:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"params": Runs()}, tmp_path / "evil.pth")
    missing = load(tmp_path, _with(fetch, "GFPGANv1.4.pth", tmp_path / "evil.pth")).missing
    assert "face_correct" in missing
    assert not (tmp_path / "ran").exists()


def test_files_come_through_the_lock(tmp_path, files, caplog):
    caplog.set_level("INFO")
    (weights,) = FINISHING_WEIGHTS["super_resolution"]
    (name,) = weights.files
    with serve_hub({f"{weights.repo}/{name}": files[name].read_bytes()}) as served:

        def fetch(repo, filename, **given):
            return hub.fetch(repo, filename, cache_dir=tmp_path / "cache", endpoint=served.endpoint, **given)

        networks = load(tmp_path, fetch, accept_inswapper=False)
    assert networks.super_resolution
    assert name in (tmp_path / hub.LOCK_FILE).read_text()
    assert networks.missing["face_correct"] == UNUSABLE
    assert "has no file" in caplog.text or "not on the Hub" in caplog.text


def test_every_generator_gets_its_chain(tmp_path, fast, analyzer, face_pack, fetch, asked):
    settings = Settings(data_dir=tmp_path, face_pack="auto", accept_inswapper=True)
    before = fast.generator.finish
    try:
        networks = load_finishing(settings, Loaded(face_pack, analyzer, None, (fast,)), fetch=fetch)
        chain = fast.generator.finish
        assert chain._networks is networks
        assert not any("Real-ESRGAN" in name for name in asked)  # nobody here would use it
        assert chain._super_resolution is not networks.super_resolution  # its own
        assert len(chain._find_faces(np.zeros((64, 64, 3), np.uint8))) == 0
    finally:
        fast.generator.finish = before


def test_the_weights_are_the_ones_named():
    assert all(weights.licence and weights.gb > 0 for entry in FINISHING_WEIGHTS.values() for weights in entry)
    assert {weights.licence for weights in FINISHING_WEIGHTS["face_swap"]} == {"non-commercial research"}
