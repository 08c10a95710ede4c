import multiprocessing
import stat
from pathlib import Path

import pytest

from faceid.errors import SetupError
from faceid.settings import Settings


def test_an_empty_environment_is_enough():
    settings = Settings.from_env({})
    assert settings.data_dir.is_absolute()
    assert settings.face_pack == "auto"
    assert settings.keep_photos is True
    assert settings.base_models == ()


def test_reads_what_is_given(tmp_path):
    keys = ["first-key-of-twenty-chars", "second-key-of-twenty-chars"]
    settings = Settings.from_env(
        {
            "FACEID_DATA_DIR": str(tmp_path),
            "FACEID_FACE_PACK": "Offline",
            "FACEID_KEEP_PHOTOS": "no",
            "FACEID_API_KEYS": " , ".join(keys),
            "FACEID_BASE_MODELS": "flux1-dev, fast",
            "HF_TOKEN": " ",
        }
    )
    assert settings.data_dir == tmp_path
    assert settings.face_pack == "offline"
    assert settings.keep_photos is False
    assert settings.api_keys == tuple(keys)
    assert settings.base_models == ("flux1-dev", "fast")
    assert settings.hf_token is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FACEID_FACE_PACK", "buffalo", "antelopev2, offline"),
        ("FACEID_KEEP_PHOTOS", "perhaps", "true or false"),
        ("FACEID_API_KEYS", "short", "at least 20"),
        ("FACEID_CALLBACK_SECRET", "short", "at least 20"),
        ("FACEID_SECRET", "short", "at least 20"),
        ("FACEID_COMPILE", "perhaps", "true or false"),
    ],
)
def test_names_the_variable_that_is_wrong(name, value, words):
    with pytest.raises(SetupError, match=words) as caught:
        Settings.from_env({name: value})
    assert name in str(caught.value)


def test_likeness_is_measured_unless_it_is_turned_off():
    assert Settings.from_env({}).likeness
    assert not Settings.from_env({"FACEID_LIKENESS": "false"}).likeness


def test_compiling_is_asked_for_and_refused_on_zerogpu():
    assert not Settings.from_env({}).compile
    assert Settings.from_env({"FACEID_COMPILE": "true"}).compile
    with pytest.raises(SetupError, match=r"FACEID_COMPILE=true: ZeroGPU has no torch\.compile"):
        Settings.from_env({"FACEID_COMPILE": "true", "SPACES_ZERO_GPU": "true"})


def test_secrets_are_not_shown():
    settings = Settings.from_env({"FACEID_API_KEYS": "k" * 20, "HF_TOKEN": "hf_secret", "FACEID_SECRET": "s" * 20})
    assert "k" * 20 not in repr(settings)
    assert "hf_secret" not in repr(settings)
    assert "s" * 20 not in repr(settings)


def test_the_secret_is_made_once_and_kept_private(tmp_path):
    settings = Settings(data_dir=tmp_path / "new")
    first = settings.secret()
    assert len(first) == 64
    assert settings.secret() == first
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()] == [0o600]


def _secret_of(folder: str) -> bytes:
    return Settings(data_dir=Path(folder)).secret()


def test_processes_that_start_together_share_the_secret(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_secret_of, [str(tmp_path)] * 4))) == 1
