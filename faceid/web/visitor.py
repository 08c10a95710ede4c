"""What every page event needs: the studio, whose event it is, and the photo of the example. Knows no layout."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from faceid.domain import Tune, TuneFields, Upload
from faceid.studio import Studio
from faceid.web import cards
from faceid.web.owners import Owners

# NASA's portrait of Eileen Collins, public domain.
EXAMPLE_PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"
EXAMPLE_TITLE = "Example: astronaut"
NO_TUNES = "No tune yet. Make one under “New person”, or click an idea to try it with an example photo."
CARDS_SHOWN = 24
QUIET = {"api_visibility": "private", "show_progress": "hidden"}  # of an event that is the page's alone


@dataclass(frozen=True)
class Visitor:
    """The page's side of the studio. `browser_key` is the component that holds the browser's own random key."""

    studio: Studio
    owners: Owners
    browser_key: gr.BrowserState

    def owner(self, request: gr.Request, browser_key: str | None) -> str:
        """Whose event this is; NotAdmitted as in Owners."""
        return self.owners.of_page(request.headers, browser_key, logged_in_user(request))

    def tunes(self, owner: str, limit: int = CARDS_SHOWN) -> list[tuple[Tune, bytes]]:
        """The newest tunes, each with its face."""
        return [(tune, self.studio.thumbnail(owner, tune.id)) for tune in self.studio.list_tunes(owner, limit=limit)]

    def cards(self, owner: str, chosen: int | None = None) -> dict[str, Any]:
        """The newest tunes as cards."""
        return cards.cards_of(self.tunes(owner), chosen=chosen, empty=NO_TUNES)

    def tune_or_example(self, owner: str, tune_id: int | None) -> Tune:
        """The tune that was chosen, else the newest, else one made from the example photo."""
        if tune_id:
            return self.studio.get_tune(owner, tune_id)
        if newest := self.studio.list_tunes(owner, limit=1):
            return newest[0]
        photo = Upload(EXAMPLE_PHOTO.name, EXAMPLE_PHOTO.read_bytes())
        fields = TuneFields(title=EXAMPLE_TITLE, name="woman", consent_route="example")
        return self.studio.create_tune(owner, [photo], fields).tune


def logged_in_user(request: gr.Request) -> str | None:
    """The Hub's id of who is logged in: in the session cookie that Gradio's login signs, until it expires."""
    login = (request.request.scope.get("session") or {}).get("oauth_info") or {}
    if login.get("expires_at", 0) <= time.time():
        return None
    return login.get("userinfo", {}).get("sub")


def event_value(event: gr.EventData, name: str) -> Any:
    """What an event carries under `name`; None where it carries no such thing."""
    try:
        return getattr(event, name, None)
    except TypeError:  # it carries no names at all
        return None
