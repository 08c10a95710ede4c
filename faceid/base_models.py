"""The gallery of base models, as data: one entry adds a model. Knows no library; `flux` loads what stands here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from faceid.errors import InvalidRequest

PULID_FLUX = "pulid-flux-v0.9.1"
PULID_FAST = "pulid-fast"


class Rung(NamedTuple):
    """One way to lie in a GPU's memory: `free` GB (10^9 bytes) are wanted for one base model, `further` for each more.

    fp8: the transformer's weights are float8, all else is bfloat16. offload: None, all of it lies on the GPU; `model`,
    one network at a time; `group`, one block at a time.
    """

    name: str
    free: float
    further: float
    fp8: bool = False
    offload: str | None = None


# Weights of FLUX.1 in bfloat16: transformer 23.8 GB (float8: 12.0), T5 9.5, CLIP 0.25, VAE 0.17, PuLID's
# cross-attentions 0.84; to them come about 4 GB of activations at 1024 px. tests/test_full_size.py counts them.
FLUX_LADDER = (
    Rung("bf16", free=40, further=25),
    Rung("fp8", free=28, further=13, fp8=True),
    Rung("fp8, model offload", free=17, further=0, fp8=True, offload="model"),
    Rung("fp8, group offload", free=8, further=0, fp8=True, offload="group"),
)


class Weights(NamedTuple):
    """Files of one repository on the Hugging Face Hub: their size together in GB, their licence."""

    repo: str
    files: tuple[str, ...]
    gb: float
    licence: str
    gated: bool = False


ADAPTER_WEIGHTS: dict[str, tuple[Weights, ...]] = {
    PULID_FLUX: (
        Weights("guozinan/PuLID", ("pulid_flux_v0.9.1.safetensors",), 1.14, "Apache-2.0"),
        Weights("timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k", ("open_clip_model.safetensors",), 0.86, "MIT"),
    ),
}
FACE_FILES = ("scrfd_10g_bnkps.onnx", "glintr100.onnx")
FACE_PACK_WEIGHTS: dict[str, Weights] = {
    "antelopev2": Weights("DIAMONIK7777/antelopev2", FACE_FILES, 0.28, "non-commercial research"),
    "auraface-v1": Weights("fal/AuraFace-v1", FACE_FILES, 0.28, "Apache-2.0"),
}
PARSER_FILE = "parsing_resnet18.onnx"
FACE_PARSER_WEIGHTS = Weights("uniface", (PARSER_FILE,), 0.05, "MIT code; from uniface's releases, into its own cache")

SWAP_RECOGNISER = "models/buffalo_l/w600k_r50.onnx"  # the swapper was trained on its vectors
FINISHING_WEIGHTS: dict[str, tuple[Weights, ...]] = {
    "super_resolution": (
        Weights("Comfy-Org/Real-ESRGAN_repackaged", ("RealESRGAN_x4plus.safetensors",), 0.07, "BSD-3-Clause"),
    ),
    "face_correct": (Weights("gmk123/GFPGAN", ("GFPGANv1.4.pth",), 0.35, "Apache-2.0"),),
    "face_swap": (
        Weights("ezioruan/inswapper_128.onnx", ("inswapper_128.onnx",), 0.55, "non-commercial research"),
        Weights("public-data/insightface", (SWAP_RECOGNISER,), 0.17, "non-commercial research"),
    ),
}


@dataclass(frozen=True)
class BaseModel:
    """A model that draws.

    `tune_id` is the number clients of the hosted product call it by, `repo` its Hugging Face repository (None: its
    weights come with the project). `adapter` names the identity adapter its pictures need, `face_pack` the pack that
    adapter's vectors come from (None: any). `native_side` is the side of the square (px) whose area it draws; a model
    with `fixed_area` draws every request at that area and keeps the aspect; what it draws is shown `enlargement` times
    larger. `identity_start` is the fraction of the steps after which the identity is added (PuLID's advice for
    photographs: 4 of 28 steps). Models of one `family` have the same text encoders and VAE, which are loaded once.
    `download_gb` is what the repository's pipeline weighs, `shared_gb` those of it, `ladder` how it may lie in a GPU's
    memory, best first.
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
    enlargement: int = 1
    needs_cuda: bool = True
    note: str = ""
    family: str = ""
    download_gb: float = 0
    shared_gb: float = 0
    ladder: tuple[Rung, ...] = ()

    @property
    def lane(self) -> str:
        """The queue's lane: models that share networks, or one GPU, draw one at a time."""
        return self.family or self.slug


FLUX_DEV_LICENCE = "FLUX.1 [dev] Non-Commercial License"
FLUX1 = {  # what every FLUX.1 model has
    "gated": True,
    "adapter": PULID_FLUX,
    "face_pack": "antelopev2",
    "branch": "flux1",
    "native_side": 1024,
    "family": "flux1",
    "download_gb": 34,
    "shared_gb": 10,
    "ladder": FLUX_LADDER,
}

BASE_MODELS: tuple[BaseModel, ...] = (
    BaseModel(
        slug="flux1-dev",
        tune_id=1504944,
        title="FLUX.1 [dev]",
        repo="black-forest-labs/FLUX.1-dev",
        licence=FLUX_DEV_LICENCE,
        licence_url="https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
        default_steps=28,
        default_guidance=3.5,
        identity_start=4 / 28,
        **FLUX1,
    ),
    BaseModel(
        slug="flux1-krea-dev",
        tune_id=3063697,
        title="FLUX.1 Krea [dev]",
        repo="black-forest-labs/FLUX.1-Krea-dev",
        licence=FLUX_DEV_LICENCE,
        licence_url="https://huggingface.co/black-forest-labs/FLUX.1-Krea-dev/blob/main/LICENSE.md",
        default_steps=28,
        default_guidance=4.5,
        identity_start=4 / 28,
        **FLUX1,
    ),
    BaseModel(
        slug="flux1-schnell",
        tune_id=2,
        title="FLUX.1 [schnell]",
        repo="black-forest-labs/FLUX.1-schnell",
        licence="Apache-2.0",
        licence_url="https://huggingface.co/black-forest-labs/FLUX.1-schnell",
        default_steps=4,
        default_guidance=0.0,
        **FLUX1,
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
        native_side=64,
        fixed_area=True,
        enlargement=4,
        needs_cuda=False,
        note="It is a tiny Flux for trying everything without a GPU: it redraws the face of a photo, 256 px large.",
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
