"""Whose a call is. Turns what a request carries into an owner: a hash from which no key can be read back.

    one user, loopback, no keys set   "local"
    the page                          256 random bits that the browser keeps
    an API call                       X-FaceID-Key, else Authorization: Bearer, else X-HF-Authorization, else owner_key

Cookies and session hashes are never an owner.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from faceid.errors import NotAdmitted
from faceid.settings import MIN_KEY_LENGTH

LOCAL = "local"
KEY_HEADERS = ("x-faceid-key", "authorization", "x-hf-authorization")


@dataclass(frozen=True)
class Owners:
    """`local`: bound to loopback, not shared, not on a Space. Where there are `admitted` keys, no other is taken."""

    secret: bytes = field(repr=False)
    local: bool
    admitted: tuple[str, ...] = field(default=(), repr=False)

    def of_page(self, headers: Mapping[str, str], browser_key: str | None) -> str:
        """The owner of a page event; NotAdmitted where the request came from elsewhere or no admitted key was given."""
        if self.local and not self.admitted:
            self._check_from_here(headers)
            return LOCAL
        return self._hash("key" if self.admitted else "browser", self._admit(browser_key))

    def of_call(self, headers: Mapping[str, str], owner_key: str | None = None) -> str:
        """The owner of an API call; NotAdmitted without a key, with a short one, or with one that is not admitted."""
        key = _key_in(headers) or (owner_key or "").strip()
        if not key and self.local and not self.admitted:
            self._check_from_here(headers)
            return LOCAL
        return self._hash("key", self._admit(key))

    def _admit(self, key: str | None) -> str:
        if not key or len(key) < MIN_KEY_LENGTH:
            raise NotAdmitted(
                f"A key of at least {MIN_KEY_LENGTH} characters is needed: in the header X-FaceID-Key, as "
                "Authorization: Bearer, or in owner_key."
            )
        # Every key is compared, in constant time, whichever fits.
        if self.admitted and not sum(hmac.compare_digest(key.encode(), known.encode()) for known in self.admitted):
            raise NotAdmitted("This key is not admitted here. Ask whoever runs this app for one.")
        return key

    def _hash(self, kind: str, key: str) -> str:
        return hmac.new(self.secret, f"{kind}:{key}".encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def _check_from_here(headers: Mapping[str, str]) -> None:
        """Refuse another site that a browser on this machine was lured to: DNS rebinding, cross-site requests."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        foreign_origin = origin is not None and urlsplit(origin).netloc != host
        if not is_loopback(host) or foreign_origin or headers.get("sec-fetch-site") == "cross-site":
            raise NotAdmitted("This app answers its own machine only. Open it as http://127.0.0.1.")


def is_loopback(host: str) -> bool:
    """Whether a Host header or server name is this machine: localhost, 127.0.0.0/8 or [::1], with or without port."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _key_in(headers: Mapping[str, str]) -> str:
    for name in KEY_HEADERS:
        if value := headers.get(name, "").strip():
            return value[len("bearer ") :].strip() if value.lower().startswith("bearer ") else value
    return ""
