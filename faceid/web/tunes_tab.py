"""The page's tab of the owner's tunes: look at them, use one, delete one."""

import gradio as gr

from faceid.errors import FaceIDError
from faceid.validation import check_id
from faceid.web import cards
from faceid.web.visitor import CARDS_SHOWN, QUIET, Visitor, event_value


class TunesTab:
    """The tab's components; `tunes` tells the page which one was to be used, `deleted` that one is gone."""

    def __init__(self, visitor: Visitor):
        self._visitor = visitor
        self.shown = gr.State(CARDS_SHOWN)
        self._result = cards.progress_line("tunes-result")
        self.tunes = cards.tune_cards("tunes")
        self.more = gr.Button("Show more", size="sm", visible=False, elem_id="more-tunes")
        self.deleted = self.tunes.delete(self.delete, visitor.browser_key, self._result, **QUIET)
        self.grown = self.more.click(lambda shown: shown + CARDS_SHOWN, self.shown, self.shown, **QUIET)

    def delete(self, event: gr.EventData, request: gr.Request, browser_key: str | None) -> dict:
        """Delete the tune whose second button was clicked."""
        try:
            tune_id = check_id("id", event_value(event, "id"))
            self._visitor.studio.delete_tune(self._visitor.owner(request, browser_key), tune_id)
        except FaceIDError as error:
            return cards.failed(str(error))
        return cards.finished("Deleted: the tune, its photos and the pictures drawn from it.")
