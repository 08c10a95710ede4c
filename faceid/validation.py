"""Checks of what a caller gives: a value, trimmed, or InvalidRequest with the field, its value and what it takes.

Pure.
"""

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from types import NoneType
from typing import Any

from faceid.domain import MODEL_TYPE, PromptFields, TuneFields, Upload
from faceid.errors import InvalidPhotos, InvalidRequest, PhotoProblem
from faceid.limits import CLASS_NAMES, LIMITS, REFUSED_CLASS_NAMES

BRANCHES = ("flux1", "fast")
MOST_CHARACTERISTICS = 100
LARGEST_ID = 2**53 - 1  # what every JSON client reads as it was written
_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    str | None: ((str, NoneType), "a text"),
    str | int | None: ((str, int, NoneType), "a name or an id"),
    bool: ((bool, NoneType), "true or false"),
}
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_tune_fields(fields: TuneFields) -> TuneFields:
    """The fields with trimmed texts. Refuses a missing title, a class that is no human's, a missing consent."""
    check_kinds(fields)
    if not fields.consent:
        raise InvalidRequest(
            "consent: false. Only photos of people who agreed, or of yourself, may become a tune.", field="consent"
        )
    if fields.model_type != MODEL_TYPE:
        raise InvalidRequest(
            f"model_type: {shown(fields.model_type)} is not made here; use 'faceid'.", field="model_type"
        )
    if fields.branch not in (None, *BRANCHES):
        known = " or ".join(BRANCHES)
        raise InvalidRequest(f"branch: {fields.branch!r} is not made here; use {known}.", field="branch")
    return replace(
        fields,
        title=check_title(fields.title),
        name=check_class_name(fields.name),
        token=check_text("token", fields.token or "ohwx", most=50),
        base_tune_id=None if fields.base_tune_id is None else check_id("base_tune_id", fields.base_tune_id),
        characteristics=check_characteristics(fields.characteristics),
    )


def check_kinds(fields: TuneFields | PromptFields) -> None:
    """InvalidRequest where a field of a text, or of true and false, holds something else; numbers are left alone."""
    for field in dataclass_fields(fields):
        kinds, called = _KINDS.get(field.type, ((object,), ""))
        value = getattr(fields, field.name)
        if not isinstance(value, kinds):
            raise InvalidRequest(f"{field.name}: {shown(value)} is not {called}.", field=field.name)


def check_id(field: str, value: object) -> int:
    """The id that `value` is, as a number or in digits; InvalidRequest where it can be none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(LARGEST_ID)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_ID:
        raise InvalidRequest(f"{field}: {shown(value)} is not an id. An id is a whole number, such as 17.", field=field)
    return value


def check_page_size(value: object, most: int = 120) -> int:
    """How many of a list are wanted at once, 1 to `most`: what is outside is brought inside."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"limit: {shown(value)} is not a whole number.", field="limit")
    return max(1, min(value, most))


