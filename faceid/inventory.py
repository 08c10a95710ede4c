"""What base models are made of and what of it is on this machine's disk. Asks no server and loads no network.

`base_models` says what is needed; `doctor` prints it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from faceid.base_models import (
    ADAPTER_WEIGHTS,
    BASE_MODELS,
    FACE_PACK_WEIGHTS,
    FACE_PARSER_WEIGHTS,
    FINISHING_WEIGHTS,
    PARSER_FILE,
    BaseModel,
    Weights,
)
from faceid.flux.snapshot import INDEX, SHARED_COMPONENTS, missing_files
from faceid.hub import find_cached
from faceid.settings import Settings


@dataclass(frozen=True)
class Caches:
    """Where files are looked for: the folder of the lock file, huggingface_hub's cache (None: its own) and uniface's;
    `offline_pack`: the packages of the offline face pack are installed."""

    lock_dir: Path
    cache_dir: Path | None = None
    parser_dir: Path | None = None
    offline_pack: bool = False

    def find(self, repo: str, filename: str) -> Path | None:
        """The file in the cache at the commit of the lock file, else main's; None where it is not there."""
        return find_cached(repo, filename, lock_dir=self.lock_dir, cache_dir=self.cache_dir)

    def has(self, weights: Weights) -> bool:
        """Whether all files are there; those of a face pack may lie in a folder of the pack's name."""
        return all(
            self.find(weights.repo, name) or self.find(weights.repo, f"antelopev2/{name}") for name in weights.files
        )

    def has_pipeline(self, repo: str, without: Collection[str] = ()) -> bool:
        """Whether the pipeline is there as a whole."""
        index = self.find(repo, INDEX)
        return index is not None and not missing_files(index.parent, without)

    def has_parser(self) -> bool:
        """Whether uniface's face parser is there."""
        return self.parser_dir is not None and (self.parser_dir / PARSER_FILE).is_file()


@dataclass(frozen=True)
class Item:
    """One line of the table of weights. `wanted`: what is loaded at start needs it."""

    name: str
    weights: Weights
    there: bool
    wanted: bool


def choose_faces(chosen: Sequence[BaseModel], settings: Settings, caches: Caches) -> tuple[str, str | None]:
    """The face pack and the judge (None: off) of a start that cannot reach the Hub; what is named and missing, it
    would have to download."""
    pack = settings.face_pack
    if pack == "auto":
        needed = any(model.face_pack == "antelopev2" for model in chosen)
        at_hand = caches.has(FACE_PACK_WEIGHTS["antelopev2"]) or not caches.offline_pack
        pack = "antelopev2" if needed or at_hand else "offline"
    if not settings.likeness:
        return pack, None
    auraface = caches.has(FACE_PACK_WEIGHTS["auraface-v1"]) or not caches.offline_pack
    return pack, "auraface-v1" if pack != "offline" and auraface else "offline"


def list_weights(chosen: Sequence[BaseModel], settings: Settings, caches: Caches) -> list[Item]:
    """All that base models, adapters, face packs, the judge and finishing are made of; of a family the first brings the
    rest's text encoders and VAE. Finishing is nowhere needed: what cannot be had is off."""
    items, brought = [], set()
    for model in dict.fromkeys((*chosen, *BASE_MODELS)):
        if model.repo is None:
            continue
        shares = model.family in brought
        there = caches.has_pipeline(model.repo, SHARED_COMPONENTS if shares else ())
        gb = model.download_gb - (model.shared_gb if shares else 0)
        weights = Weights(model.repo, (), gb, model.licence, model.gated)
        items.append(Item(model.slug, weights, there, model in chosen))
        if model in chosen:
            brought.add(model.family)
    for adapter, files in ADAPTER_WEIGHTS.items():
        items += [Item(adapter, w, caches.has(w), any(m.adapter == adapter for m in chosen)) for w in files]
    items.append(Item("face parser", FACE_PARSER_WEIGHTS, caches.has_parser(), bool(brought)))
    faces = choose_faces(chosen, settings, caches)
    items += [Item(name, w, caches.has(w), name in faces) for name, w in FACE_PACK_WEIGHTS.items()]
    items += [Item(name, w, caches.has(w), False) for name, files in FINISHING_WEIGHTS.items() for w in files]
    return items
