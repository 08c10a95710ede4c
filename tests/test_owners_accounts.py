"""faceid.web.accounts: whose an hf_ token is, by a Hub in miniature."""

import gc
import sys
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi
from tiny_accounts import ADA, TOKEN_OF_ADA, serve_accounts

from faceid.base_models import find_base_model
from faceid.errors import NotAdmitted, Unavailable
from faceid.web.accounts import REMEMBERED_SECONDS, HubAccounts, can_log_in
from faceid.web.owners import Owners
from faceid.web.ui import build_page

ANOTHER_TOKEN = "hf_AnotherTokenOfTheSameUser000000"


@pytest.fixture(scope="module")
def served():
    with serve_accounts() as accounts:
        yield accounts


@pytest.fixture
def hub(served):
    served.status, served.users = 200, {TOKEN_OF_ADA: ADA, ANOTHER_TOKEN: ADA}
    served.asked.clear()
    return served


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def accounts(hub, clock):
    return HubAccounts(HfApi(endpoint=hub.endpoint).whoami, clock=clock)


def test_a_token_is_its_user_and_asked_for_once_in_five_minutes(accounts, hub, clock):
    assert [accounts.user_of(TOKEN_OF_ADA) for _ in range(3)] == [ADA] * 3
    assert hub.asked == [TOKEN_OF_ADA]
    clock.now = REMEMBERED_SECONDS + 1
    accounts.user_of(TOKEN_OF_ADA)
    assert len(hub.asked) == 2


def test_a_token_that_was_revoked_is_refused_after_five_minutes(accounts, hub, clock):
    accounts.user_of(TOKEN_OF_ADA)
    hub.users.clear()
    clock.now = REMEMBERED_SECONDS + 1
    with pytest.raises(NotAdmitted, match="does not know"):
        accounts.user_of(TOKEN_OF_ADA)


def test_a_token_the_hub_does_not_know_is_refused_and_not_asked_for_again(accounts, hub):
    unknown = "hf_" + "a" * 34
    for _ in range(3):
        with pytest.raises(NotAdmitted, match="does not know this hf_ token") as refusal:
            accounts.user_of(unknown)
        assert unknown not in str(refusal.value)
    assert hub.asked == [unknown]


@pytest.mark.parametrize(
    "token", ["hf_" + "a" * 10, "hf_" + "a" * 5000, "hf_" + "a b" * 9, "hf_" + "é" * 20, "hf_\n" * 8]
)
def test_what_cannot_be_a_token_is_not_sent_to_the_hub(accounts, hub, token):
    with pytest.raises(NotAdmitted):
        accounts.user_of(token)
    assert hub.asked == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_hub_is_said_and_asked_again(accounts, hub, status, caplog):
    hub.status = status
    with pytest.raises(Unavailable, match="cannot be asked now"):
        accounts.user_of(TOKEN_OF_ADA)
    assert TOKEN_OF_ADA not in caplog.text
    hub.status = 200
    assert accounts.user_of(TOKEN_OF_ADA) == ADA


def test_a_hub_that_cannot_be_reached_is_said(caplog):
    accounts = HubAccounts(HfApi(endpoint="http://127.0.0.1:9").whoami)
    with pytest.raises(Unavailable, match="cannot be asked now"):
        accounts.user_of(TOKEN_OF_ADA)
    assert TOKEN_OF_ADA not in caplog.text


def test_no_token_is_kept(accounts):
    accounts.user_of(TOKEN_OF_ADA)
    kept = [vars(accounts), list(accounts._known.items())]
    assert TOKEN_OF_ADA not in repr(kept)
    gc.collect()
    held = [o for o in gc.get_objects() if type(o) is dict and o.get("token") == TOKEN_OF_ADA]
    assert held == []


def test_the_page_and_every_token_of_a_user_are_one_owner(accounts):
    owners = Owners(secret=b"s", local=False, user_of=accounts.user_of, login=True)
    at_home = {"host": "demo.hf.space", "origin": "https://demo.hf.space", "sec-fetch-site": "same-origin"}
    logged_in = owners.of_page(at_home, "b" * 64, user=ADA)
    assert logged_in == owners.of_call({"x-faceid-key": TOKEN_OF_ADA})
    assert logged_in == owners.of_call({"x-hf-authorization": f"Bearer {ANOTHER_TOKEN}"})
    assert logged_in == owners.of_call({}, TOKEN_OF_ADA)
    assert logged_in != owners.of_page(at_home, "b" * 64)  # made before the login: stays with the browser
    assert logged_in != owners.of_page(at_home, ADA)
    assert logged_in != owners.of_call({"x-faceid-key": ADA})


def test_an_admitted_token_is_its_user_and_no_other_is(accounts, hub):
    owners = Owners(secret=b"s", local=False, admitted=(TOKEN_OF_ADA,), user_of=accounts.user_of)
    assert owners.of_call({"x-faceid-key": TOKEN_OF_ADA}) == owners.of_page({}, TOKEN_OF_ADA, user="somebody")
    hub.asked.clear()
    with pytest.raises(NotAdmitted, match="not admitted"):
        owners.of_call({"x-faceid-key": ANOTHER_TOKEN})
    assert hub.asked == []


def test_what_login_needs_may_be_missing(monkeypatch, caplog):
    assert can_log_in()
    assert not can_log_in(lambda name: None)
    assert "authlib and itsdangerous is not installed" in caplog.text
    for name in {"authlib", "itsdangerous", *sys.modules}:
        if name.split(".")[0] in ("authlib", "itsdangerous"):
            monkeypatch.setitem(sys.modules, name, None)
    studio = SimpleNamespace(loaded_models=(find_base_model("fast"),), measures_likeness=False, is_ready=True)
    notices = SimpleNamespace(status=str, licences=str)
    page = build_page(studio, Owners(secret=b"secret", local=False, login=False), notices)
    page.launch(prevent_thread_lock=True, quiet=True)
    page.close()
