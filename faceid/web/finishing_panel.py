"""The accordions for what is done to pictures and for what they are drawn from, in the words of PromptFields.

A step that cannot be done here is switched off and says why. Knows the studio's reasons, not how steps work.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from faceid.domain import Upload
from faceid.errors import InvalidPhotos, InvalidRequest
from faceid.finishes import COLOR_GRADINGS, FINISHES, Finish
from faceid.limits import LIMITS
from faceid.studio import Studio
from faceid.styles import STYLES
from faceid.web.reusing import NONE, STARTS
from faceid.web.uploads import read_uploads

START_HELP = "Draws a picture again as the prompt says. With a mask of its shape, only where that is white."
CHOICES = {"style": [style.name for style in STYLES], "color_grading": COLOR_GRADINGS}


class FinishingPanel:
    """`fields` are the components by PromptFields' names, `steps` those of them that a machine may be unable to do."""

    def __init__(self, studio: Studio):
        self._studio = studio
        with gr.Accordion("Style and finishing", open=False, elem_id="finishing"):
            style = gr.Dropdown(
                [("None", NONE), *CHOICES["style"]],
                value=NONE, label="Style", elem_id="style",
                info="Adds words to the prompt, and lets the likeness begin where it suits the style.",
            )  # fmt: skip
            self.steps = {finish.name: _build_step(finish) for finish in FINISHES}
        with gr.Accordion("Start from a picture", open=False, elem_id="start"):
            gr.Markdown(START_HELP)
            pictures = {
                "input_image": _picture("Picture", "input-image"),
                "mask_image": _picture("Mask", "mask-image"),
            }
            low, high, default, _ = LIMITS["denoising_strength"]
            strength = gr.Slider(
                low, high, value=default, step=0.01, label="How much is drawn again", elem_id="denoising-strength",
                info="0 leaves the picture, 1 draws it anew.",
            )  # fmt: skip
        self.fields: dict[str, Component] = {"style": style, **self.steps, **pictures, "denoising_strength": strength}

    def switch(self, slug: str) -> list[gr.Checkbox | gr.Dropdown]:
        """The steps for the base model `slug`: on offer with their line of help, or off with the reason."""
        reasons = self._studio.why_not(slug)
        return [_switch(finish, reasons.get(finish.name)) for finish in FINISHES]


def read_starts(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with uploaded files read, and InvalidRequest where one is gone. How much is drawn again is a wish only
    where there is a picture."""
    read = {name: read_picture(name, fields.get(name)) for name in STARTS}
    return fields | read | ({} if read["input_image"] else {"denoising_strength": None})


def read_picture(name: str, file: str | Mapping[str, Any] | None) -> Upload | None:
    """The upload behind Gradio's file; None for none. InvalidRequest names the field."""
    if not file:
        return None
    try:
        return read_uploads([file])[0]
    except InvalidPhotos as error:
        raise InvalidRequest(f"{name}: is not an uploaded file. Upload it again.", field=name) from error


def _build_step(finish: Finish) -> Component:
    look = {"label": finish.title, "info": finish.help, "elem_id": finish.name.replace("_", "-")}
    if finish.name == "color_grading":
        return gr.Dropdown([("None", NONE), *COLOR_GRADINGS], value=NONE, **look)
    return gr.Checkbox(False, **look)


def _switch(finish: Finish, reason: str | None) -> gr.Checkbox | gr.Dropdown:
    kind = gr.Dropdown if finish.name == "color_grading" else gr.Checkbox
    if reason is None:
        return kind(interactive=True, info=finish.help)
    off = NONE if kind is gr.Dropdown else False
    return kind(interactive=False, value=off, info=f"Off: {reason}.")


def _picture(label: str, elem_id: str) -> gr.Image:
    return gr.Image(
        label=label, type="filepath", image_mode=None, sources=["upload", "clipboard"], height=180, elem_id=elem_id
    )
