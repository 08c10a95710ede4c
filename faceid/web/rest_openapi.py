"""How the HTTP API describes itself: parameters, bodies and refusals for /openapi.json."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import BaseModel

from faceid.prompt_syntax import tag_of
from faceid.validation import LARGEST_ID
from faceid.web.forms import read_body
from faceid.web.rest_schemas import PROMPT_ID, TUNE_ID, ErrorOut

Body = Annotated[Mapping[str, Any], Depends(read_body)]
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Limit = Annotated[int, Query(ge=1, le=120, description="how many at most")]
Offset = Annotated[int, Query(ge=0, le=10_000, description="further on, use before_id")]
BeforeId = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="only older: the last id of the page before")]

REFUSALS = {
    400: "the body cannot be read",
    401: "no key, or one that is not admitted",
    404: "no such object of yours",
    408: "the body came too slowly",
    413: "the body is too large",
    422: "a field cannot be used",
    429: "the queue is full",
    503: "the models are still being loaded, or the app is closing",
    507: "the disk is full",
}
RETRY = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}}
EXAMPLES = {
    "tune": {
        "title": "John Doe - UUID - 1234-6789-1234-56789",
        "name": "man",
        "model_type": "faceid",
        "base_tune_id": 690204,
        "image_urls": ["https://i.imgur.com/HLHBnl9.jpeg"],
    },
    "prompt": {
        "text": f"{tag_of(TUNE_ID)} woman trekking in the alps",
        "negative_prompt": "",
        "super_resolution": True,
        "face_correct": True,
        "face_swap": True,
    },
}
DESCRIPTION = f"""Tunes and prompts as the hosted product's clients speak them, on the same objects as the page.

Send `Authorization: Bearer KEY` (on your own machine no key is needed). Bodies are JSON or multipart/form-data with
keys such as `tune[title]` and `tune[images][]`; in a form everything is a string, and an empty one means "not given".
Every path also takes the suffix `.json`. Ids look like {TUNE_ID} or {PROMPT_ID}.
"""


def refusals(*statuses: int) -> dict[int, dict[str, Any]]:
    """FastAPI's `responses` for refusals."""
    return {
        status: {"model": ErrorOut, "description": REFUSALS[status]}
        | ({"headers": RETRY} if status in (429, 503) else {})
        for status in statuses
    }


def accepts(model: type[BaseModel], name: str, *refused: int) -> dict[str, Any]:
    """FastAPI's options for a body with the fields of `model` under `name`, as JSON or as a form.

    refused: statuses beside those of every body that cannot be read.
    """
    schema = model.model_json_schema()
    fields = _inline(schema, schema.pop("$defs", {}))
    in_json = {"type": "object", "required": [name], "properties": {name: _without_files(fields)}}
    required = [f"{name}[{field}]" for field in fields.get("required", ())]
    in_form = {"type": "object", "required": required, "properties": dict(_form_keys(name, fields))}
    example = {name: {field: value for field, value in EXAMPLES[name].items() if field in model.model_fields}}
    content = {"application/json": {"schema": in_json, "example": example}, "multipart/form-data": {"schema": in_form}}
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "responses": refusals(400, 408, 413, *refused),
    }


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """The schema with what it refers to in the place of the references."""
    if isinstance(node, list):
        return [_inline(child, definitions) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inline(definitions[node["$ref"].rpartition("/")[2]], definitions)
    return {name: _inline(child, definitions) for name, child in node.items()}


def _is_file(schema: dict[str, Any]) -> bool:
    return any(part.get("format") == "binary" for part in (schema, schema.get("items", {}), *schema.get("anyOf", ())))


def _without_files(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields that JSON can carry."""
    kept = {}
    for name, field in schema["properties"].items():
        if not _is_file(field):
            inner = field.get("items", {})
            kept[name] = field | {"items": _without_files(inner)} if "properties" in inner else field
    return schema | {"properties": kept}


def _form_keys(prefix: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields as keys of a form, with the schema of each."""
    for name, field in schema["properties"].items():
        plain = next((part for part in field.get("anyOf", ()) if part.get("type") != "null"), {})
        said = {key: value for key, value in field.items() if key not in ("anyOf", "default", "title")} | plain
        items = said.get("items", {})
        if "properties" in items:
            yield from _form_keys(f"{prefix}[{name}][]", items)
        elif said.get("type") == "array":
            yield f"{prefix}[{name}][]", said
        elif said.get("type") == "object":
            yield f"{prefix}[{name}]", {"type": "string", "description": "JSON"}
        else:
            yield f"{prefix}[{name}]", said
