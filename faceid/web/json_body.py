"""JSON from strangers: measured before it is parsed, and refused where its readers could disagree about it."""

import json
import math
import re
from typing import Any

from faceid.errors import BadBody, BodyTooLarge
from faceid.limits import LIMITS
from faceid.web.nesting import shorten

LARGEST_INTEGER = 2**63 - 1

# A whole string (an unfinished one reaches to the end), or one mark of structure. Linear in time, without backtracking.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]|,', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(body: bytes) -> dict[str, Any]:
    """The object in `body`. BadBody for what is no JSON object in UTF-8, BodyTooLarge for too much structure.

    Duplicate keys, NaN, infinities, integers beyond 64 bits and halves of surrogate pairs are refused.
    """
    _measure(body)
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except UnicodeDecodeError as error:
        raise BadBody(f"The body is not UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise BadBody(f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from error
    if not isinstance(value, dict):
        raise BadBody('The body is JSON, but no object; it looks like {"tune": {"title": "…"}}.')
    _check_texts(value)
    return value


def _measure(body: bytes) -> None:
    most, deepest = int(LIMITS["body_values"].high), int(LIMITS["body_depth"].high)
    values, depth = 1, 0
    for count, token in enumerate(_TOKEN.finditer(body)):
        mark = body[token.start() : token.start() + 1]
        if mark in b"[{":
            depth += 1
            values += 1
        elif mark in b"]}":
            depth -= 1
        elif mark == b",":
            values += 1
        if depth > deepest:
            raise BodyTooLarge(f"The JSON is nested more than {deepest} deep, which is the most that is taken.")
        if values > most or count > 6 * most:  # a value brings at most two texts, two brackets and a comma
            raise BodyTooLarge(f"The JSON has more than {most} values, which is the most that is taken.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadBody(f"The JSON key {shorten(twice)!r} is given twice in one object.")
    return value


def _refuse_constant(constant: str) -> None:
    raise BadBody(f"{constant} is not JSON; numbers are finite.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadBody(f"The number {shorten(text, 20)} is too large.")
    return number


def _bounded(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > LARGEST_INTEGER:
        raise BadBody(f"The number {shorten(text, 20)} is too large.")
    return number


def _check_texts(value: Any) -> None:
    if isinstance(value, dict):
        for name, child in value.items():
            _check_texts(name)
            _check_texts(child)
    elif isinstance(value, list):
        for child in value:
            _check_texts(child)
    elif isinstance(value, str) and _SURROGATE.search(value):
        raise BadBody("A text in the JSON has half a surrogate pair (\\ud800 to \\udfff), which is no character.")
