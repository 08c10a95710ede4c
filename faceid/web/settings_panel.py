"""The accordion of settings beyond the prompt and the number of pictures, in the words of PromptFields."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from faceid.base_models import BaseModel, find_base_model
from faceid.domain import PromptFields
from faceid.limits import LIMITS
from faceid.planning import DEFAULT_TRUE_CFG, DEFAULT_TRUE_CFG_STEP
from faceid.presets import PRESETS, fill_preset
from faceid.sizes import ASPECT_RATIOS
from faceid.studio import Studio
from faceid.styles import fill_style
from faceid.web.finishing_panel import CHOICES, FinishingPanel, read_starts
from faceid.web.reusing import NONE, NOT_CHOSEN, values_for
from faceid.web.visitor import QUIET


class SettingsPanel:
    """`inputs` are the components whose values `fields_of` turns into PromptFields, in the same order; `reusable` are
    those that `reused` gives values for, `labels` what the fields are called on the page."""

    def __init__(self, studio: Studio):
        model = studio.loaded_models[0]
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.strength = _slider("strength", "Strength of the likeness", 0.05, 1, "Written into the tag.")
            self.seed = gr.Textbox(  # an empty gr.Number shows, and sends, 0
                label="Seed", placeholder="random", max_lines=1, elem_id="seed",
                info="The same request with the same seed gives the same pictures.",
            )  # fmt: skip
            aspect_ratio = gr.Dropdown(
                [("Automatic", NONE), *ASPECT_RATIOS], value=NONE, label="Aspect ratio", elem_id="aspect-ratio",
                info="Automatic: a square, or the shape of the picture to start from.",
            )  # fmt: skip
            best_of = _slider(
                "best_of", "Best of", 1, 1, "Draw this many and keep the pictures most like the photos; 1: no choice.",
                visible=studio.measures_likeness,
            )  # fmt: skip
            self._fields = {"seed": self.seed, "aspect_ratio": aspect_ratio, "best_of": best_of}
            self._preset = gr.Radio(
                [(preset.title, preset.name) for preset in PRESETS], value=None, label="Preset", elem_id="preset",
                info="Sets the guidance and when the likeness begins.",
            )  # fmt: skip
            self._fields |= _build_drawing(model) | _build_negative(model)
            self._fields["faster"] = gr.Checkbox(
                False, label="Faster", elem_id="faster",
                info="Skips what changes little from step to step; the picture differs a little.",
            )  # fmt: skip
            self.base_model = self._fields["base_model"] = gr.Dropdown(
                [(loaded.title, loaded.slug) for loaded in studio.loaded_models],
                value=model.slug,
                label="Base model",
                elem_id="base-model",
                visible=len(studio.loaded_models) > 1,
            )
        self.finishing = FinishingPanel(studio)
        self._fields |= self.finishing.fields
        self.inputs = list(self._fields.values())
        self.reusable = [*self.inputs, self._preset]
        self.labels = {name: part.label for name, part in self._fields.items()}
        self._wire()

    def _wire(self) -> None:
        fields = self._fields
        decided = [fields[name] for name in ("steps", "cfg_scale", "identity_start", "true_cfg_start")]
        style, base_model = fields["style"], fields["base_model"]
        # `input`, not `change`: what a picture's recipe sets must not be set again by what it sets beside it
        base_model.input(_defaults_of, [style, base_model], [*decided, self._preset], **QUIET)
        base_model.change(self.finishing.switch, base_model, list(self.finishing.steps.values()), **QUIET)
        chosen, guiding = [self._preset, style, base_model], [fields["cfg_scale"], fields["identity_start"]]
        gr.on([self._preset.input, style.input], guidance_and_start, chosen, guiding, **QUIET)

    def fields_of(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """The values of `inputs` as keyword arguments of PromptFields. InvalidRequest: an uploaded picture is gone."""
        fields = dict(zip(self._fields, values))
        fields["seed"] = _seed_of(fields["seed"])
        fields |= {name: fields[name] or None for name in NOT_CHOSEN}
        fields["negative_prompt"] = fields["negative_prompt"] or ""
        if not fields["negative_prompt"].strip():
            fields["true_cfg_scale"] = fields["true_cfg_start"] = None
        return read_starts(fields)

    def reused(self, recipe: Mapping[str, Any]) -> list[Any]:
        """Values for `reusable` from a picture's recipe; what it does not say stays. No preset: sliders say it all."""
        choices = {"aspect_ratio": ASPECT_RATIOS, "base_model": [slug for _, slug in self.base_model.choices]}
        return [*values_for(recipe, self._fields, choices | CHOICES), None]


def _build_drawing(model: BaseModel) -> dict[str, Component]:
    return {
        "steps": _slider("steps", "Steps", 1, model.default_steps),
        "cfg_scale": _slider("cfg_scale", "Guidance", 0.1, model.default_guidance, "2.5 to 4 for photographs."),
        "identity_start": _slider(
            "identity_start", "Likeness begins after this share of the steps", 0.01, round(model.identity_start, 2),
            "Later: freer pose and style. Earlier: more alike.",
        ),
    }  # fmt: skip


def _build_negative(model: BaseModel) -> dict[str, Component]:
    return {
        "negative_prompt": gr.Textbox(
            label="Negative prompt", max_lines=3, max_length=int(LIMITS["text"].high), elem_id="negative-prompt",
            info="What to steer away from. Each step takes twice as long.",
        ),
        "true_cfg_scale": _slider("true_cfg_scale", "Strength of the negative prompt", 0.1, DEFAULT_TRUE_CFG),
        "true_cfg_start": _slider(
            "true_cfg_start", "Negative prompt begins after this share of the steps", 0.01, _first_step(model)
        ),
    }  # fmt: skip


def _slider(
    name: str, label: str, step: float, value: float, info: str | None = None, *, visible: bool = True
) -> gr.Slider:
    low, high, *_ = LIMITS[name]
    return gr.Slider(
        low, high, value=value, step=step, label=label, info=info, visible=visible, elem_id=name.replace("_", "-")
    )


def _seed_of(text: str | None) -> int | str | None:
    """What was typed as a number; nothing is a random one, and what is no number is left for the studio to refuse."""
    typed = (text or "").strip()
    try:
        return int(typed)
    except ValueError:  # also of thousands of digits
        return typed or None


def _first_step(model: BaseModel) -> float:
    return round(DEFAULT_TRUE_CFG_STEP / model.default_steps, 2)


def _defaults_of(style: str | None, slug: str) -> tuple[float, float, float, float, None]:
    model = find_base_model(slug)
    return model.default_steps, *guidance_and_start(None, style, slug), _first_step(model), None


def guidance_and_start(preset: str | None, style: str | None, slug: str) -> tuple[float, float]:
    """Guidance, and when the likeness begins: as the preset says, else the style, else the base model."""
    model = find_base_model(slug)
    fields = fill_preset(fill_style(PromptFields(text="", preset=preset, style=style), model), model)
    guidance = model.default_guidance if fields.cfg_scale is None else fields.cfg_scale
    return guidance, round(model.identity_start if fields.identity_start is None else fields.identity_start, 2)
