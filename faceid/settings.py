"""Settings, read from the environment here and nowhere else. Knows what each variable means, not what it is used for.

`VARIABLES` is the table the README repeats; `Settings.from_env` is the only reader.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faceid.errors import SetupError

VARIABLES: dict[str, tuple[str, str]] = {
    "FACEID_DATA_DIR": ("the user's data folder", "tunes, pictures, built face packs; always a local disk"),
    "FACEID_BACKUP_DIR": ("`/data` on a Space if mounted, else off", "consistent backups of the tunes; restored from"),
    "FACEID_FACE_PACK": ("`auto`", "`antelopev2` (Hub), `offline` (from wheels), or `auto`: the first that can be had"),
    "FACEID_BASE_MODEL": ("`flux1-dev` with CUDA, else `fast`", "the default base model"),
    "FACEID_BASE_MODELS": ("the default one", "the base models loaded at start, comma separated"),
    "FACEID_KEEP_PHOTOS": (
        "`true`",
        "keep the photos beside the identity, so that a newer adapter can encode them again",
    ),
    "FACEID_LIKENESS": ("`true`", "say of each picture how much it is like the person's photos; never sent anywhere"),
    "FACEID_COMPILE": ("`false`", "compile the base model's blocks: the first picture waits, later ones are faster"),
    "FACEID_SECRET": ("a 0600 file in the data folder", "what keys and browser ids are hashed with"),
    "FACEID_API_KEYS": ("none", "the keys admitted, comma separated, 20 characters or more each; set: no others"),
    "FACEID_CALLBACK_SECRET": ("none", "signs the callbacks of the HTTP API, 20 characters or more"),
    "FACEID_IDEMPOTENT_TITLES": ("`false`", "the same title alone gives the existing tune, whatever its photos"),
    "FACEID_ACCEPT_INSWAPPER": ("`false`", "you accept the non-commercial licence of the face_swap weights"),
    "HF_TOKEN": ("none", "reads gated repositories on the Hugging Face Hub"),
}

# What a Space with `hf_oauth: true` in its README gives, for Gradio's login.
LOGIN_VARIABLES = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
LOOPBACK = "127.0.0.1"
FACE_PACKS = ("auto", "antelopev2", "offline")
MIN_KEY_LENGTH = 20
SPACE_VOLUME = Path("/data")


@dataclass(frozen=True)
class Settings:
    """What the environment says. Secrets are left out of `repr`. Empty `base_models` means: the default one."""

    data_dir: Path
    backup_dir: Path | None = None
    face_pack: str = "auto"
    base_model: str | None = None
    base_models: tuple[str, ...] = ()
    keep_photos: bool = True
    likeness: bool = True
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    callback_secret: str | None = field(default=None, repr=False)
    idempotent_titles: bool = False
    accept_inswapper: bool = False
    compile: bool = False
    hf_token: str | None = field(default=None, repr=False)
    on_space: bool = False
    login: bool = False
    server_name: str = LOOPBACK
    shared: bool = False
    given_secret: str | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read `environ`; SetupError names the variable, its value and what it takes. An empty value is not given."""
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        on_space = "SPACE_ID" in given
        login = on_space and all(name in given for name in LOGIN_VARIABLES) and "FACEID_API_KEYS" not in given
        face_pack = given.get("FACEID_FACE_PACK", "auto").lower()
        if face_pack not in FACE_PACKS:
            raise SetupError(f"FACEID_FACE_PACK={face_pack!r}: takes one of {', '.join(FACE_PACKS)}.")
        backup = given.get("FACEID_BACKUP_DIR") or (str(SPACE_VOLUME) if on_space and SPACE_VOLUME.is_dir() else None)
        return cls(
            data_dir=Path(given.get("FACEID_DATA_DIR") or default_data_dir()).expanduser().absolute(),
            backup_dir=Path(backup).expanduser().absolute() if backup else None,
            face_pack=face_pack,
            base_model=given.get("FACEID_BASE_MODEL"),
            base_models=_list(given.get("FACEID_BASE_MODELS", "")),
            keep_photos=_flag(given, "FACEID_KEEP_PHOTOS", default=True),
            likeness=_flag(given, "FACEID_LIKENESS", default=True),
            api_keys=tuple(_long_enough("FACEID_API_KEYS", key) for key in _list(given.get("FACEID_API_KEYS", ""))),
            callback_secret=_long_enough("FACEID_CALLBACK_SECRET", given.get("FACEID_CALLBACK_SECRET")),
            idempotent_titles=_flag(given, "FACEID_IDEMPOTENT_TITLES", default=False),
            accept_inswapper=_flag(given, "FACEID_ACCEPT_INSWAPPER", default=False),
            compile=_compile(given),
            hf_token=given.get("HF_TOKEN"),
            on_space=on_space,
            login=login,  # elsewhere Gradio signs the login's cookie with a secret that everybody knows
            server_name=given.get("GRADIO_SERVER_NAME", LOOPBACK),
            shared=_flag(given, "GRADIO_SHARE", default=False),
            given_secret=_long_enough("FACEID_SECRET", given.get("FACEID_SECRET")),
        )

    @property
    def local(self) -> bool:
        """Whether only this machine's user can reach the app: bound to loopback, not shared, not on a Space."""
        return self.server_name in (LOOPBACK, "localhost", "::1") and not self.shared and not self.on_space

    def secret(self) -> bytes:
        """FACEID_SECRET, else 32 random bytes kept in a 0600 file in the data folder (made on first use)."""
        if self.given_secret:
            return self.given_secret.encode()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        path = self.data_dir / "secret"
        draft = path.with_name(f"secret.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(draft, path)  # atomic: of two processes starting at once, one secret wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return path.read_bytes()


def default_data_dir() -> str:
    """Where the operating system keeps a user's application data."""
    from platformdirs import user_data_dir

    return user_data_dir("faceid-flux", appauthor=False)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = given.get(name, str(default)).lower()
    if value in ("true", "1", "yes", "on"):
        return True
    if value in ("false", "0", "no", "off"):
        return False
    raise SetupError(f"{name}={value!r}: takes true or false.")


def _compile(given: Mapping[str, str]) -> bool:
    wanted = _flag(given, "FACEID_COMPILE", default=False)
    if wanted and _flag(given, "SPACES_ZERO_GPU", default=False):
        raise SetupError("FACEID_COMPILE=true: ZeroGPU has no torch.compile. Unset it there.")
    return wanted


def _long_enough(name: str, value: str | None) -> str | None:
    if value is not None and len(value) < MIN_KEY_LENGTH:
        raise SetupError(f"{name}: a value has {len(value)} characters; give at least {MIN_KEY_LENGTH}.")
    return value
