"""The accordion of settings beyond the prompt and the number of pictures, in the words of PromptFields."""

from typing import Any

import gradio as gr

from faceid.base_models import BaseModel, find_base_model
from faceid.domain import LIMITS
from faceid.sizes import ASPECT_RATIOS
from faceid.studio import Studio


class SettingsPanel:
    """`inputs` are the components whose values `fields_of` turns into PromptFields, in the same order."""

    def __init__(self, studio: Studio):
        model = studio.loaded_models[0]
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.strength = _slider("strength", "Strength of the likeness", 0.05, 1, "Written into the tag.")
            self.seed = gr.Number(
                label="Seed", precision=0, minimum=0, placeholder="random", value=None, elem_id="seed",
                info="The same request with the same seed gives the same pictures.",
            )  # fmt: skip
            aspect_ratio = gr.Dropdown(list(ASPECT_RATIOS), value="1:1", label="Aspect ratio", elem_id="aspect-ratio")
            steps = _slider("steps", "Steps", 1, model.default_steps)
            cfg_scale = _slider("cfg_scale", "Guidance", 0.1, model.default_guidance, "2.5 to 4 for photographs.")
            identity_start = _slider(
                "identity_start", "Likeness begins after this share of the steps", 0.01, round(model.identity_start, 2),
                "Later: freer pose and style. Earlier: more alike.",
            )  # fmt: skip
            negative_prompt = gr.Textbox(
                label="Negative prompt", max_lines=3, max_length=int(LIMITS["text"].high), elem_id="negative-prompt",
                info="What to steer away from. Each step takes twice as long.",
            )  # fmt: skip
            true_cfg_scale = _slider("true_cfg_scale", "Strength of the negative prompt", 0.1, 4)
            base_model = gr.Dropdown(
                [(loaded.title, loaded.slug) for loaded in studio.loaded_models],
                value=model.slug,
                label="Base model",
                elem_id="base-model",
                visible=len(studio.loaded_models) > 1,
            )
        self._fields = {
            "seed": self.seed,
            "aspect_ratio": aspect_ratio,
            "steps": steps,
            "cfg_scale": cfg_scale,
            "identity_start": identity_start,
            "negative_prompt": negative_prompt,
            "true_cfg_scale": true_cfg_scale,
            "base_model": base_model,
        }
        self.inputs = list(self._fields.values())
        base_model.change(
            _defaults_of,
            base_model,
            [steps, cfg_scale, identity_start],
            api_visibility="private",
            show_progress="hidden",
        )

    def fields_of(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """The values of `inputs` as keyword arguments of PromptFields."""
        fields = dict(zip(self._fields, values))
        fields["negative_prompt"] = fields["negative_prompt"] or ""
        if not fields["negative_prompt"].strip():
            fields["true_cfg_scale"] = None
        return fields


def _slider(name: str, label: str, step: float, value: float, info: str | None = None) -> gr.Slider:
    low, high, *_ = LIMITS[name]
    return gr.Slider(low, high, value=value, step=step, label=label, info=info, elem_id=name.replace("_", "-"))


def _defaults_of(slug: str) -> tuple[float, float, float]:
    model: BaseModel = find_base_model(slug)
    return model.default_steps, model.default_guidance, round(model.identity_start, 2)
