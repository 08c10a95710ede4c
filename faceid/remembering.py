"""What a prompt keeps of its request, to be drawn again as it was: as JSON, with the pictures it was given. Pure."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

from faceid.base_models import BaseModel
from faceid.domain import GenerationRequest, PromptFields, Upload
from faceid.errors import InvalidRequest


def remember_request(fields: PromptFields, request: GenerationRequest, model: BaseModel) -> dict[str, Any]:
    """The fields that were given, with the seed and the base model as they were decided, and the words without tags."""
    decided = replace(fields, seed=request.seed, base_model=model.slug)
    defaults = {field.name: field.default for field in fields_of(decided)}
    given = {name: value for name, value in _values(decided) if value != defaults[name]}
    return {"fields": {name: _as_json(value) for name, value in given.items()}, "words": request.prompt}


def recall_request(remembered: Mapping[str, Any]) -> tuple[PromptFields, str]:
    """The fields and the words that `remember_request` kept. InvalidRequest: another version of the app kept them."""
    given = {name: _from_json(value) for name, value in remembered["fields"].items()}
    if unknown := given.keys() - {field.name for field in fields_of(PromptFields)}:
        names = ", ".join(sorted(unknown))
        raise InvalidRequest(
            f"{names}: another version of this app took it, and this one cannot. Ask anew.", field=names
        )
    return PromptFields(**given), remembered["words"]


def fingerprint_request(fields: PromptFields, model: BaseModel) -> str | None:
    """The same for exactly the same fields to the same base model; None without a seed: each is a draw of its own."""
    if fields.seed is None:
        return None
    given = {name: _as_json(value) for name, value in _values(replace(fields, base_model=model.slug))}
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _values(fields: PromptFields) -> list[tuple[str, Any]]:
    return [(field.name, getattr(fields, field.name)) for field in fields_of(fields)]


def _as_json(value: Any) -> Any:
    if isinstance(value, Upload):
        return {"name": value.name, "base64": base64.b64encode(value.content).decode()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return Upload(value["name"], base64.b64decode(value["base64"]))
    return value
