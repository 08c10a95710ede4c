"""Whose a call is. Turns what a request carries into an owner: a hash from which no key can be read back.

    one user, loopback, no keys set   "local"
    the page                          the user who logged in, else 256 random bits that the browser keeps
    an API call                       X-FaceID-Key, else Authorization: Bearer, else X-HF-Authorization, else owner_key

A key that begins with hf_ is its user at the Hugging Face Hub: the same owner as that user on the page. Session hashes
are never an owner, and a cookie is none but for the login that it keeps.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from faceid.errors import NotAdmitted
from faceid.settings import MIN_KEY_LENGTH

LOCAL = "local"
BEARER = "bearer "
HUB_TOKEN = "hf_"
LONGEST_KEY = 4096


@dataclass(frozen=True)
class Owners:
    """`local`: bound to loopback, not shared, not on a Space. Where there are `admitted` keys, no other is taken.

    `user_of` gives the Hub user's id of an hf_ token (HubAccounts.user_of); without it such a token is a key like any
    other. `login`: the page offers to log in at the Hub; where it does not, a login in a cookie is not believed.
    """

    secret: bytes = field(repr=False)
    local: bool
    admitted: tuple[str, ...] = field(default=(), repr=False)
    user_of: Callable[[str], str] | None = field(default=None, repr=False)
    login: bool = False

    def of_page(self, headers: Mapping[str, str], browser_key: str | None, user: str | None = None) -> str:
        """The owner of a page event; `user` is the id of who is logged in.

        NotAdmitted where the request came from elsewhere or no admitted key was given.
        """
        if self.admitted:
            return self._of_key(browser_key)
        if self.local:
            self._check_from_here(headers)
            return LOCAL
        if user and self.login:
            _check_same_origin(headers)
            return self._hash("user", user)
        return self._hash("browser", self._admit(browser_key))

    def of_call(self, headers: Mapping[str, str], owner_key: str | None = None) -> str:
        """The owner of an API call; NotAdmitted without a key, with a short one, or with one that is not admitted.

        Unavailable where the Hub cannot be asked whose an hf_ token is.
        """
        key = key_in(headers) or owner_key
        if not key and self.local and not self.admitted:
            self._check_from_here(headers)
            return LOCAL
        return self._of_key(key)

    def _of_key(self, key: str | None) -> str:
        key = self._admit(key)
        if self.user_of and key.startswith(HUB_TOKEN):
            return self._hash("user", self.user_of(key))
        return self._hash("key", key)

    def _admit(self, key: str | None) -> str:
        key = key.strip() if isinstance(key, str) else ""
        if not MIN_KEY_LENGTH <= len(key) <= LONGEST_KEY:
            raise NotAdmitted(
                f"A key of at least {MIN_KEY_LENGTH} characters is needed: in the header X-FaceID-Key, as "
                "Authorization: Bearer, or in owner_key."
            )
        # Every key is compared, in constant time, whichever fits.
        if self.admitted and not sum(hmac.compare_digest(_bytes(key), _bytes(known)) for known in self.admitted):
            raise NotAdmitted("This key is not admitted here. Ask whoever runs this app for one.")
        return key

    def _hash(self, kind: str, key: str) -> str:
        return hmac.new(self.secret, _bytes(f"{kind}:{key}"), hashlib.sha256).hexdigest()

    @staticmethod
    def _check_from_here(headers: Mapping[str, str]) -> None:
        """Refuse another site that a browser on this machine was lured to: DNS rebinding, cross-site requests."""
        here = is_loopback(headers.get("host", "")) and not _is_from_elsewhere(headers)
        if not here or headers.get("sec-fetch-site") == "cross-site":
            raise NotAdmitted("This app answers its own machine only. Open it as http://127.0.0.1.")


def is_loopback(host: str) -> bool:
    """Whether a Host header or server name is this machine: localhost, 127.0.0.0/8 or [::1], with or without port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:  # another name, or none
        return False


def key_in(headers: Mapping[str, str]) -> str:
    """The key that the headers carry; of the two authorizations only a Bearer's."""
    if key := headers.get("x-faceid-key", "").strip():
        return key
    for name in ("authorization", "x-hf-authorization"):
        value = headers.get(name, "").strip()
        if value[: len(BEARER)].lower() == BEARER:
            return value[len(BEARER) :].strip()
    return ""


def _check_same_origin(headers: Mapping[str, str]) -> None:
    """Refuse what another site makes a logged-in browser send: the login's cookie travels with it.

    `Sec-Fetch-Site` cannot be set by a script; where a browser is too old for it, Origin is compared with Host.
    """
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none") or (site is None and _is_from_elsewhere(headers)):
        raise NotAdmitted("Another site cannot act for you here. Open this app itself.")


def _is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether the request names an Origin (scheme://host:port, or null) that is not the host it was sent to."""
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host", "")


def _bytes(text: str) -> bytes:
    """UTF-8, also of what is no text: JSON can hold half of a surrogate pair."""
    return text.encode(errors="surrogatepass")
