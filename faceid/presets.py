"""Presets of a generation, as data: when the identity begins and how strongly the words guide. Pure.

Source of the values: PuLID's notes on FLUX (docs/pulid_for_flux.md): for photographs the identity starts at step 4 of
28, for stylised pictures at step 0 or 1; guidance 3.5 to 4.
"""

from dataclasses import dataclass, replace

from faceid.base_models import BaseModel
from faceid.domain import PromptFields
from faceid.errors import InvalidRequest


@dataclass(frozen=True)
class Preset:
    """identity_start is a fraction of the steps; cfg_scale None: the base model's."""

    name: str
    title: str
    identity_start: float
    cfg_scale: float | None = None

    def guidance_for(self, model: BaseModel) -> float:
        """The guidance to draw with; a base model without guidance (its default is 0) stays without."""
        return self.cfg_scale if self.cfg_scale and model.default_guidance else model.default_guidance


PRESETS: tuple[Preset, ...] = (
    Preset("photo", "Photo", identity_start=4 / 28),
    Preset("art", "Art", identity_start=1 / 28, cfg_scale=4.0),
)


def find_preset(name: str) -> Preset:
    """The preset of that name, in any case; InvalidRequest lists the known ones."""
    for preset in PRESETS:
        if preset.name == name.strip().lower():
            return preset
    known = ", ".join(preset.name for preset in PRESETS)
    raise InvalidRequest(f"preset: {name!r} is not known. Known: {known}.", field="preset")


def fill_preset(fields: PromptFields, model: BaseModel) -> PromptFields:
    """`fields` with what their preset says where they say nothing; without a preset as they were."""
    if not fields.preset:
        return fields
    preset = find_preset(fields.preset)
    return replace(
        fields,
        preset=preset.name,
        identity_start=preset.identity_start if fields.identity_start is None else fields.identity_start,
        cfg_scale=preset.guidance_for(model) if fields.cfg_scale is None else fields.cfg_scale,
    )
