"""The app as strangers meet it, each with a key, and what they can send: every event of the page and every endpoint, by
plain HTTP.
"""

import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 120  # seconds; never waited for where things go well


@dataclass(frozen=True)
class PublicApp:
    """An app for strangers: its address, its data folder, and the page's events by their function's name."""

    url: str
    folder: Path
    events: dict[str, int] = field(repr=False)

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"


@contextmanager
def running_public_app(folder: Path, **given: Any) -> Iterator[PublicApp]:
    """The real app, launched as app.py does it, for more than one user; keyword arguments are the Settings'."""
    from conftest import upload_folder_kept

    import app
    from faceid.settings import Settings

    with upload_folder_kept(), ExitStack() as resources:
        temporary = folder.parent / "tmp"
        temporary.mkdir(parents=True)
        resources.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = str(temporary)  # what the app leaves there, tests of deletion look through
        settings = Settings(data_dir=folder, face_pack="offline", **{"on_space": True} | given)
        demo, load = app.compose(settings, resources)
        load()
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
        resources.callback(demo.close)
        events = {function.name: number for number, function in demo.fns.items()}
        yield PublicApp(url.rstrip("/"), folder, events)


@dataclass(frozen=True)
class Visitor:
    """Somebody at the app: a key of the API's, another of the browser's, and a page session."""

    app: PublicApp
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    browser_key: str = field(default_factory=lambda: secrets.token_hex(32))
    session: str = field(default_factory=lambda: secrets.token_hex(6))

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        return httpx.request(method, f"{self.app.url}{path}", timeout=PATIENCE, **given)

    def upload(self, *photos: Path) -> list[str]:
        """The paths under which the photos lie on the server."""
        files = [("files", (photo.name, photo.read_bytes())) for photo in photos]
        return self.request("POST", "/gradio_api/upload", files=files).raise_for_status().json()

    def call(self, name: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        """What an endpoint answers, its last yield; a refusal as `Refused`."""
        headers = {"X-FaceID-Key": self.key} if headers is None else headers
        posted = self.request("POST", f"/gradio_api/call/v2/{name}", json=body, headers=headers)
        if posted.status_code != 200:
            raise Refused(posted.text, posted.status_code)
        answer = self.request("GET", f"/gradio_api/call/{name}/{posted.json()['event_id']}").text
        event, data = answer.strip().rsplit("\n\n", 1)[-1].split("\n", 1)
        content = json.loads(data.removeprefix("data: "))
        if event != "event: complete":
            raise Refused((content or {}).get("error") if isinstance(content, dict) else content)
        return content[0] if len(content) == 1 else content

    def create(self, photo: Path, title: str = "Ada", **fields: Any) -> dict[str, Any]:
        """A tune of the photo."""
        (path,) = self.upload(photo)
        photos = [{"path": path, "orig_name": photo.name, "meta": {"_type": "gradio.FileData"}}]
        return self.call("create_tune", {"photos": photos, "title": title, "name": "woman"} | fields)

    def happen(self, event: str, data: list[Any], headers: dict[str, str] | None = None, **more: Any) -> Any:
        """An event of the page, as its script sends it: the outputs of its last step; a refusal as `Refused`."""
        body = {"fn_index": self.app.events[event], "data": data, "session_hash": self.session} | more
        joined = self.request("POST", "/gradio_api/queue/join", json=body, headers=headers)
        if joined.status_code != 200:
            raise Refused(joined.text, joined.status_code)
        content = None
        address = f"{self.app.url}/gradio_api/queue/data?session_hash={body['session_hash']}"
        with httpx.stream("GET", address, timeout=PATIENCE) as messages:
            for line in messages.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    content = message
                    break
        if not content["success"]:
            raise Refused(content["output"].get("error"))
        return content["output"]["data"]


class Refused(Exception):
    """The app said no: its words, and the status where it was one of HTTP's."""

    def __init__(self, text: str | None, status: int | None = None):
        super().__init__(text)
        self.text, self.status = text, status


def files(*paths):
    return [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]


def ids_on(visitor) -> list[str]:
    """The ids of the cards that the page shows."""
    people, *_ = visitor.happen("refresh", [visitor.browser_key, None, 24])
    return [card["id"] for card in people["cards"]]


def drawn(visitor: Visitor, text: str, **named: Any) -> list[Any]:
    """What a click on Generate gives, every setting as the page shows it first."""
    config = visitor.request("GET", "/config").json()
    values = {component["id"]: component["props"].get("value") for component in config["components"]}
    (event,) = (event for event in config["dependencies"] if event["id"] == visitor.app.events["draw"])
    settings = [values[component] for component in event["inputs"][4:]]
    return visitor.happen("draw", [visitor.browser_key, None, text, 1, *settings], **named)
