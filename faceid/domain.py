"""The words of the project as frozen values: tunes, photos, tags, requests and what a generation yields.

Knows no library, no storage and no transport. It is longer than other files: whoever looks for a word looks here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from faceid.finishes import Finishing

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from faceid.starting_pictures import StartingPicture


TUNE_LIFETIME = timedelta(days=30)
MODEL_TYPE = "faceid"


def now() -> datetime:
    """The present, UTC, to the millisecond: what the store keeps and the API prints."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(frozen=True)
class Upload:
    """A photo as it came: the name its owner knows it by, and the file's bytes."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, eq=False)
class Face:
    """The face used from one photo. Pixels and landmarks are of the upright photo (EXIF applied).

    embedding (D,) float32, not normalised, in the space of `face_pack`; aligned (512, 512, 3) uint8 RGB by the FFHQ
    template; landmarks (5, 2) xy px; thumbnail: an encoded 256 px WebP of `aligned`; score: the detector's, 0 to 1.
    """

    photo: str
    face_pack: str
    box: tuple[float, float, float, float]
    landmarks: "np.ndarray" = field(repr=False)
    score: float
    embedding: "np.ndarray" = field(repr=False)
    aligned: "np.ndarray" = field(repr=False)
    thumbnail: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()


class IdentityKey(NamedTuple):
    """What identity tokens belong to: the adapter with its weights' revision, and the face pack of the vectors."""

    adapter: str
    face_pack: str


@dataclass(frozen=True, eq=False)
class TunePhoto:
    """One photo of a tune. `original` is None where photos are not kept; `vectors` maps packs to (D,) float32."""

    sha256: str
    thumbnail: bytes = field(repr=False)
    original: bytes | None = field(default=None, repr=False)
    vectors: Mapping[str, "np.ndarray"] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tune:
    """A cached identity. `name` is its class word (man, woman, …); `options` holds the product's fields that have no
    effect on a faceid tune (steps, face_crop, …), kept to be given back. Times are UTC."""

    id: int
    owner: str = field(repr=False)
    title: str
    name: str
    token: str = "ohwx"
    model_type: str = MODEL_TYPE
    branch: str = "flux1"
    base_tune_id: int | None = None
    callback: str | None = None
    is_api: bool = False
    characteristics: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    consent_at: datetime | None = None
    consent_route: str = ""
    num_photos: int = 1
    photos_kept: bool | None = True  # None: made by a version that did not note it
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    expires_at: datetime = field(default_factory=lambda: now() + TUNE_LIFETIME)


class PictureFile(NamedTuple):
    """A finished picture on disk: its place in the prompt (from 0), the seed it was drawn from, the PNG's path, and
    the band of its likeness to the person in the prompt (None: nobody, or likeness is off)."""

    index: int
    seed: int
    path: str
    likeness: str | None = None


class Note(NamedTuple):
    """What is done otherwise than asked: the field it is about, the reason in words for the caller."""

    field: str
    reason: str


@dataclass(frozen=True)
class Prompt:
    """A request for pictures and what became of it. `parameters` holds the request's fields as they were decided;
    status is queued, processing, done, failed or cancelled; a failed prompt has a non-empty `user_error`.

    `request` is what drawing it again takes, as PromptStore.take_over gives it and nobody else; `fingerprint` is the
    same for equal requests with a seed of their own; `origin` is the address it was sent to, for its callback's URLs.
    """

    id: int
    owner: str = field(repr=False)
    text: str = field(repr=False)
    base_model: str
    tune_ids: tuple[int, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    status: str = "queued"
    user_error: str | None = None
    created_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pictures: tuple[PictureFile, ...] = ()
    notes: tuple[Note, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fingerprint: str | None = field(default=None, repr=False)
    callback: str | None = field(default=None, repr=False)
    origin: str | None = None


@dataclass(frozen=True)
class TuneFields:
    """What a caller says of a new tune, in the product's names. `options` are its fields without effect here."""

    title: str
    name: str
    token: str = "ohwx"
    model_type: str = MODEL_TYPE
    branch: str | None = None
    base_tune_id: int | None = None
    callback: str | None = None
    is_api: bool = False
    characteristics: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    allow_different_people: bool = False
    consent: bool = True
    consent_route: str = "api"


@dataclass(frozen=True)
class PromptFields:
    """What a caller asks to be drawn, in the product's names. None: not given, the base model's default holds."""

    text: str = field(repr=False)
    negative_prompt: str = field(default="", repr=False)
    num_images: int | None = None
    best_of: int | None = None
    seed: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    true_cfg_scale: float | None = None
    w: int | None = None
    h: int | None = None
    aspect_ratio: str | None = None
    identity_start: float | None = None
    true_cfg_start: float | None = None
    preset: str | None = None
    faster: bool = False
    base_model: str | int | None = None
    super_resolution: bool = False
    hires_fix: bool = False
    inpaint_faces: bool = False
    face_correct: bool = False
    face_swap: bool = False
    film_grain: bool = False
    color_grading: str | None = None
    style: str | None = None
    scheduler: str | None = None
    input_image: Upload | None = None
    mask_image: Upload | None = None
    denoising_strength: float | None = None
    callback: str | None = field(default=None, repr=False)


class FaceTag(NamedTuple):
    """`<faceid:tune_id:strength>` as it stood in a prompt; column counts characters from 1."""

    tune_id: int
    strength: float
    column: int


@dataclass(frozen=True, eq=False)
class WeightedIdentity:
    """Identity tokens (1, N, D) float16 and the strength they are drawn with, 0 to 3."""

    tokens: "np.ndarray" = field(repr=False)
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class GenerationRequest:
    """All that a base model needs for its pictures: checked, without a tag, a photo or an owner.

    identity_start is the fraction of the steps after which the identity is added (0: from the first step);
    true_cfg_scale > 1 draws a second pass with the negative prompt, after the fraction true_cfg_start of the steps;
    faster lets steps that change little be skipped, once the identity has begun; width and height are px, multiples
    of 16. Picture i is drawn from seed + i, and from the picture `start` where there is one; `finishing` is done to it.
    """

    base_model: str
    prompt: str = field(repr=False)
    seed: int
    num_images: int
    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int
    identities: tuple[WeightedIdentity, ...] = ()
    negative_prompt: str = field(default="", repr=False)
    true_cfg_scale: float = 1.0
    identity_start: float = 0.0
    true_cfg_start: float = 0.0
    faster: bool = False
    start: "StartingPicture | None" = None
    finishing: Finishing = field(default_factory=Finishing)

    @property
    def identity_step(self) -> int:
        """The step (from 0) at which the identity begins."""
        return round(self.identity_start * self.num_inference_steps)

    @property
    def true_cfg_step(self) -> int:
        """The step (from 0) at which true CFG begins."""
        return round(self.true_cfg_start * self.num_inference_steps)


class StepDone(NamedTuple):
    """`step` of `steps` (from 1) of picture `index` (from 0) is finished."""

    index: int
    step: int
    steps: int


class Picture(NamedTuple):
    """Picture `index` (from 0), drawn from `seed`. The image is RGB; notes: what of its finishing was left out."""

    index: int
    seed: int
    image: "Image"
    notes: tuple[Note, ...] = ()
