import pytest

from faceid.errors import NotAdmitted
from faceid.web.owners import LOCAL, Owners, is_loopback

HERE = {"host": "127.0.0.1:7860"}
KEY, OTHER = "a-key-of-more-than-20-characters", "another-key-of-more-than-20-characters"
local = Owners(secret=b"s", local=True)
public = Owners(secret=b"s", local=False)
keyed = Owners(secret=b"s", local=True, admitted=(KEY,))


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "localhost:80", "[::1]:7860", "127.0.0.2"])
def test_one_user_on_loopback_needs_no_key(host):
    assert is_loopback(host)
    assert local.of_page({"host": host}, None) == LOCAL
    assert local.of_call({"host": host}) == LOCAL


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "evil.example:7860"},
        {"host": "127.0.0.1.evil.example"},
        HERE | {"origin": "https://evil.example"},
        HERE | {"origin": "null"},
        HERE | {"origin": "http://127.0.0.1:9999"},
        HERE | {"sec-fetch-site": "cross-site"},
    ],
)
def test_another_site_is_refused_on_loopback(headers):
    with pytest.raises(NotAdmitted):
        local.of_page(headers, KEY)
    with pytest.raises(NotAdmitted):
        local.of_call(headers)
    assert local.of_call(headers | {"x-faceid-key": KEY}) != LOCAL


def test_a_key_is_the_same_owner_wherever_it_stands():
    owner = public.of_call({"x-faceid-key": KEY})
    assert owner == public.of_call({"authorization": f"Bearer {KEY}"})
    assert owner == public.of_call({"x-hf-authorization": f"bearer {KEY}"})
    assert owner == public.of_call({}, KEY)
    assert owner != public.of_call({"x-faceid-key": OTHER})
    assert owner != Owners(secret=b"another", local=False).of_call({"x-faceid-key": KEY})
    assert KEY not in owner


def test_a_browser_is_not_the_owner_of_the_same_key():
    assert public.of_page({}, KEY) != public.of_call({"x-faceid-key": KEY})


@pytest.mark.parametrize("key", ["", "YOUR_API_KEY", None])
def test_no_key_and_short_keys_are_refused(key):
    with pytest.raises(NotAdmitted, match="at least 20"):
        public.of_call({"cookie": f"session={KEY}"}, key)
    with pytest.raises(NotAdmitted, match="at least 20"):
        public.of_page({"cookie": f"session={KEY}"}, key)


def test_only_admitted_keys_where_some_are_set():
    assert keyed.of_page(HERE, KEY) == keyed.of_call(HERE, KEY)
    with pytest.raises(NotAdmitted, match="not admitted"):
        keyed.of_call(HERE, OTHER)
    with pytest.raises(NotAdmitted):
        keyed.of_page(HERE, None)


def test_nothing_secret_is_shown():
    assert KEY not in repr(keyed)
    assert "secret" not in repr(keyed)
