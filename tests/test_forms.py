"""Bodies from strangers: what clients send is understood, with nested keys."""

import json

import pytest
from bodies import BOUNDARY, DEEPEST, FORM, JSON, MULTIPART, multipart, part, pieces, read

from faceid.domain import Upload
from faceid.errors import BodyTooLarge, InvalidRequest

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
