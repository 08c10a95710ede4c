"""The column where pictures appear: what goes on, the gallery, what can be done with one of them, the details.

Knows prompts and pictures as they are stored, not how they are drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from faceid.domain import PictureFile, Prompt
from faceid.web import cards
from faceid.web.presenting import captioned, count_of, details_json, note_lines
from faceid.web.visitor import QUIET, event_value


class PicturesPanel:
    """`outputs` are the components that its methods give values for."""

    def __init__(self):
        self.progress = cards.progress_line("progress")
        self.gallery = gr.Gallery(
            show_label=False, columns=2, object_fit="contain", format="png", height="auto", elem_id="gallery"
        )
        self.drawn, self.picked_seed, self.picked_path = gr.State([]), gr.State(None), gr.State(None)
        with gr.Row(visible=False, equal_height=True) as self._picked:
            self.reuse = gr.Button("Reuse its seed", elem_id="reuse-seed")
            self.reuse_all = gr.Button("Reuse its settings", elem_id="reuse-settings")
            self._download = gr.DownloadButton("Download", elem_id="download")
        self.opened = gr.UploadButton(
            "Reuse the settings of a PNG", file_types=[".png"], size="sm", variant="secondary", elem_id="reuse-file"
        )
        with gr.Accordion("Details", open=False):
            self.details = gr.JSON(show_label=False, elem_id="details")
        self.outputs = [self.progress, self.gallery, self.details, self.drawn, self._picked]
        picked = [self._picked, self.reuse, self._download, self.picked_seed, self.picked_path]
        self.gallery.select(self.pick, self.drawn, picked, **QUIET)

    def emptied(self) -> dict:
        """Nothing of any prompt."""
        hidden = gr.Row(visible=False)
        return self.with_pictures(()) | {self.progress: {}, self.details: None, self._picked: hidden}

    def started(self, prompt: Prompt) -> dict:
        """A prompt that was queued just now."""
        return self.emptied() | {self.progress: cards.running("Starting"), self.details: details_json(prompt)}

    def with_pictures(self, pictures: Sequence[PictureFile]) -> dict:
        """The gallery with these pictures."""
        return {self.gallery: captioned(pictures), self.drawn: list(pictures)}

    def stand_of(self, prompt: Prompt, shown: Sequence[PictureFile]) -> dict:
        """A prompt as it stands; the gallery, where one may be looking at a picture, only if it shows others."""
        stand = {self.progress: _line_of(prompt), self.details: details_json(prompt)}
        return stand if list(prompt.pictures) == list(shown) else stand | self.with_pictures(prompt.pictures)

    def pick(self, event: gr.EventData, drawn: Sequence[PictureFile]) -> tuple:
        """A picture was clicked: its seed and its file are at hand."""
        index = event_value(event, "index")
        there = isinstance(index, int) and 0 <= index < len(drawn) and Path(drawn[index].path).is_file()
        if not there:  # deleted meanwhile, in another tab or by its tune's end
            raise gr.Error("This picture is not there any more. Draw it again.", print_exception=False)
        picture = drawn[index]
        return (
            gr.Row(visible=True),
            gr.Button(f"Reuse seed {picture.seed}"),
            gr.DownloadButton(value=picture.path),
            picture.seed,
            picture.path,
        )


def _line_of(prompt: Prompt) -> dict[str, Any]:
    """The progress line of a prompt: how it ended, or how far it is."""
    count = count_of(prompt.pictures)
    if prompt.status == "done":
        return cards.finished("\n".join([count, *note_lines(prompt.notes)]))
    if prompt.status == "failed":
        return cards.failed(prompt.user_error)
    if prompt.status == "cancelled":
        return cards.failed(f"Cancelled. {count}")
    if prompt.status == "queued":
        return cards.running("Your last pictures are waiting to be drawn.")
    share = len(prompt.pictures) / prompt.parameters["num_images"]
    return cards.running(f"Your last pictures are still being drawn. {count}", share)
