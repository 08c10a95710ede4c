"""Bodies from strangers: what clients send is understood, and anything else is refused with our own errors."""

import asyncio
import json
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from faceid.domain import Upload
from faceid.errors import BadBody, BodyTooLarge, BodyTooSlow, InvalidRequest, UserError
from faceid.limits import LIMITS
from faceid.web.forms import Pace, read_body, read_body_at

BOUNDARY = "b0undary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MOST_VALUES = int(LIMITS["body_values"].high)
MOST_TEXT = int(LIMITS["body_text_bytes"].high)
DEEPEST = int(LIMITS["body_depth"].high)


def request(chunks: Iterable[bytes], content_type: str | None, **headers: str) -> Request:
    """A request as a server gives it to the app; its body ends with the chunks."""
    rest = iter(chunks)

    async def receive():
        chunk = next(rest, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    given = headers | ({"content-type": content_type} if content_type else {})
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in given.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}, receive)


def read(body: bytes | Iterable[bytes], content_type: str | None, **headers: str) -> dict:
    chunks = [body] if isinstance(body, bytes) else body
    return asyncio.run(read_body(request(chunks, content_type, **headers)))


def part(key: str, content: bytes | str = b"", *, filename: str | None = None, headers: str = "") -> bytes:
    name = "" if filename is None else f'; filename="{filename}"'
    content = content.encode() if isinstance(content, str) else content
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"{name}\r\n{headers}\r\n'.encode() + content


def multipart(*parts: bytes) -> bytes:
    return b"".join(p + b"\r\n" for p in parts) + f"--{BOUNDARY}--\r\n".encode()


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[i : i + size] for i in range(0, len(body), size)]


# What clients send


def test_json_keeps_its_kinds_of_values():
    sent = {"tune": {"title": "Zoë 🪞", "ids": [1, -2.5e3, True, None, ""], "characteristics": {"eyes": 'a "b" \\ {['}}}
    assert read(json.dumps(sent).encode(), JSON) == sent
    assert read(json.dumps(sent, ensure_ascii=False).encode(), "Application/JSON; charset=UTF-8") == sent


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_multipart_in_any_chunks(size):
    photo = bytes(range(256)) * 3 + b"\r\n--b0undar"
    body = multipart(
        part("tune[title]", "Zoë"),
        part("tune[images][]", photo, filename="a.jpg", headers="Content-Type: image/jpeg\r\n"),
        part("tune[images][]", b"two", filename="b.jpg"),
        part("tune[callback]", ""),
    )
    tune = {"title": "Zoë", "images": [Upload("a.jpg", photo), Upload("b.jpg", b"two")], "callback": None}
    assert read(pieces(body, size), MULTIPART) == {"tune": tune}


def test_files_as_requests_sends_bytes_without_a_name():
    """requests gives the key as the file's name and no content type; messages then count the photos."""
    body = multipart(*(part("tune[images][]", bytes([i]), filename="tune[images][]") for i in (1, 2)))
    assert read(body, MULTIPART)["tune"]["images"] == [Upload("images 1", b"\1"), Upload("images 2", b"\2")]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\me\\x.jpg", "x.jpg"), ("é.jpg", "é.jpg"), ("a\tb\x85\u202e.jpg", "ab.jpg")],
)
def test_a_file_keeps_its_base_name_only(sent, kept):
    assert read(multipart(part("image", b"x", filename=sent)), MULTIPART)["image"].name == kept


def test_a_file_name_in_the_extended_notation_makes_it_a_file():
    disposition = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"p\"; filename*=utf-8''%C3%A9.jpg\r\n\r\n"
    assert read(multipart(disposition.encode() + b"\xff\xd8"), MULTIPART) == {"p": Upload("é.jpg", b"\xff\xd8")}


def test_a_file_field_without_a_file_is_not_given():
    body = multipart(part("a[images][]", filename=""), part("a[mask]", filename=""))
    assert read(body, MULTIPART) == {"a": {"images": [], "mask": None}}


