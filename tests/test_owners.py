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
        {"host": "["},
        HERE | {"origin": "http://["},
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


def test_only_the_headers_that_are_meant_for_it_carry_a_key():
    for headers in (
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"x-hf-authorization": KEY},
        {"x-api-key": KEY},
        {"proxy-authorization": f"Bearer {KEY}"},
        {"cookie": f"faceid-key={KEY}; session={KEY}"},
        {"x-gradio-session": KEY},
    ):
        with pytest.raises(NotAdmitted, match="at least 20"):
            public.of_call(headers)


def test_the_first_header_decides():
    both = {"x-faceid-key": KEY, "authorization": f"Bearer {OTHER}"}
    assert public.of_call(both, OTHER) == public.of_call({"x-faceid-key": KEY})


@pytest.mark.parametrize(
    "key", [["a-key"] * 30, {"key": KEY}, 12345678901234567890123, True, "a" * 5000, " " * 30, b"a" * 30]
)
def test_keys_of_every_wrong_shape_are_refused(key):
    with pytest.raises(NotAdmitted):
        public.of_call({}, key)
    with pytest.raises(NotAdmitted):
        public.of_page({}, key)


def test_a_key_may_hold_any_character():
    owners = {public.of_call({}, key) for key in ("ключ из двадцати букв!", "\ud800" * 20, "\x00" * 20)}
    assert len(owners) == 3
    with pytest.raises(NotAdmitted):
        keyed.of_call({}, "\ud800" * 20)


USER = "5dd96eb166059660ed1ee413"
with_login = Owners(secret=b"s", local=False, login=True)


def test_a_login_is_an_owner_of_its_own():
    assert with_login.of_page({}, KEY, user=USER) not in (
        with_login.of_page({}, KEY),
        with_login.of_page({}, USER),
        with_login.of_call({"x-faceid-key": USER}),
        with_login.of_page({}, KEY, user="another"),
    )


def test_a_login_is_believed_only_where_the_page_offers_one():
    assert public.of_page({}, KEY, user=USER) == public.of_page({}, KEY)
    with pytest.raises(NotAdmitted):
        public.of_page({}, None, user=USER)
    assert local.of_page(HERE, None, user=USER) == LOCAL
    with pytest.raises(NotAdmitted):
        Owners(secret=b"s", local=False, admitted=(KEY,), login=True).of_page({}, None, user=USER)


SPACE = {"host": "demo.hf.space"}


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "https://demo.hf.space"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://evil.example", "x-forwarded-host": "evil.example"},
    ],
)
def test_another_site_cannot_use_a_login(headers):
    with pytest.raises(NotAdmitted, match="Another site"):
        with_login.of_page(SPACE | headers, KEY, user=USER)
    assert with_login.of_page(SPACE | headers, KEY) == with_login.of_page({}, KEY)  # a key is no cookie


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "origin": "https://demo.hf.space"},
        {"sec-fetch-site": "same-origin", "origin": "https://my.domain"},
        {"origin": "https://demo.hf.space"},
        {"sec-fetch-site": "none"},
    ],
)
def test_the_page_itself_uses_its_login(headers):
    assert with_login.of_page(SPACE | headers, None, user=USER) == with_login.of_page({}, None, user=USER)
