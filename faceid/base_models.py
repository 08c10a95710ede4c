"""The gallery of base models, as data: one entry adds a model. Knows no library; `flux` loads what stands here."""

from collections.abc import Sequence
from dataclasses import dataclass

from faceid.errors import InvalidRequest

PULID_FLUX = "pulid-flux-v0.9.1"
PULID_FAST = "pulid-fast"


@dataclass(frozen=True)
class BaseModel:
    """A model that draws.

    `tune_id` is the number clients of the hosted product call it by, `repo` its Hugging Face repository (None: its
    weights come with the project). `adapter` names the identity adapter its pictures need, `face_pack` the pack that
    adapter's vectors come from (None: any). `native_side` is the side of the square (px) whose area it draws; a model
    with `fixed_area` draws every request at that area and keeps the aspect. `identity_start` is the fraction of the
    steps after which the identity is added (PuLID's advice for photographs: 4 of 28 steps).
    """

    slug: str
    tune_id: int
    title: str
    repo: str | None
    licence: str
    licence_url: str
    gated: bool
    adapter: str
    face_pack: str | None
    branch: str
    default_steps: int
    default_guidance: float
    native_side: int
    identity_start: float = 0.0
    fixed_area: bool = False
    needs_cuda: bool = True
    note: str = ""


FLUX_DEV_LICENCE = "FLUX.1 [dev] Non-Commercial License"

BASE_MODELS: tuple[BaseModel, ...] = (
    BaseModel(
        slug="flux1-dev",
        tune_id=1504944,
        title="FLUX.1 [dev]",
        repo="black-forest-labs/FLUX.1-dev",
        licence=FLUX_DEV_LICENCE,
        licence_url="https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
        gated=True,
        adapter=PULID_FLUX,
        face_pack="antelopev2",
        branch="flux1",
        default_steps=28,
        default_guidance=3.5,
        native_side=1024,
        identity_start=4 / 28,
    ),
    BaseModel(
        slug="flux1-krea-dev",
        tune_id=3063697,
        title="FLUX.1 Krea [dev]",
        repo="black-forest-labs/FLUX.1-Krea-dev",
        licence=FLUX_DEV_LICENCE,
        licence_url="https://huggingface.co/black-forest-labs/FLUX.1-Krea-dev/blob/main/LICENSE.md",
        gated=True,
        adapter=PULID_FLUX,
        face_pack="antelopev2",
        branch="flux1",
        default_steps=28,
        default_guidance=4.5,
        native_side=1024,
        identity_start=4 / 28,
    ),
    BaseModel(
        slug="flux1-schnell",
        tune_id=2,
        title="FLUX.1 [schnell]",
        repo="black-forest-labs/FLUX.1-schnell",
        licence="Apache-2.0",
        licence_url="https://huggingface.co/black-forest-labs/FLUX.1-schnell",
        gated=True,
        adapter=PULID_FLUX,
        face_pack="antelopev2",
        branch="flux1",
        default_steps=4,
        default_guidance=0.0,
        native_side=1024,
    ),
    BaseModel(
        slug="fast",
        tune_id=1,
        title="fast",
        repo=None,
        licence="MIT",
        licence_url="LICENSE",
        gated=False,
        adapter=PULID_FAST,
        face_pack=None,
        branch="fast",
        default_steps=8,
        default_guidance=3.5,
        native_side=128,
        fixed_area=True,
        needs_cuda=False,
        note="A tiny Flux with random weights: it runs the whole chain on a CPU, and what it draws is coloured noise.",
    ),
)

DEFAULT_ALIAS = 690204  # what the product page's own snippets call; here: this machine's default


def find_base_model(name: str | int) -> BaseModel:
    """The entry whose slug or tune id is `name`; InvalidRequest lists the known ones."""
    wanted = str(name).strip().lower()
    for model in BASE_MODELS:
        if wanted in (model.slug, str(model.tune_id)):
            return model
    known = ", ".join(f"{m.slug} ({m.tune_id})" for m in BASE_MODELS)
    raise InvalidRequest(f"base_model: {name!r} is not known. Known: {known}.", field="base_model")


def choose_base_models(default: str | None, names: Sequence[str], *, cuda: bool) -> tuple[BaseModel, ...]:
    """What is loaded at start, the default first: `default`, else the first of `names`, else what suits the machine."""
    first = default or next(iter(names), None) or ("flux1-dev" if cuda else "fast")
    return tuple(dict.fromkeys(find_base_model(name) for name in (first, *names)))
