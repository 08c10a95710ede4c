"""The product's ten styles, as data: words added to a prompt, and how the identity is drawn with them. Pure.

For drawn styles the vendor advises to leave face_swap out, and PuLID's notes to let the identity begin earlier.
"""

from dataclasses import dataclass, replace

from faceid.base_models import BaseModel
from faceid.domain import PromptFields
from faceid.errors import InvalidRequest
from faceid.presets import find_preset


@dataclass(frozen=True)
class Style:
    """`words` are added behind the prompt; `preset` is one of presets.PRESETS.

    In a `drawn` style the identity begins with the first step and no photographic face is pasted.
    """

    name: str
    words: str
    preset: str = "photo"
    drawn: bool = False


STYLES: tuple[Style, ...] = (
    Style("Cinematic", "cinematic film still, shallow depth of field, dramatic light, film colours"),
    Style("Animated", "animated film character, clean shapes, soft studio light", preset="art", drawn=True),
    Style("Digital Art", "digital painting, concept art, visible brushwork, rich colours", preset="art"),
    Style("Photographic", "photograph, 85 mm lens, natural light, natural skin"),
    Style("Fantasy art", "fantasy painting, epic scenery, magical light", preset="art"),
    Style("Neonpunk", "neonpunk, neon light, night, vivid magenta and cyan", preset="art"),
    Style("Enhance", "high quality, sharp focus, fine detail"),
    Style("Comic book", "comic book panel, bold ink lines, flat colours, halftone", preset="art", drawn=True),
    Style("Lowpoly", "low poly, faceted geometric shapes, isometric", preset="art", drawn=True),
    Style("Line art", "line art, clean black ink lines on white paper", preset="art", drawn=True),
)


def find_style(name: str) -> Style:
    """The style of that name, in any case; InvalidRequest lists the known ones."""
    for style in STYLES:
        if style.name.lower() == name.strip().lower():
            return style
    known = ", ".join(style.name for style in STYLES)
    raise InvalidRequest(f"style: {name!r} is not known. Known: {known}.", field="style")


def add_style(prompt: str, style: str | None) -> str:
    """The prompt with the style's words behind it; without a style as it was. InvalidRequest as `find_style`."""
    return f"{prompt.rstrip().rstrip(',.')}, {find_style(style).words}" if style else prompt


def fill_style(fields: PromptFields, model: BaseModel) -> PromptFields:
    """`fields` with what their style says where they say nothing; a preset that was asked for goes before the style."""
    if fields.preset or not fields.style:
        return fields
    style = find_style(fields.style)
    preset = find_preset(style.preset)
    start = 0.0 if style.drawn else min(preset.identity_start, model.identity_start)
    return replace(
        fields,
        identity_start=start if fields.identity_start is None else fields.identity_start,
        cfg_scale=preset.guidance_for(model) if fields.cfg_scale is None else fields.cfg_scale,
    )
