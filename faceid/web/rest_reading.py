"""From the body of an HTTP request to the studio's values: the product's nesting, the three forms of a picture."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from faceid.domain import PromptFields, TuneFields, Upload
from faceid.errors import InvalidRequest
from faceid.fetching import check_url
from faceid.limits import LIMITS
from faceid.web.rest_fields import FieldsIn, PromptIn, TuneIn

Fields = TypeVar("Fields", bound=FieldsIn)
Fetch = Callable[..., Upload]
MOST_BYTES = int(LIMITS["photo_bytes"].high)
PICTURES = ("input_image", "mask_image")
CONTROLNET = ("controlnet", "controlnet_conditioning_scale", "controlnet_txt2img")
ELSEWHERE = {*CONTROLNET, "ar", *(f"{name}{form}" for name in PICTURES for form in ("", "_url", "_base64"))}
WITHOUT_EFFECT = ("steps", "face_crop", "training_face_correct", "preset", "auto_extend")


def read_fields(kind: type[Fields], body: Mapping[str, Any], name: str) -> Fields:
    """The fields in `body[name]`, each in its kind. pydantic's ValidationError names every one that cannot be read."""
    given = body.get(name)
    if not isinstance(given, Mapping):
        example = f'{{"{name}": {{…}}}} or the form keys {name}[…]'
        raise InvalidRequest(f"{name}: is missing; its fields go into {example}.", field=name)
    return kind.model_validate(dict(given))


def tune_fields(given: TuneIn) -> TuneFields:
    """What the studio takes of a new tune."""
    options = {name: getattr(given, name) for name in WITHOUT_EFFECT}
    return TuneFields(
        title=given.title,
        name=given.name,
        token=given.token,
        model_type=given.model_type,
        branch=given.branch,
        base_tune_id=given.base_tune_id,
        callback=given.callback,
        is_api=True,
        characteristics=given.characteristics,
        options={name: value for name, value in options.items() if value is not None},
        consent_route="http",
    )


def prompt_fields(given: PromptIn, base_model: int | None, fetch: Fetch) -> PromptFields:
    """What the studio takes of a prompt; `fetch` gets the pictures that are given as URLs. InvalidRequest, BadURL."""
    for name in CONTROLNET:
        if (getattr(given, name) or "").strip().lower() not in ("", "false"):
            raise InvalidRequest(f"{name}: ControlNet is not there yet. Leave it out.", field=name)
    plain = given.model_dump(exclude_none=True, exclude=ELSEWHERE)
    return PromptFields(
        **plain | {"aspect_ratio": given.aspect_ratio or given.ar},
        **{name: _read_picture(given, name, fetch) for name in PICTURES},
        base_model=base_model,
    )


def check_callback(url: str | None) -> None:
    """BadURL unless it is none, or a URL that may be posted to."""
    if url is not None:
        check_url(url, field="callback")


def _read_picture(given: PromptIn, name: str, fetch: Fetch) -> Upload | None:
    """A picture that came as a file, as base64 or as a URL; InvalidRequest where it came in more than one form."""
    forms = {form: value for form in (name, f"{name}_base64", f"{name}_url") if (value := getattr(given, form))}
    if len(forms) > 1:
        raise InvalidRequest(f"{name}: give one of {', '.join(forms)}, not more.", field=name)
    for form, value in forms.items():
        if form.endswith("_url"):
            return fetch(value, MOST_BYTES, field=form)
        return _decode(value, form, name) if form.endswith("_base64") else value
    return None


def _decode(text: str, field: str, name: str) -> Upload:
    """The picture in base64, with or without a `data:` prefix."""
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    if len(encoded) > MOST_BYTES * 4 / 3 + 4:
        raise InvalidRequest(f"{field}: has more than {MOST_BYTES // 2**20} MB.", field=field)
    try:
        return Upload(name, base64.b64decode("".join(encoded.split()), validate=True))
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{field}: is not base64.", field=field) from None
