"""faceid.flux.pipeline: a base model loaded, from the project or from a folder laid out as on the Hub."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flux_toys import FAST, identity, pictures, short_request

from faceid.base_models import PULID_FLUX, find_base_model
from faceid.domain import IdentityKey
from faceid.errors import SetupError
from faceid.flux.fast import config
from faceid.flux.fast.build import build_fast, build_pipeline
from faceid.flux.pipeline import Sources, load_engine
from faceid.pulid.weights import PuLIDFlux

FLUX = find_base_model("flux1-dev")


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory) -> Path:
    """A pipeline as its repository holds it: without an adapter."""
    folder = tmp_path_factory.mktemp("hub")
    build_pipeline().save_pretrained(folder)
    return folder


def toy_sources(folder: Path, asked: list | None = None) -> Sources:
    """The Hub's part played by `folder` and `fast`'s adapter; `asked` collects what was asked for."""

    def download(repo, *, lock_dir, token):
        if asked is not None:
            asked.append((repo, lock_dir, token))
        return folder

    def load_pulid(*, lock_dir, token):
        _, adapter, encoder = build_fast()
        encoder.key = IdentityKey(f"{PULID_FLUX}@0", "antelopev2")
        return PuLIDFlux(encoder.key, encoder, adapter.transformer.pulid_ca.state_dict())

    return Sources(download, load_pulid, cross_attention=config.ADAPTER, device="cpu")


def test_fast_needs_nothing_but_the_project(tmp_path):
    engine = load_engine(FAST, lock_dir=tmp_path, face_pack="offline")
    assert engine.base_model is FAST
    assert engine.encoder.key.face_pack == "offline"
    assert len(pictures(engine.generator.generate(short_request(**identity())))) == 1
    assert not list(tmp_path.iterdir())


def test_a_pipeline_of_the_hub_is_loaded_with_its_adapter_in_bfloat16(hub_folder, tmp_path):
    asked = []
    sources = toy_sources(hub_folder, asked)
    engine = load_engine(FLUX, lock_dir=tmp_path, face_pack="antelopev2", token="hf_x", sources=sources)
    assert asked == [(FLUX.repo, tmp_path, "hf_x")]
    assert engine.generator.pipeline.transformer.dtype == torch.bfloat16
    assert engine.generator.pipeline.transformer.pulid_ca[0].to_q.weight.dtype == torch.bfloat16
    request = replace(short_request(**identity()), base_model=FLUX.slug)
    somebody, nobody = (pictures(engine.generator.generate(r))[0] for r in (request, replace(request, identities=())))
    assert (somebody != nobody).any()


def test_dev_reads_longer_texts_than_schnell(hub_folder, tmp_path):
    sources = toy_sources(hub_folder)
    dev = load_engine(FLUX, lock_dir=tmp_path, face_pack="antelopev2", sources=sources)
    assert dev.generator.max_sequence_length == 512
    pipeline = build_pipeline()
    pipeline.transformer = type(pipeline.transformer)(**config.TRANSFORMER | {"guidance_embeds": False})
    schnell_folder = tmp_path / "schnell"
    pipeline.save_pretrained(schnell_folder)
    schnell = load_engine(
        find_base_model("flux1-schnell"), lock_dir=tmp_path, face_pack="antelopev2", sources=toy_sources(schnell_folder)
    )
    assert schnell.generator.max_sequence_length == 256


def test_another_face_pack_is_refused_with_the_cure(tmp_path):
    with pytest.raises(SetupError, match="FACEID_FACE_PACK=antelopev2"):
        load_engine(FLUX, lock_dir=tmp_path, face_pack="offline")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_nothing_is_downloaded(hub_folder, tmp_path):
    asked = []
    sources = replace(toy_sources(hub_folder, asked), device="cuda")
    with pytest.raises(SetupError, match="FACEID_BASE_MODEL=fast"):
        load_engine(FLUX, lock_dir=tmp_path, face_pack="antelopev2", sources=sources)
    assert not asked
