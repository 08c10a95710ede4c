"""What the HTTP API answers, as models: exactly the product's keys. Turns the studio's values into them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from faceid.base_models import find_base_model
from faceid.domain import Prompt, Tune
from faceid.prompt_syntax import tag_of
from faceid.web.presenting import iso

TUNE_ID, PROMPT_ID = 135297048731921, 135298110447368
Time = Annotated[
    str,
    BeforeValidator(lambda moment: iso(moment) if isinstance(moment, datetime) else moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T14:32:05.067Z"]}),
]
URL = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]
FLAGS = ("super_resolution", "face_correct", "face_swap", "inpaint_faces", "hires_fix")
Status = Literal["queued", "processing", "done", "failed"]


class TuneOut(BaseModel):
    """A cached identity. It is ready at once: `trained_at` is set on creation."""

    model_config = ConfigDict(title="Tune")

    id: Annotated[int, Field(examples=[TUNE_ID])]
    title: Annotated[str, Field(examples=["John Doe"])]
    name: Annotated[str, Field(examples=["man"])]
    is_api: bool
    token: Annotated[str, Field(examples=["ohwx"])]
    base_tune_id: int | None
    args: str | None
    steps: int | None
    face_crop: bool | None
    training_face_correct: bool | None
    ckpt_url: str | None
    ckpt_urls: list[str]
    eta: Time
    trained_at: Time
    started_training_at: Time
    expires_at: Time
    created_at: Time
    branch: Annotated[str, Field(examples=["flux1"])]
    model_type: Annotated[str, Field(examples=["faceid"])]
    updated_at: Time
    url: URL
    orig_images: list[URL]


class NoteOut(BaseModel):
    """What was done otherwise than asked."""

    model_config = ConfigDict(title="Note")

    field: Annotated[str, Field(examples=["face_swap"])]
    reason: str


class PromptOut(BaseModel):
    """A request for pictures and what became of it. `status` and `notes` are this app's own."""

    model_config = ConfigDict(title="Prompt")

    id: Annotated[int, Field(examples=[PROMPT_ID])]
    text: Annotated[str, Field(examples=[f"{tag_of(TUNE_ID)} man trekking in the alps"])]
    negative_prompt: str
    cfg_scale: float
    steps: int
    seed: int
    callback: str | None
    tune_id: Annotated[int, Field(description="the base model's id", examples=[1504944])]
    num_images: int
    w: int
    h: int
    super_resolution: bool
    face_correct: bool
    face_swap: bool
    inpaint_faces: bool
    hires_fix: bool
    style: str | None
    scheduler: str | None
    created_at: Time
    updated_at: Time
    started_training_at: Annotated[Time | None, Field(description="when drawing began")]
    trained_at: Annotated[Time | None, Field(description="when the pictures were ready")]
    url: URL
    images: Annotated[list[URL], Field(description="filled when done")]
    user_error: Annotated[str | None, Field(description="never empty where the prompt failed")]
    status: Status
    notes: list[NoteOut]


class ErrorOut(BaseModel):
    """Every refusal: a text for people, and what is wrong with each field."""

    model_config = ConfigDict(title="Error")

    message: Annotated[str, Field(examples=["title: is missing."])]
    errors: Annotated[dict[str, list[str]], Field(examples=[{"title": ["is missing."]}])]


def tune_out(tune: Tune, origin: str, photo_url: Callable[[int, int], str]) -> dict[str, Any]:
    """The tune's JSON; `origin` is the address the app is called by, `photo_url(tune id, position)` a photo's path."""
    created = iso(tune.created_at)
    photos = range(0 if tune.photos_kept is False else tune.num_photos)
    return {
        "id": tune.id,
        "title": tune.title,
        "name": tune.name,
        "is_api": tune.is_api,
        "token": tune.token,
        "base_tune_id": tune.base_tune_id,
        "args": None,
        "steps": tune.options.get("steps"),
        "face_crop": tune.options.get("face_crop"),
        "training_face_correct": tune.options.get("training_face_correct"),
        "ckpt_url": None,
        "ckpt_urls": [],
        "eta": created,
        "trained_at": created,
        "started_training_at": created,
        "expires_at": iso(tune.expires_at),
        "created_at": created,
        "branch": tune.branch,
        "model_type": tune.model_type,
        "updated_at": iso(tune.updated_at),
        "url": f"{origin}/tunes/{tune.id}.json",
        "orig_images": [origin + photo_url(tune.id, position) for position in photos],
    }


def prompt_out(prompt: Prompt, origin: str, picture_url: Callable[[str], str]) -> dict[str, Any]:
    """The prompt's JSON; `picture_url(path)` is the path under which a picture's file is served."""
    asked, base = prompt.parameters, find_base_model(prompt.base_model).tune_id
    failed, done = prompt.status in ("failed", "cancelled"), prompt.status == "done"
    ended = prompt.finished_at and iso(prompt.finished_at)
    started = prompt.started_at and iso(prompt.started_at)
    return {
        "id": prompt.id,
        "text": prompt.text,
        **{name: asked[name] for name in ("negative_prompt", "cfg_scale", "steps", "seed")},
        "callback": prompt.callback,
        "tune_id": base,
        "num_images": asked["num_images"],
        "w": asked["w"] or asked["picture_w"],
        "h": asked["h"] or asked["picture_h"],
        **{name: bool(asked.get(name)) for name in FLAGS},
        "style": asked.get("style"),
        "scheduler": asked.get("scheduler"),
        "created_at": iso(prompt.created_at),
        "updated_at": ended or started or iso(prompt.created_at),
        "started_training_at": started,
        "trained_at": ended if done else None,
        "url": f"{origin}/tunes/{base}/prompts/{prompt.id}.json",
        "images": [origin + picture_url(picture.path) for picture in prompt.pictures] if done else [],
        "user_error": (prompt.user_error or "The pictures could not be drawn.") if failed else None,
        "status": "failed" if failed else prompt.status,
        "notes": [note._asdict() for note in prompt.notes],
    }
