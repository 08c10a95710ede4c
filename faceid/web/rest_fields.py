"""What a client of the HTTP API may send, field by field, from JSON or the strings of a form. Knows kinds, no rule.

Ranges and choices are the studio's to check; here they are only described. Empty strings and null mean "not given";
fields that nobody knows are ignored.
"""

import json
import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from faceid.domain import Upload
from faceid.finishes import COLOR_GRADINGS
from faceid.limits import LIMITS, SCHEDULERS
from faceid.sizes import ASPECT_RATIOS
from faceid.styles import STYLES
from faceid.validation import LARGEST_ID, shown

TRUE, FALSE = ("true", "1", "yes", "on", "t"), ("false", "0", "no", "off", "f")


def _read_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("is not a text.")
    return str(value)


def _read_number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LARGEST_ID:  # nor is a NaN
        raise ValueError(f"{shown(value)} is not a number.")
    return int(number) if number == int(number) else number


def _read_whole(value: Any) -> int:
    number = _read_number(value)
    if not isinstance(number, int):
        raise ValueError(f"{shown(value)} is not a whole number.")
    return number


def _read_flag(value: Any) -> bool:
    word = str(value).strip().lower()
    if not isinstance(value, (str, int)) or word not in TRUE + FALSE:
        raise ValueError(f"{shown(value)} is neither true nor false.")
    return word in TRUE


def _read_object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("is not a JSON object.") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object.")
    return value


def _read_list(value: Any) -> list:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if item is not None and item != ""]


def _read_upload(value: Any) -> Upload:
    if not isinstance(value, Upload):
        raise ValueError("is not a file; send multipart/form-data, or a URL in its own field.")
    return value


def within(name: str, description: str = "") -> Any:
    """A field described by its range in LIMITS."""
    low, high, default, unit = LIMITS[name]
    said = (description, "" if default is None else f"default {default:g}", unit)
    text = ", ".join(part for part in said if part)
    return Field(None, description=text or None, json_schema_extra={"minimum": low, "maximum": high})


def one_of(*choices: str, description: str | None = None) -> Any:
    """A field described by its choices."""
    return Field(None, description=description, json_schema_extra={"examples": list(choices)})


Text = Annotated[str, BeforeValidator(_read_text)]
Number = Annotated[float, BeforeValidator(_read_number)]
Whole = Annotated[int, BeforeValidator(_read_whole)]
Flag = Annotated[bool, BeforeValidator(_read_flag)]
Object = Annotated[dict[str, Any], BeforeValidator(_read_object), WithJsonSchema({"type": "object"})]
Texts = Annotated[list[Text], BeforeValidator(_read_list)]
File = Annotated[Any, BeforeValidator(_read_upload), WithJsonSchema({"type": "string", "format": "binary"})]
Files = Annotated[list[File], BeforeValidator(_read_list)]


class FieldsIn(BaseModel):
    """Fields of which null and empty strings are not given, and unknown ones are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def leave_out_what_is_not_given(cls, given: Any) -> Any:
        """`given` without them; ValueError where it is no object."""
        if not isinstance(given, dict):
            raise ValueError("is not an object with fields.")
        return {name: value for name, value in given.items() if value is not None and value != ""}


class PromptIn(FieldsIn):
    """What is asked to be drawn."""

    model_config = ConfigDict(title="PromptFields", json_schema_extra={"required": ["text"]})

    text: Text = Field("", description="with `<faceid:ID:strength>` where a person is meant")
    negative_prompt: Text = ""
    num_images: Whole | None = within("num_images")
    seed: Whole | None = within("seed", "image i of a batch uses seed + i")
    steps: Whole | None = within("steps")
    cfg_scale: Number | None = within("cfg_scale", "Flux's distilled guidance")
    w: Whole | None = within("w", "drawn in multiples of 16")
    h: Whole | None = within("h", "drawn in multiples of 16")
    aspect_ratio: Text | None = one_of(*ASPECT_RATIOS, description="in the place of w and h")
    ar: Text | None = one_of("1:1", "portrait", "16:9", "landscape", description="the older name of aspect_ratio")
    super_resolution: Flag = False
    hires_fix: Flag = False
    inpaint_faces: Flag = False
    face_correct: Flag = False
    face_swap: Flag = False
    film_grain: Flag = False
    color_grading: Text | None = one_of(*COLOR_GRADINGS)
    style: Text | None = one_of(*(style.name for style in STYLES))
    scheduler: Text | None = one_of(*SCHEDULERS)
    input_image: File | None = None
    input_image_url: Text | None = None
    input_image_base64: Text | None = None
    mask_image: File | None = None
    mask_image_url: Text | None = None
    mask_image_base64: Text | None = None
    denoising_strength: Number | None = within("denoising_strength")
    controlnet: Text | None = None
    controlnet_conditioning_scale: Text | None = None
    controlnet_txt2img: Text | None = None
    callback: Text | None = Field(None, description="an http(s) URL that gets one POST of the prompt when it has ended")
    best_of: Whole | None = within("best_of", "this app's own: the most alike of so many are kept")
    true_cfg_scale: Number | None = within("true_cfg_scale", "this app's own")
    true_cfg_start: Number | None = within("true_cfg_start", "this app's own")
    identity_start: Number | None = within("identity_start", "this app's own")
    preset: Text | None = one_of("photo", "art", description="this app's own")
    faster: Flag = False


class TuneIn(FieldsIn):
    """What becomes a tune."""

    model_config = ConfigDict(title="TuneFields", json_schema_extra={"required": ["title", "name"]})

    title: Text = ""
    name: Text = Field("", description="the class: man, woman, boy, girl, person, …")
    model_type: Text = Field("faceid", json_schema_extra={"enum": ["faceid"]})
    images: Files = []
    image_urls: Texts = []
    callback: Text | None = Field(None, description="an http(s) URL that gets one POST of the tune")
    base_tune_id: Whole | None = None
    token: Text = "ohwx"
    branch: Text | None = one_of("flux1", "fast")
    characteristics: Object = {}
    prompts_attributes: Annotated[list[PromptIn], BeforeValidator(_read_list)] = []
    steps: Whole | None = Field(None, description="kept and given back: there is no training")
    face_crop: Flag | None = Field(None, description="kept and given back")
    training_face_correct: Flag | None = Field(None, description="kept and given back")
    preset: Text | None = Field(None, description="kept: there is no training")
    auto_extend: Flag | None = Field(None, description="kept: there is no training")


class TuneChanges(FieldsIn):
    """What of a tune may be changed."""

    title: Text | None = None
    name: Text | None = None
    characteristics: Object | None = None
