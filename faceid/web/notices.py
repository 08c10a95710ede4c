"""What the page says of the models in use, while they are being loaded and after. Knows no component."""

from collections.abc import Sequence
from typing import Protocol

from faceid.base_models import BaseModel
from faceid.web.presenting import licences_text, loading_text, status_text


class NamedPack(Protocol):
    """The face pack: its name, its licence, and why it is this one."""

    name: str
    licence: str
    note: str


class NamedJudge(Protocol):
    """Who judges likeness, and under which licence."""

    name: str
    licence: str


class Notices:
    """The status line and the licences, as Markdown. They say more once `know` was called."""

    def __init__(self, base_models: Sequence[BaseModel]):
        self._base_models = base_models
        self._loaded: tuple[NamedPack, NamedJudge | None] | None = None

    def know(self, pack: NamedPack, judge: NamedJudge | None) -> None:
        """The models are loaded: who reads faces and who judges likeness."""
        self._loaded = pack, judge

    def status(self) -> str:
        """What draws here, reads faces and judges likeness, and why it is these."""
        if self._loaded is None:
            return loading_text(self._base_models)
        pack, judge = self._loaded
        return status_text(self._base_models, pack=pack.name, pack_note=pack.note, judge=judge.name if judge else None)

    def licences(self) -> str:
        """The licences of what is in use, and what becomes of photos."""
        pack, judge = self._loaded or (None, None)
        return licences_text(
            self._base_models,
            pack_licence=pack.licence if pack else "",
            judge_licence=judge.licence if judge else "",
        )
