"""The HTTP API for tests without a server: a client of its application over any studio, and what it announced."""

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from faceid.domain import Upload
from faceid.errors import BadURL
from faceid.studio import Studio
from faceid.web.owners import Owners
from faceid.web.rest import build_http_api, launch_routes
from faceid.web.rest_context import RestContext

KEY, OTHER_KEY = "the-first-key-of-these-tests", "the-second-key-of-these-tests"
ORIGIN = "http://faceid.example"


@dataclass
class RestCalls:
    """`studio` over HTTP, by `client` with KEY. `web`: what URLs lead to; `announced`: what was posted to callbacks."""

    studio: Studio
    local: bool = False
    admitted: tuple[str, ...] = ()
    web: dict[str, Upload] = field(default_factory=dict)
    announced: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self):
        owners = Owners(secret=b"secret", local=self.local, admitted=self.admitted)
        self.context = RestContext(self.studio, owners, self._fetch, self._announce, secret=b"secret")
        self.api = build_http_api(self.context)
        self.app = Starlette(routes=launch_routes(self.api))
        self.owner = owners.of_call({"x-faceid-key": KEY})
        self.client = self.connect(KEY)

    def connect(self, key: str | None = None, **options) -> TestClient:
        """A client that sends `key`."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return TestClient(self.app, ORIGIN, raise_server_exceptions=False, headers=headers, **options)

    def _fetch(self, url: str, max_bytes: int, *, field: str) -> Upload:
        if url not in self.web:
            raise BadURL(f"{field}: the host cannot be reached.", field=field)
        return self.web[url]

    def _announce(self, owner: str, url: str, body: dict[str, Any]) -> None:
        self.announced.append((url, body))
