"""From a caller's fields to the request a base model draws: defaults, ranges, and what differs from what was asked.

Pure.
"""

from collections.abc import Sequence

from faceid.base_models import BaseModel
from faceid.domain import LIMITS, GenerationRequest, PromptFields, WeightedIdentity
from faceid.errors import InvalidRequest
from faceid.sizes import aspect_ratio_size, drawn_size
from faceid.validation import check_limit, check_number, check_text, check_whole

# Where a negative prompt is given without a scale: the value of PuLID's own true CFG examples (docs/pulid_for_flux.md).
DEFAULT_TRUE_CFG = 4.0


def plan_generation(
    fields: PromptFields, model: BaseModel, prompt: str, identities: Sequence[WeightedIdentity], seed: int
) -> GenerationRequest:
    """The base model's defaults filled in, every range checked.

    `prompt` is free of tags; `seed` is used where none is given. InvalidRequest names the field.
    """
    width, height = _size(fields, model)
    negative = fields.negative_prompt.strip()
    if negative:
        check_text("negative_prompt", negative, most=int(LIMITS["text"].high), lines=True)
    elif (fields.true_cfg_scale or 1) > 1:
        raise InvalidRequest("true_cfg_scale: needs a negative_prompt to steer away from.", field="true_cfg_scale")
    return GenerationRequest(
        base_model=model.slug,
        prompt=prompt,
        identities=tuple(identities),
        negative_prompt=negative,
        seed=check_whole("seed", fields.seed, seed),
        num_images=check_whole("num_images", fields.num_images, int(LIMITS["num_images"].default)),
        num_inference_steps=check_whole("steps", fields.steps, model.default_steps),
        guidance_scale=check_number("cfg_scale", fields.cfg_scale, model.default_guidance),
        true_cfg_scale=check_number("true_cfg_scale", fields.true_cfg_scale, DEFAULT_TRUE_CFG if negative else 1.0),
        identity_start=check_number("identity_start", fields.identity_start, model.identity_start),
        width=width,
        height=height,
    )


def describe_request(fields: PromptFields, request: GenerationRequest) -> dict:
    """The request as it was decided, in the product's names: what is stored, and shown as details."""
    return {
        "negative_prompt": request.negative_prompt,
        "num_images": request.num_images,
        "seed": request.seed,
        "steps": request.num_inference_steps,
        "cfg_scale": request.guidance_scale,
        "true_cfg_scale": request.true_cfg_scale,
        "identity_start": round(request.identity_start, 4),
        "w": fields.w,
        "h": fields.h,
        "aspect_ratio": fields.aspect_ratio,
        "drawn_w": request.width,
        "drawn_h": request.height,
    }


def notes_on(fields: PromptFields, request: GenerationRequest, model: BaseModel) -> tuple[str, ...]:
    """What is done otherwise than asked, in words for the caller."""
    notes = [model.note] if model.note else []
    asked = (fields.w or request.width, fields.h or request.height)
    if model.fixed_area:
        notes.append(f"Drawn at {request.width} × {request.height} px, the own size of {model.title}, in your aspect.")
    elif asked != (request.width, request.height):
        notes.append(f"Drawn at {request.width} × {request.height} px: sides are multiples of 16.")
    return tuple(notes)


def _size(fields: PromptFields, model: BaseModel) -> tuple[int, int]:
    """What is drawn, (width, height) px: the aspect ratio or the sides asked for; one side alone is a square's."""
    if fields.aspect_ratio:
        if fields.w or fields.h:
            raise InvalidRequest("aspect_ratio: give either it or w and h, not both.", field="aspect_ratio")
        return aspect_ratio_size(model, fields.aspect_ratio)
    for name, side in (("w", fields.w), ("h", fields.h)):
        if side is not None:
            check_limit(name, check_whole(name, side, 0))
    return drawn_size(model, fields.w or fields.h, fields.h or fields.w)
