"""The page's own events without a browser: what Gradio's frontend sends and reads, over one connection a session."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

API = "gradio_api"
NOT_READY = "still being loaded"
PATIENCE_SECONDS = 240  # only ever waited for by a test that fails


class PageClient:
    """One browser tab at `url`: a session, a key of its own, and `headers` of each request."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None):
        self.http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)
        self.session, self.browser_key = secrets.token_hex(6), secrets.token_hex(32)
        self.config = self.http.get("/config").json()
        self._props = {part["id"]: part for part in self.config["components"]}

    def __enter__(self) -> "PageClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def send(self, elem_id: str, trigger: str, **given: Any) -> str:
        """Do `trigger` on the component `elem_id`; the event's id. `given`: inputs that are not as at first."""
        names = {name.replace("_", "-"): value for name, value in given.items()}
        (component,) = (i for i, part in self._props.items() if part["props"].get("elem_id") == elem_id)
        called = [each for each in self.config["dependencies"] if [component, trigger] in each["targets"]]
        (dependency,) = (each for each in called if each["backend_fn"])
        joined = self.http.post(
            f"/{API}/queue/join",
            json={
                "data": [self._value(part, names) for part in dependency["inputs"]],
                "fn_index": dependency["id"],
                "session_hash": self.session,
                "trigger_id": component,
            },
        )
        assert joined.status_code == httpx.codes.OK, joined.text
        return joined.json()["event_id"]

    @contextmanager
    def messages(self) -> Iterator[Iterator[dict[str, Any]]]:
        """What the server tells this session, as it comes; leaving the block is the tab being closed."""
        with self.http.stream("GET", f"/{API}/queue/data", params={"session_hash": self.session}) as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data: "))
            yield (json.loads(line.removeprefix("data: ")) for line in lines)

    @contextmanager
    def drawing(self, prompt: str = "woman, photo") -> Iterator[Iterator[dict[str, Any]]]:
        """A drawing of 8 times 50 steps, of which three are told: the messages after them. Waits for the models."""
        while True:
            self.send("generate", "click", prompt=prompt, steps=50, num_images=8)
            with self.messages() as messages:
                told = next(text for text in map(text_of, messages) if "step 3 of 50" in text or NOT_READY in text)
                if NOT_READY not in told:
                    yield messages
                    return

    def _value(self, part: int, given: Mapping[str, Any]) -> Any:
        component = self._props[part]
        if component["type"] == "browserstate":
            return self.browser_key
        return given.get(component["props"].get("elem_id"), component["props"].get("value"))


def text_of(message: Mapping[str, Any]) -> str:
    """All that a message shows, as text: what a progress line says is in there."""
    return json.dumps(message.get("output"), ensure_ascii=False)
