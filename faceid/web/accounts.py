"""Whose a Hugging Face token is: asked of the Hub, remembered for minutes by a hash, never stored. Knows no owner."""

import hashlib
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from cachetools import TTLCache
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

from faceid.errors import NotAdmitted, Unavailable

logger = logging.getLogger(__name__)

TOKEN = re.compile(r"hf_[A-Za-z0-9_.\-]{17,4000}", re.ASCII)
LOGIN_PACKAGES = ("authlib", "itsdangerous")
REMEMBERED, REMEMBERED_SECONDS = 4096, 300
UNKNOWN = ""  # remembered too: the Hub limits how often it is asked

Whoami = Callable[..., Mapping[str, Any]]


class HubAccounts:
    """Asks `whoami` (HfApi().whoami: keyword `token`, a mapping with `id`) once in five minutes for each token."""

    def __init__(self, whoami: Whoami, *, clock: Callable[[], float] = time.monotonic):
        self._whoami = whoami
        self._salt = secrets.token_bytes(32)
        self._known: TTLCache[bytes, str] = TTLCache(REMEMBERED, REMEMBERED_SECONDS, timer=clock)
        self._locked = threading.Lock()

    def user_of(self, token: str) -> str:
        """The id of the token's user, which a new name does not change: OpenID's `sub` of the same user.

        NotAdmitted where the Hub does not know the token, Unavailable where it cannot be asked.
        """
        if not TOKEN.fullmatch(token):
            raise _not_a_token()
        name = hashlib.blake2b(token.encode(), key=self._salt).digest()
        with self._locked:
            user = self._known.get(name)
        if user is None:
            user = self._ask(token)
            with self._locked:
                self._known[name] = user
        if user == UNKNOWN:
            raise _not_a_token()
        return user

    def _ask(self, token: str) -> str:
        try:
            return str(self._whoami(token=token)["id"])
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code in (401, 403):
                return UNKNOWN
            raise _not_reached(error) from error
        except (HTTPError, OSError, OfflineModeIsEnabled, KeyError, ValueError) as error:
            raise _not_reached(error) from error


def can_log_in(find: Callable[[str], object] = find_spec) -> bool:
    """Whether what Gradio's login needs is installed; the log says what is missing."""
    missing = [name for name in LOGIN_PACKAGES if find(name) is None]
    if missing:
        logger.warning("no login: %s is not installed; pip install gradio[oauth]", " and ".join(missing))
    return not missing


def _not_a_token() -> NotAdmitted:
    return NotAdmitted(
        "The Hugging Face Hub does not know this hf_ token. Give a valid one, or a key of your own choice that does "
        "not begin with hf_."
    )


def _not_reached(error: Exception) -> Unavailable:
    logger.warning("the Hub could not say whose a token is: %s", type(error).__name__)
    return Unavailable(
        "The Hugging Face Hub cannot be asked now whose this hf_ token is. Try again in a minute, or give a key of "
        "your own choice that does not begin with hf_."
    )
