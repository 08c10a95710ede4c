"""Bodies that no HTTP API should take: multipart, urlencoded and JSON, broken by chance. Knows the routes' paths only.

What is broken was refused before, too: a tune has no photo, and of a prompt nearly every field is out of range. So
whatever the breaking does, a 4xx is right.
"""

import json
import random
from collections.abc import Callable

PATHS = ("/tunes", "/tunes/690204/prompts", "/tunes/690204/prompts.json")
BOUNDARY = "----broken"
TUNE = {"title": "John Doe", "name": "man", "model_type": "faceid", "base_tune_id": 690204}
PROMPT = {"num_images": 99, "steps": 99, "seed": -1, "w": 1, "face_swap": True, "text": "<faceid:17:1> woman"}
ODD = ("", "\x00", "é" * 50, "🙂", "../../x", "<script>", "9" * 400, "nan", "[]", "{}", "%ff%fe", "true", "-1e999")


def make_malformed(chance: random.Random) -> tuple[str, str, bytes]:
    """A path, a content type and a body."""
    name, path = chance.choice([("tune", PATHS[0]), ("prompt", PATHS[1]), ("prompt", PATHS[2])])
    fields = dict(TUNE if name == "tune" else PROMPT)
    for field in chance.sample(list(fields), chance.randint(0, 2)):
        fields[field] = chance.choice(ODD)
    kind, body = chance.choice([_as_json, _as_form, _as_multipart])(name, fields)
    for _ in range(chance.randint(1, 4)):
        body = chance.choice(BREAKS)(body, chance)
    return path, kind, body


def _as_json(name: str, fields: dict) -> tuple[str, bytes]:
    return "application/json", json.dumps({name: fields}).encode()


def _as_form(name: str, fields: dict) -> tuple[str, bytes]:
    return "application/x-www-form-urlencoded", "&".join(f"{name}[{k}]={v}" for k, v in fields.items()).encode()


def _as_multipart(name: str, fields: dict) -> tuple[str, bytes]:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}[{field}]"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    return f"multipart/form-data; boundary={BOUNDARY}", "".join([*parts, f"--{BOUNDARY}--\r\n"]).encode()


def _cut(body: bytes, chance: random.Random) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _flip(body: bytes, chance: random.Random) -> bytes:
    if not body:
        return body
    place = chance.randrange(len(body))
    return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]


def _insert(body: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(body) + 1)
    return body[:place] + chance.randbytes(chance.randint(1, 2000)) + body[place:]


def _double(body: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(body) + 1)
    return body[:start] + body[start : start + 200] * chance.randint(2, 50) + body[start:]


def _nest(body: bytes, chance: random.Random) -> bytes:
    depth = chance.randint(2, 3000)
    return body.replace(b": ", b": " + b"[" * depth, 1).replace(b"[", b"[" + b"[a]" * min(depth, 50) + b"[", 1)


def _swell(body: bytes, chance: random.Random) -> bytes:
    return body.replace(b"man", b"m" * chance.randint(10_000, 300_000), 1)


BREAKS: tuple[Callable[[bytes, random.Random], bytes], ...] = (_cut, _flip, _insert, _double, _nest, _swell)
