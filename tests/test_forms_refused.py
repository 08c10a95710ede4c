"""Bodies from strangers: anything else is refused with our own errors, as soon as it can be told."""

import asyncio
import json
import tracemalloc

import pytest
from bodies import BOUNDARY, FORM, JSON, MOST_TEXT, MOST_VALUES, MULTIPART, multipart, part, read, request
from starlette.requests import Request

from faceid.errors import BadBody, BodyTooLarge, BodyTooSlow, InvalidRequest
from faceid.limits import LIMITS
from faceid.web.forms import Pace, read_body, read_body_at

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
