"""The prompt's tags: `<faceid:17:0.9>`, and `{{key}}` for a tune's characteristics. Pure: knows no tune, no model.

tag       = "<" kind ":" id [":" strength] ">"      spaces and case do not matter
kind      = "faceid"                                (`lora` is known and refused; every other word is an error)
id        = digits
strength  = a number from 0 to 3                    1 where it is not given
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from faceid.domain import FaceTag
from faceid.errors import InvalidRequest, PromptSyntaxError
from faceid.limits import CLASS_NAMES, LIMITS

# What is meant as a tag: a word followed by a colon, or one of our own words. `a < b`, `<3` and `<b>` are plain text.
_OPENING = re.compile(r"<\s*(?:([^\W\d_][\w-]*)\s*(?=:)|(faceid|lora)\b)", re.IGNORECASE)
_NAMED = re.compile(
    rf"<\s*faceid\b(?P<rest>[^<>]*)>(?P<space>\s*)(?P<class_name>(?:{'|'.join(CLASS_NAMES)})\b)?", re.IGNORECASE
)
_ID = re.compile(r"[0-9]{1,16}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_EXAMPLE = "Write <faceid:ID:strength>, such as <faceid:17:0.9>."


@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt without its tags: `text` is what may reach the text encoders, `tags` what stood in it, in order."""

    text: str = field(repr=False)
    tags: tuple[FaceTag, ...] = ()

    def person(self) -> FaceTag | None:
        """The one tune that is named, however often; PromptSyntaxError where tags differ in tune or strength."""
        if not self.tags:
            return None
        first, *others = self.tags
        for tag in others:
            if tag.tune_id != first.tune_id:
                raise PromptSyntaxError(
                    f"Two people in one prompt ({first.tune_id} and {tag.tune_id}) cannot be drawn yet: their faces "
                    "would mix. Name one tune.",
                    column=tag.column,
                )
            if tag.strength != first.strength:
                raise PromptSyntaxError(
                    f"The tune {tag.tune_id} has two strengths, {first.strength:g} and {tag.strength:g}. Give one.",
                    column=tag.column,
                )
        return first


def parse_prompt(text: str) -> ParsedPrompt:
    """Split `text` into plain text and tags. PromptSyntaxError points at the column (from 1) of what is wrong."""
    plain, tags, end = "", [], 0
    while opening := _OPENING.search(text, end):
        tag, after = _read_tag(text, opening)
        tags.append(tag)
        plain = _join(plain, text[end : opening.start()])
        end = after
    plain = _join(plain, text[end:])
    if tags and (left := _OPENING.search(plain)):
        raise PromptSyntaxError(f"A tag stands inside another: {left.group()}. {_EXAMPLE}", column=tags[0].column)
    return ParsedPrompt(plain.strip(), tuple(tags))


def tag_of(tune_id: int | str, strength: float = 1) -> str:
    """The tag that names this tune in a prompt."""
    return f"<faceid:{tune_id}:{strength:g}>"


def name_person(text: str, tune_id: int, class_name: str, strength: float = 1) -> str:
    """`text` with this tune's tag in the place of its faceid tags, else in front; of an empty text, tag and class.

    The class word behind a tag of somebody else becomes this tune's.
    """
    tag = tag_of(tune_id, strength)

    def rename(match: re.Match) -> str:
        named = _ID.search(match["rest"])
        is_other = match["class_name"] and not (named and int(named.group()) == tune_id)
        return f"{tag}{match['space']}{class_name if is_other else match['class_name'] or ''}"

    if _NAMED.search(text):
        return _NAMED.sub(rename, text)
    return f"{tag} {text.strip() or class_name}"


def fill_characteristics(text: str, characteristics: Mapping[str, str]) -> str:
    """Put the tune's characteristics in the place of `{{key}}`; InvalidRequest names a key that the tune lacks."""

    def value_of(match: re.Match) -> str:
        key = match.group(1)
        if key not in characteristics:
            known = ", ".join(sorted(characteristics)) or "none"
            raise InvalidRequest(
                f"text: {{{{{key}}}}} is not a characteristic of this tune. It has: {known}.", field="text"
            )
        return str(characteristics[key])

    filled = _PLACEHOLDER.sub(value_of, text)
    if _OPENING.search(filled):
        raise InvalidRequest(f"text: a tag cannot come from a characteristic. {_EXAMPLE}", field="text")
    return filled


def _read_tag(text: str, opening: re.Match) -> tuple[FaceTag, int]:
    """The tag that begins at `opening`, and the index after its `>`."""
    column = opening.start() + 1
    kind = (opening.group(1) or opening.group(2)).lower()
    close = text.find(">", opening.end())
    if close < 0 or "<" in text[opening.end() : close]:
        raise PromptSyntaxError(f"The tag <{kind} is not closed with >. {_EXAMPLE}", column=column)
    if kind == "lora":
        raise PromptSyntaxError("<lora:…> is not supported yet. Take the tag out of the prompt.", column=column)
    if kind != "faceid":
        raise PromptSyntaxError(f"<{kind}:…> is not a tag this app knows. {_EXAMPLE}", column=column)
    parts = text[opening.end() : close].split(":")[1:]
    if not 1 <= len(parts) <= 2:
        raise PromptSyntaxError(
            f"A faceid tag has an id and a strength, not {len(parts)} parts. {_EXAMPLE}", column=column
        )
    positions = [close - len(":".join(parts[i:])) for i in range(len(parts))]
    tune_id = _read_id(parts[0], positions[0])
    strength = _read_strength(parts[1], positions[1]) if len(parts) == 2 else LIMITS["strength"].default
    return FaceTag(tune_id, strength, column), close + 1


def _read_id(part: str, position: int) -> int:
    if not _ID.fullmatch(part.strip()):
        raise PromptSyntaxError(
            f"{part.strip()!r} is not a tune's id: it takes digits. {_EXAMPLE}", column=position + 1
        )
    return int(part)


def _read_strength(part: str, position: int) -> float:
    low, high, *_ = LIMITS["strength"]
    if not _NUMBER.fullmatch(part.strip()):
        raise PromptSyntaxError(
            f"{part.strip()!r} is not a strength: it takes a number, such as 0.9.", column=position + 1
        )
    if not low <= float(part) <= high:
        raise PromptSyntaxError(f"strength {part.strip()} is outside {low} to {high}.", column=position + 1)
    return float(part)


def _join(left: str, right: str) -> str:
    """The text around a removed tag: one space between words, none before a comma, no comma at the start."""
    left, right = left.rstrip(), right.lstrip()
    if not left:
        return right.lstrip(" ,;")
    return f"{left}{right}" if not right or right[0] in ",.;:!?" else f"{left} {right}"