def test_urlencoded_as_curl_d_sends_it():
    body = "prompt[text]=%3Cfaceid%3A1%3A1%3E+wom%C3%A4n&prompt%5Bsteps%5D=8&prompt[negative_prompt]=&flag"
    prompt = {"text": "<faceid:1:1> womän", "steps": "8", "negative_prompt": None}
    assert read(body.encode(), FORM) == {"prompt": prompt, "flag": None}


@pytest.mark.parametrize("content_type", [None, JSON, FORM, "text/plain"])
def test_no_body_is_an_empty_object(content_type):
    assert read(b"", content_type) == {}


# Nested keys


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ("a[][t]=1&a[][s]=2&a[][t]=3&a[][s]=4", {"a": [{"t": "1", "s": "2"}, {"t": "3", "s": "4"}]}),
        ("a[][t]=&a[][s]=2&a[][t]=3", {"a": [{"t": None, "s": "2"}, {"t": "3"}]}),
        ("a[][u][]=1&a[][u][]=2&a[][t]=3", {"a": [{"u": ["1", "2"], "t": "3"}]}),
        ("a[][c][x]=1&a[][c][y]=2&a[][c][x]=3", {"a": [{"c": {"x": "1", "y": "2"}}, {"c": {"x": "3"}}]}),
        ("a[10][t]=z&a[9][t]=y&a[9][s]=w", {"a": [{"t": "y", "s": "w"}, {"t": "z"}]}),
        ("a[1]=x&a[01]=y", {"a": {"1": "x", "01": "y"}}),
        ("a[]=&a[]=1", {"a": ["1"]}),
        ("0=x", {"0": "x"}),
    ],
)
def test_keys_nest_as_in_rails(pairs, value):
    assert read(pairs.encode(), FORM) == value


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ("a[b]=1&a[]=2", "a[]"),
        ("a[]=1&a[b]=2", "a[b]"),
        ("a=1&a[b]=2", "a[b]"),
        ("a[b]=1&a=2", "a"),
        ("a[b]=1&a[b]=2", "a[b]"),
        ("a[]=1&a[][t]=2", "a[][t]"),
        ("a[][t]=1&a[]=2", "a[]"),
        ("a[][]=1", "a[][]"),
        ("[]=1", "[]"),
        ("a[=1", "a["),
        ("a[b]c=1", "a[b]c"),
        ("a]=1", "a]"),
        ("=1", ""),
        ("a" + "[b]" * DEEPEST + "=1", "a" + "[b]" * DEEPEST),
    ],
)
def test_keys_that_cannot_be_read_or_contradict_are_named(pairs, named):
    for body, kind in (
        (pairs.encode(), FORM),
        (multipart(*(part(*pair.split("=")) for pair in pairs.split("&"))), MULTIPART),
    ):
        if not named and kind == MULTIPART:
            continue  # a part without a name has an error of its own
        with pytest.raises(InvalidRequest) as refused:
            read(body, kind)
        assert refused.value.field == named
        assert str(refused.value).startswith(named)


def test_the_deepest_keys_and_json_that_are_taken():
    value: object = "x"
    for _ in range(DEEPEST - 1):
        value = {"b": value}
    assert read(("a" + "[b]" * (DEEPEST - 1) + "=x").encode(), FORM) == {"a": value}
    assert read(json.dumps({"a": value}).encode(), JSON) == {"a": value}
    with pytest.raises(BodyTooLarge, match=f"more than {DEEPEST} deep"):
        read(json.dumps({"a": {"b": value}}).encode(), JSON)


# What is refused

NO_JSON = {
    "broken": b'{"a": ',
    "trailing": b"{} {}",
    "a list": b"[]",
    "a string": b'"x"',
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "overflow": b'{"a": 1e999}',
    "a huge integer": b'{"a": ' + b"9" * 5000 + b"}",
    "65 bits": b'{"a": 9223372036854775808}',
    "duplicate": b'{"a": {"b": 1, "b": 1}}',
    "half a pair": b'{"a": ["\\ud800"]}',
    "half a pair in a key": b'{"\\udfff": 1}',
    "open string": b'{"a": "' + b'\\"' * 100_000,
    "a control character": b'{"a": "\n"}',
}


