"""From a caller's fields to the request a base model draws: defaults, ranges, and what differs from what was asked.

Pure.
"""

from collections.abc import Sequence

from faceid.base_models import BaseModel
from faceid.domain import GenerationRequest, PromptFields, WeightedIdentity
from faceid.errors import InvalidRequest
from faceid.limits import LIMITS
from faceid.presets import fill_preset
from faceid.sizes import aspect_ratio_size, drawn_size
from faceid.validation import check_flag, check_limit, check_number, check_text, check_whole

# Where a negative prompt is given without a scale: the value of PuLID's own true CFG examples (docs/pulid_for_flux.md).
DEFAULT_TRUE_CFG = 4.0
DEFAULT_TRUE_CFG_STEP = 1  # from 0; of any number of steps: PuLID's `timestep_to_start_cfg`


def plan_generation(
    fields: PromptFields, model: BaseModel, prompt: str, identities: Sequence[WeightedIdentity], seed: int
) -> GenerationRequest:
    """The preset's values and the base model's defaults filled in, every range checked.

    `prompt` is free of tags; `seed` is used where none is given. InvalidRequest names the field.
    """
    fields = fill_preset(fields, model)
    width, height = _size(fields, model)
    steps = check_whole("steps", fields.steps, model.default_steps)
    negative = fields.negative_prompt.strip()
    if negative:
        check_text("negative_prompt", negative, most=int(LIMITS["text"].high), lines=True)
    elif (fields.true_cfg_scale or 1) > 1:
        raise InvalidRequest("true_cfg_scale: needs a negative_prompt to steer away from.", field="true_cfg_scale")
    kept, drawn = count_pictures(fields)
    if drawn > kept and not identities:
        raise InvalidRequest(
            f"best_of: {drawn} pictures can only be compared with a person's photos; name one in the prompt, as in "
            "<faceid:ID:1>.",
            field="best_of",
        )
    return GenerationRequest(
        base_model=model.slug,
        prompt=prompt,
        identities=tuple(identities),
        negative_prompt=negative,
        seed=check_whole("seed", fields.seed, seed),
        num_images=drawn,
        num_inference_steps=steps,
        guidance_scale=check_number("cfg_scale", fields.cfg_scale, model.default_guidance),
        true_cfg_scale=check_number("true_cfg_scale", fields.true_cfg_scale, DEFAULT_TRUE_CFG if negative else 1.0),
        identity_start=check_number("identity_start", fields.identity_start, model.identity_start),
        true_cfg_start=check_number("true_cfg_start", fields.true_cfg_start, DEFAULT_TRUE_CFG_STEP / steps),
        faster=check_flag("faster", fields.faster),
        width=width,
        height=height,
    )


def count_pictures(fields: PromptFields) -> tuple[int, int]:
    """How many pictures are kept and how many are drawn for them: more where `best_of` is above 1.

    InvalidRequest: a number out of range, or fewer to draw than to keep.
    """
    kept = check_whole("num_images", fields.num_images, int(LIMITS["num_images"].default))
    drawn = check_whole("best_of", fields.best_of, 1)
    if 1 < drawn < kept:
        raise InvalidRequest(
            f"best_of: {drawn} pictures are fewer than num_images: {kept}, the number kept of them. Draw at least as "
            "many, or 1 for no choice.",
            field="best_of",
        )
    return kept, max(kept, drawn)


def describe_request(fields: PromptFields, request: GenerationRequest, model: BaseModel) -> dict:
    """The request as it was decided, in the product's names: what is stored, and shown as details."""
    return {
        "negative_prompt": request.negative_prompt,
        "num_images": count_pictures(fields)[0],
        "best_of": fields.best_of or 1,
        "seed": request.seed,
        "steps": request.num_inference_steps,
        "cfg_scale": request.guidance_scale,
        "true_cfg_scale": request.true_cfg_scale,
        "true_cfg_start": round(request.true_cfg_start, 4),
        "identity_start": round(request.identity_start, 4),
        "preset": fields.preset,
        "faster": request.faster,
        "w": fields.w,
        "h": fields.h,
        "aspect_ratio": fields.aspect_ratio,
        "picture_w": request.width * model.enlargement,
        "picture_h": request.height * model.enlargement,
    }


def notes_on(fields: PromptFields, request: GenerationRequest, model: BaseModel) -> tuple[str, ...]:
    """What is done otherwise than asked, in words for the caller."""
    notes = []
    asked = (fields.w or request.width, fields.h or request.height)
    if model.fixed_area:
        size, times = f"{request.width} × {request.height} px", model.enlargement
        enlarged = f", and enlarged {times} times" if times > 1 else ""
        notes.append(f"Drawn in your aspect at {size}, the own size of {model.title}{enlarged}.")
    elif asked != (request.width, request.height):
        notes.append(f"Drawn at {request.width} × {request.height} px: sides are multiples of 16.")
    kept, drawn = count_pictures(fields)
    if drawn > kept:
        several = f"the {kept} most like the photos are kept, the most alike first"
        chosen = several if kept > 1 else "the one most like the photos is kept"
        notes.append(f"{drawn} pictures are drawn; {chosen}.")
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
