"""Checks of what a caller gives: a value, trimmed, or InvalidRequest with the field, its value and what it takes.

Pure.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from faceid.domain import MODEL_TYPE, TuneFields, Upload
from faceid.errors import InvalidPhotos, InvalidRequest, PhotoProblem
from faceid.limits import CLASS_NAMES, LIMITS, REFUSED_CLASS_NAMES

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_tune_fields(fields: TuneFields) -> TuneFields:
    """The fields with trimmed texts. Refuses a missing title, a class that is no human's, a missing consent."""
    if not fields.consent:
        raise InvalidRequest(
            "consent: false. Only photos of people who agreed, or of yourself, may become a tune.", field="consent"
        )
    if fields.model_type != MODEL_TYPE:
        raise InvalidRequest(f"model_type: {fields.model_type!r} is not made here; use 'faceid'.", field="model_type")
    characteristics = {str(key): check_characteristic(str(key), value) for key, value in fields.characteristics.items()}
    return replace(
        fields,
        title=check_title(fields.title),
        name=check_class_name(fields.name),
        token=check_text("token", fields.token or "ohwx", most=50),
        characteristics=characteristics,
    )


def check_title(title: str) -> str:
    """A title of 1 to 200 characters, trimmed, on one line."""
    return check_text("title", title, most=int(LIMITS["title"].high))


def check_class_name(name: str) -> str:
    """The class word of a human face, in lower case."""
    word = name.strip().lower()
    known = ", ".join(CLASS_NAMES)
    if word in REFUSED_CLASS_NAMES:
        raise InvalidRequest(f"name: {word!r} cannot be a tune: human faces only. Use one of {known}.", field="name")
    if not word or len(word) > 40 or not all(c.isalpha() or c in " -'" for c in word):
        raise InvalidRequest(f"name: {name!r} is not a class word. Use one of {known}.", field="name")
    return word


def check_characteristic(key: str, value: object) -> str:
    """A value that may stand in a prompt: plain text without `<`, `>`, `{` or `}`, at most 500 characters."""
    text = check_text("characteristics", str(value), most=500)
    if any(c in "<>{}" for c in key + text):
        raise InvalidRequest(f"characteristics: {key!r} may not hold any of < > {{ }}.", field="characteristics")
    return text


def check_text(field: str, text: str, *, most: int, lines: bool = False) -> str:
    """`text`, trimmed, 1 to `most` characters, without control or direction-changing characters."""
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


def check_uploads(photos: Sequence[Upload]) -> None:
    """1 to 20 photos of at most 20 MB each."""
    most = int(LIMITS["photos"].high)
    if not 1 <= len(photos) <= most:
        raise InvalidRequest(f"images: {len(photos)} photos were given; a tune takes 1 to {most}.", field="images")
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


def check_limit(name: str, value: float) -> None:
    """InvalidRequest where `value` is outside LIMITS[name]; the text gives the value and the range."""
    limit = LIMITS[name]
    if not limit.low <= value <= limit.high:
        unit = f" {limit.unit}" if limit.unit else ""
        raise InvalidRequest(f"{name}: {value:g} is outside {limit.low:g} to {limit.high:g}{unit}.", field=name)


def check_number(field: str, value: float | None, default: float) -> float:
    """`value` where it is a number inside LIMITS[field], `default` where it is None."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest(f"{field}: {value!r} is not a number.", field=field)
    check_limit(field, value)
    return float(value)


def check_flag(field: str, value: bool | None) -> bool:
    """`value` where it is true or false; None is false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"{field}: {value!r} is neither true nor false.", field=field)
    return value


def check_whole(field: str, value: float | None, default: int) -> int:
    """`value` where it is a whole number inside LIMITS[field], `default` where it is None."""
    number = check_number(field, value, default)
    if number != int(number):
        raise InvalidRequest(f"{field}: {value!r} is not a whole number.", field=field)
    return int(number)
