"""Bodies from strangers, made by hypothesis: each is read or refused with our own errors."""

import json

from bodies import BOUNDARY, DEEPEST, FORM, JSON, MULTIPART, multipart, part, pieces, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceid.errors import UserError


def outcome(*given, **headers) -> dict | str:
    """The value, or what the caller is told; any other exception is the test's."""
    try:
        return read(*given, **headers)
    except UserError as error:
        return str(error)


KEYS = st.text(st.sampled_from('ab[]01%é"\r\n;='), max_size=20)
ALPHABET = st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b":", b",", b"1", b"e", b"a", b"\xff", b"null", b" "])
LINES = st.sampled_from(
    [
        f"--{BOUNDARY}\r\n".encode(),
        f"--{BOUNDARY}--".encode(),
        b"\r\n",
        b'Content-Disposition: form-data; name="a[]"',
        b'Content-Disposition: form-data; name="a[]"; filename="x"',
        b'content-disposition: form-data; name="a[b][]"; filename="',
        b"Content-Disposition: attachment",
        b"Content-Type: text/plain; charset=utf-16\r\n\r\n",
        b"--",
        b"\xff\xfe\x00",
    ]
)
BODIES = st.one_of(
    st.binary(max_size=300),
    st.lists(ALPHABET, max_size=60).map(b"".join),
    st.lists(LINES, max_size=30).map(b"".join),
    st.lists(st.tuples(KEYS, KEYS), max_size=8).map(lambda pairs: "&".join(f"{k}={v}" for k, v in pairs).encode()),
    st.lists(st.tuples(KEYS, KEYS), max_size=8).map(lambda pairs: multipart(*(part(k, v) for k, v in pairs))),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES, st.sampled_from([JSON, FORM, MULTIPART]), st.integers(1, 64))
def test_any_body_is_read_or_refused_with_our_own_errors(body, content_type, size):
    answer = outcome(pieces(body, size), content_type)
    assert isinstance(answer, dict) or answer


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="latin-1"), max_size=60), st.text(st.characters(codec="latin-1"), max_size=20))
def test_any_headers_are_read_or_refused_with_our_own_errors(content_type, length):
    answer = outcome(b"{}", content_type, content_length=length)
    assert isinstance(answer, dict) or answer


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner)
    ),
    max_leaves=20,
).filter(lambda value: depth(value) < DEEPEST)


def depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), JSON_VALUES, max_size=4), st.booleans())
def test_any_plain_json_object_comes_as_it_is(value, ascii_only):
    assert read(json.dumps(value, ensure_ascii=ascii_only).encode(), JSON) == value