def shown(value: object) -> str:
    """`value` as it may stand in a message: in one line, and not all of it where it is long."""
    text = repr(value[:60] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= 70 else f"{text[:69]}…"


def check_title(title: str) -> str:
    """A title of 1 to 200 characters, trimmed, on one line."""
    return check_text("title", title, most=int(LIMITS["title"].high))


def check_class_name(name: str) -> str:
    """The class word of a human face, in lower case."""
    word = check_text("name", name, most=int(LIMITS["title"].high)).lower()
    known = ", ".join(CLASS_NAMES)
    if word in REFUSED_CLASS_NAMES:
        raise InvalidRequest(f"name: {word!r} cannot be a tune: human faces only. Use one of {known}.", field="name")
    if not word or len(word) > 40 or not all(c.isalpha() or c in " -'" for c in word):
        raise InvalidRequest(f"name: {shown(name)} is not a class word. Use one of {known}.", field="name")
    return word


def check_characteristics(given: Mapping[str, object]) -> dict[str, str]:
    """What `{{key}}` in a prompt is filled with: at most 100 texts."""
    if not isinstance(given, Mapping):
        raise InvalidRequest(
            f"characteristics: {shown(given)} is not an object of names and texts.", field="characteristics"
        )
    if len(given) > MOST_CHARACTERISTICS:
        raise InvalidRequest(
            f"characteristics: has {len(given)} entries, at most {MOST_CHARACTERISTICS} are taken.",
            field="characteristics",
        )
    return {str(key): check_characteristic(str(key), value) for key, value in given.items()}


def check_characteristic(key: str, value: object) -> str:
    """A value that may stand in a prompt: plain text without `<`, `>`, `{` or `}`, at most 500 characters."""
    key = check_text("characteristics", key, most=100)
    text = check_text("characteristics", str(value), most=500)
    if any(c in "<>{}" for c in key + text):
        raise InvalidRequest(f"characteristics: {shown(key)} may not hold any of < > {{ }}.", field="characteristics")
    return text


def check_text(field: str, text: str, *, most: int, lines: bool = False) -> str:
    """`text`, trimmed, 1 to `most` characters, without control or direction-changing characters."""
    if not isinstance(text, str):
        raise InvalidRequest(f"{field}: {shown(text)} is not a text.", field=field)
    trimmed = text.strip()
    if not trimmed:
        raise InvalidRequest(f"{field}: is missing.", field=field)
    if len(trimmed) > most:
        raise InvalidRequest(f"{field}: has {len(trimmed)} characters, at most {most} are taken.", field=field)
    for column, character in enumerate(trimmed, start=1):
        control = unicodedata.category(character) in ("Cc", "Cs") and not (lines and character in "\n\r\t")
        if control or character in _BIDI_CONTROLS:
            raise InvalidRequest(
                f"{field}: the character U+{ord(character):04X} at column {column} is not taken.", field=field
            )
    return trimmed


def check_photo_count(count: int) -> None:
    """InvalidRequest unless it is 1 to 20."""
    most = int(LIMITS["photos"].high)
    if not 1 <= count <= most:
        raise InvalidRequest(f"images: {count} photos were given; a tune takes 1 to {most}.", field="images")


def check_uploads(photos: Sequence[Upload]) -> None:
    """1 to 20 photos of at most 20 MB each."""
    check_photo_count(len(photos))
    most_bytes = int(LIMITS["photo_bytes"].high)
    problems = [
        PhotoProblem(
            photo.name, f"has {len(photo.content) / 2**20:.1f} MB; at most {most_bytes // 2**20} MB are taken."
        )
        for photo in photos
        if len(photo.content) > most_bytes
    ]
    if problems:
        raise InvalidPhotos(problems)


def clean_file_name(name: str) -> str:
    """A file's name without folders and unprintable characters, at most 100 characters; it may be empty."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in base if c.isprintable())[:100].strip()


def _check_limit(name: str, value: float) -> None:
    """InvalidRequest where `value` is outside LIMITS[name]; the text gives the value and the range."""
    limit = LIMITS[name]
    if not limit.low <= value <= limit.high:
        unit = f" {limit.unit}" if limit.unit else ""
        given, low, high = (f"{number:,.15g}" for number in (value, limit.low, limit.high))
        raise InvalidRequest(f"{name}: {given} is outside {low} to {high}{unit}.", field=name)


def check_number(field: str, value: float | None, default: float) -> float:
    """`value` where it is a number inside LIMITS[field], `default` where it is None."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > sys.float_info.max:
        raise InvalidRequest(f"{field}: {shown(value)} is not a number.", field=field)
    _check_limit(field, value)
    return float(value)


def check_flag(field: str, value: bool | None) -> bool:
    """`value` where it is true or false; None is false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"{field}: {shown(value)} is neither true nor false.", field=field)
    return value


def check_choice(field: str, value: str | None, choices: Sequence[str]) -> str | None:
    """The one of `choices` that `value` is in any case; None and the empty text are None. InvalidRequest lists them."""
    wanted = (value or "").strip().lower()
    known = {choice.lower(): choice for choice in choices}
    if wanted and wanted not in known:
        raise InvalidRequest(f"{field}: {shown(value)} is not known. Known: {', '.join(choices)}.", field=field)
    return known.get(wanted)


def check_whole(field: str, value: float | None, default: int) -> int:
    """`value` where it is a whole number inside LIMITS[field], `default` where it is None."""
    number = check_number(field, value, default)
    if number != int(number):
        raise InvalidRequest(f"{field}: {value!r} is not a whole number.", field=field)
    return int(number)