@pytest.mark.parametrize("why", NO_JSON)
def test_what_is_no_plain_json_object_is_refused(why):
    with pytest.raises(BadBody):
        read(NO_JSON[why], JSON)


def test_the_largest_integer_is_exact():
    assert read(b'{"a": 9223372036854775807, "b": -9007199254740993}', JSON) == {"a": 2**63 - 1, "b": -(2**53) - 1}


@pytest.mark.parametrize("body", [b"[" * 10_000_000, b"{" * 10_000_000, b'"' * 10_000_000, b"]" * 10_000_000])
def test_structure_is_measured_before_it_is_built(body):
    with pytest.raises(BodyTooLarge):
        read(b'{"a":' + body, JSON)


@pytest.mark.parametrize("kind", [JSON, FORM, MULTIPART])
def test_values_are_counted(kind):
    def body(count: int) -> bytes:
        return {
            JSON: lambda: json.dumps({"a": [0] * (count - 2)}).encode(),
            FORM: lambda: b"&".join([b"a[]=0"] * count),
            MULTIPART: lambda: multipart(*[part("a[]", "0")] * count),
        }[kind]()

    assert set(read(body(MOST_VALUES), kind)["a"]) <= {0, "0"}
    with pytest.raises(BodyTooLarge, match=f"more than {MOST_VALUES}"):
        read(body(MOST_VALUES + 2), kind)


READERS = ("python_multipart", "faceid.web.forms", "faceid.web.parts")  # an app in the background may log too
NO_MULTIPART = {
    "no boundary": ("multipart/form-data", multipart(part("a", "1"))),
    "an empty boundary": ("multipart/form-data; boundary=", multipart(part("a", "1"))),
    "a long boundary": (f"multipart/form-data; boundary={'x' * 71}", b""),
    "another boundary": ("multipart/form-data; boundary=other", multipart(part("a", "1"))),
    "no end": (MULTIPART, multipart(part("a", "1"))[: -len(BOUNDARY) - 6]),
    "cut in a part": (MULTIPART, multipart(part("a", "1"), part("b", "2"))[:-40]),
    "nothing": (MULTIPART, b""),
    "no part name": (MULTIPART, f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--".encode()),
    "no disposition": (MULTIPART, f"--{BOUNDARY}\r\nContent-Type: x/y\r\n\r\nx\r\n--{BOUNDARY}--".encode()),
    "a long header": (MULTIPART, multipart(part("a", "1", headers=f"X: {'x' * 100_000}\r\n"))),
    "many headers": (MULTIPART, multipart(part("a", "1", headers="X: y\r\n" * 1000))),
    "latin-1 text": (MULTIPART, multipart(part("a", b"\xe9"))),
    "latin-1 key": (MULTIPART, multipart(part("a", "1").replace(b'"a"', b'"\xe9"'))),
}


@pytest.mark.parametrize("why", NO_MULTIPART)
def test_what_is_no_multipart_form_is_refused(why, caplog):
    content_type, body = NO_MULTIPART[why]
    with pytest.raises(BadBody):
        read(body, content_type)
    assert not [record for record in caplog.records if record.name.startswith(READERS)]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "multipart/mixed; boundary=x", ";;;"])
def test_other_kinds_of_bodies_are_refused_by_name(content_type):
    with pytest.raises(BadBody, match=r"Content-Type.*application/json"):
        read(b"{}", content_type)


def test_other_encodings_are_refused_by_name():
    with pytest.raises(BadBody, match="gzip"):
        read(b"{}", JSON, content_encoding="gzip")
    with pytest.raises(BadBody, match="latin-1"):
        read(b"{}", "application/json; charset=latin-1")
    with pytest.raises(BadBody, match="UTF-8"):
        read(b"a=%ff", FORM)


