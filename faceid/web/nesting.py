"""Flat form keys in Rails style become one nested value. Knows no transport.

    tune[title]=Ada                              {"tune": {"title": "Ada"}}
    tune[images][]=…  tune[images][]=…           {"tune": {"images": […, …]}}
    a[][text]=x  a[][seed]=1  a[][text]=y        {"a": [{"text": "x", "seed": "1"}, {"text": "y"}]}
    a[0][text]=x  a[1][text]=y                   {"a": [{"text": "x"}, {"text": "y"}]}

As in Rack, `[]` begins a new element where the one before it has the key already, and an object whose keys are all
numbers is a list in their order. Unlike Rack, keys that contradict each other are refused.
"""

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from faceid.errors import InvalidRequest
from faceid.limits import LIMITS

LONGEST_KEY = 200

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def nest(pairs: Iterable[tuple[str, Any]], leaf: Callable[[Any], Any] = lambda value: value) -> dict[str, Any]:
    """The nested value of form pairs; None stays for a key that came without a value, and leaves a list.

    `leaf` is applied to every value once all keys are known to fit together. InvalidRequest names the key.
    """
    root: dict[str, Any] = {}
    for key, value in pairs:
        _put(root, parse_key(key), value, key)
    return {name: _settle(child, leaf) for name, child in root.items()}


def parse_key(key: str) -> list[str]:
    """The names in a key, "" for `[]`: `a[b][][c]` is ["a", "b", "", "c"]."""
    shown = shorten(key)
    match = _KEY.fullmatch(key) if len(key) <= LONGEST_KEY else None
    if match is None:
        raise InvalidRequest(f"{shown}: is not a form key; they look like tune[title] or tune[images][].", field=shown)
    path = [match[1], *re.findall(r"\[([^\]]*)\]", match[2])]
    deepest = int(LIMITS["body_depth"].high)
    if len(path) > deepest:
        raise InvalidRequest(f"{shown}: is nested {len(path)} deep; at most {deepest} are taken.", field=shown)
    if any(one == two == "" for one, two in pairwise(path)):
        raise InvalidRequest(f"{shown}: a list cannot hold lists; write [] once.", field=shown)
    return path


def shorten(text: str, most: int = 80) -> str:
    """`text` fit for a message: printable, and not much longer than `most` characters."""
    printable = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return printable if len(text) <= most else f"{printable[:most]}…"


def _put(node: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    name, *rest = path
    if not rest:
        if name in node:
            raise _conflict(key, "is given twice. Several values go by a key that ends in []")
        node[name] = value
    elif rest[0]:
        child = node.setdefault(name, {})
        if not isinstance(child, dict):
            raise _conflict(key, f"contradicts an earlier key, where {name!r} has no names in it")
        _put(child, rest, value, key)
    else:
        items = node.setdefault(name, [])
        inner = rest[1:]
        if not isinstance(items, list) or any(isinstance(item, dict) != bool(inner) for item in items[-1:]):
            raise _conflict(key, f"contradicts an earlier key, where {name!r} is no such list")
        if not inner:
            items.append(value)
            return
        if not items or _has(items[-1], inner):
            items.append({})
        _put(items[-1], inner, value, key)


def _has(node: Any, path: list[str]) -> bool:
    """Whether putting something at `path` needs an element of its own."""
    name, *rest = path
    if not isinstance(node, dict) or name not in node:
        return False
    return not rest or (rest[0] != "" and _has(node[name], rest))


def _settle(node: Any, leaf: Callable[[Any], Any]) -> Any:
    if isinstance(node, dict):
        if all(_INDEX.fullmatch(name) for name in node):
            node = [node[name] for name in sorted(node, key=int)]
        else:
            return {name: _settle(child, leaf) for name, child in node.items()}
    if isinstance(node, list):
        return [_settle(item, leaf) for item in node if item is not None]
    return None if node is None else leaf(node)


def _conflict(key: str, what: str) -> InvalidRequest:
    shown = shorten(key)
    return InvalidRequest(f"{shown}: {what}.", field=shown)