def test_a_file_without_a_name_is_told_what_it_lacks():
    with pytest.raises(BadBody, match=r"image.*filename"):
        read(multipart(part("image", b"\xff\xd8\xff")), MULTIPART)


# How much, how fast


def never(*before: bytes):
    """Chunks, then a test that fails: whoever refuses a body by what came does not read on."""
    yield from before
    pytest.fail("was read on")


@pytest.mark.parametrize(("kind", "limit"), [(JSON, "body_text_bytes"), (FORM, "body_text_bytes")])
def test_an_announced_length_is_refused_before_a_byte_is_read(kind, limit):
    most = int(LIMITS[limit].high)
    with pytest.raises(BodyTooLarge, match=f"{most // 2**20} MB"):
        read(never(), kind, content_length=str(most + 1))
    assert read(b"", kind, content_length=str(most)) == {}


def test_an_announced_length_of_multipart_is_refused_too():
    with pytest.raises(BodyTooLarge):
        read(never(), MULTIPART, content_length=str(int(LIMITS["body_bytes"].high) + 1))
    for length in ("9" * 5000, "-1", "0x10", "²"):
        with pytest.raises(BadBody):
            read(never(), MULTIPART, content_length=length)


@pytest.mark.parametrize("kind", [JSON, FORM])
def test_bytes_are_counted_whatever_was_announced(kind):
    with pytest.raises(BodyTooLarge):
        read(never(*[b" " * 2**20] * (MOST_TEXT // 2**20), b" "), kind, content_length="5")


def test_a_form_full_of_escapes_is_refused_before_it_is_decoded():
    with pytest.raises(BodyTooLarge, match="percent"):
        read(b"a=" + b"%41" * 1_000_001, FORM)


def test_texts_of_a_multipart_form_are_counted_together():
    chunks = [
        chunk for i in range(3) for chunk in (part(f"a{i}"), *[b"x" * 2**20] * (MOST_TEXT // 2**20 // 2), b"\r\n")
    ]
    with pytest.raises(BodyTooLarge, match="texts"):
        read(chunks, MULTIPART)


def test_a_file_that_is_too_large_is_named_before_all_of_it_came():
    size = int(LIMITS["photo_bytes"].high)
    start = part("tune[images][]", filename="big.jpg")
    whole = [start, *[b"x" * 2**20] * (size // 2**20)]
    assert len(read([*whole, b"\r\n" + multipart()], MULTIPART)["tune"]["images"][0].content) == size
    with pytest.raises(InvalidRequest, match=r"big\.jpg") as refused:
        read(never(*whole, b"x", b"y" * 100), MULTIPART)
    assert refused.value.field == "tune[images][]"


def test_photos_wait_on_the_disk():
    """Of a body with 300 MB of photos that turns out to be broken, memory has seen a few MB."""
    photo = [part("tune[images][]", filename="a.jpg"), *[b"x" * 2**18] * 60, b"\r\n"]
    tracemalloc.start()
    with pytest.raises(BadBody, match="last boundary"):
        read((chunk for _ in range(20) for chunk in photo), MULTIPART)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


def stalled(*chunks: bytes) -> Request:
    """A request whose client sends these and then nothing more."""
    sent = request(chunks, JSON)
    rest = iter(chunks)

    async def receive():
        for chunk in rest:
            return {"type": "http.request", "body": chunk, "more_body": True}
        await asyncio.Event().wait()

    return Request(sent.scope, receive)


def test_a_body_that_stalls_is_dropped():
    with pytest.raises(BodyTooSlow, match="5 bytes"):
        asyncio.run(read_body_at(Pace(grace=0.05), stalled(b'{"a":')))


def test_every_byte_buys_time_up_to_the_longest():
    pace = Pace(grace=20, rate=1000, longest=100)
    assert [pace.allowed(n) for n in (0, 1000, 70_000, 10**9)] == [20, 21, 90, 100]


def test_a_client_that_goes_away_is_no_surprise():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(BadBody, match="closed"):
        asyncio.run(read_body(Request(request([], JSON).scope, receive)))


# Anything at all


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
