"""From a caller's fields to the request a base model draws: defaults, ranges, and what differs from what was asked.

Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from faceid.base_models import BaseModel
from faceid.domain import GenerationRequest, Note, PromptFields, WeightedIdentity
from faceid.errors import InvalidRequest
from faceid.finishes import COLOR_GRADINGS, ORDER, SUPER_RESOLUTION
from faceid.limits import LIMITS, SCHEDULERS
from faceid.presets import fill_preset
from faceid.sizes import aspect_ratio_size, drawn_size, like_picture
from faceid.starting_pictures import StartingPicture, fit_start, read_input, read_mask
from faceid.styles import fill_style, find_style
from faceid.validation import check_choice, check_flag, check_number, check_text, check_whole

if TYPE_CHECKING:
    from PIL.Image import Image

# Where a negative prompt is given without a scale: the value of PuLID's own true CFG examples (docs/pulid_for_flux.md).
DEFAULT_TRUE_CFG = 4.0
DEFAULT_TRUE_CFG_STEP = 1  # from 0; of any number of steps: PuLID's `timestep_to_start_cfg`


def plan_generation(
    fields: PromptFields,
    model: BaseModel,
    prompt: str,
    identities: Sequence[WeightedIdentity],
    seed: int,
) -> GenerationRequest:
    """The preset's and the style's values and the base model's defaults filled in, every range checked; no finishing.

    `prompt` is free of tags; `seed` is used where none is given. InvalidRequest names the field.
    """
    fields = check_finishing(fields)
    fields = fill_preset(fill_style(fields, model), model)
    check_choice("scheduler", fields.scheduler, SCHEDULERS)
    picture = read_input(fields.input_image) if fields.input_image else None
    width, height = _size(fields, model, picture.size if picture else None)
    steps = check_whole("steps", fields.steps, model.default_steps)
    negative = _negative_prompt(fields)
    return GenerationRequest(
        base_model=model.slug,
        prompt=prompt,
        identities=tuple(identities),
        negative_prompt=negative,
        seed=check_whole("seed", fields.seed, seed),
        num_images=_pictures_drawn(fields, person=bool(identities)),
        num_inference_steps=steps,
        guidance_scale=check_number("cfg_scale", fields.cfg_scale, model.default_guidance),
        true_cfg_scale=check_number("true_cfg_scale", fields.true_cfg_scale, DEFAULT_TRUE_CFG if negative else 1.0),
        identity_start=check_number("identity_start", fields.identity_start, model.identity_start),
        true_cfg_start=check_number("true_cfg_start", fields.true_cfg_start, DEFAULT_TRUE_CFG_STEP / steps),
        faster=check_flag("faster", fields.faster),
        width=width,
        height=height,
        start=_start(fields, picture, width, height),
    )


def check_finishing(fields: PromptFields) -> PromptFields:
    """The fields with what is done to a finished picture under its own names; InvalidRequest lists the known ones."""
    for name in ORDER:
        if name != "color_grading":
            check_flag(name, getattr(fields, name))
    return replace(
        fields,
        color_grading=check_choice("color_grading", fields.color_grading, COLOR_GRADINGS),
        style=find_style(fields.style).name if fields.style else None,
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
    fields = check_finishing(fields)
    enlargement = model.enlargement * (SUPER_RESOLUTION if request.finishing.super_resolution else 1)
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
        **{name: getattr(fields, name) for name in (*ORDER, "style", "scheduler")},
        "denoising_strength": request.start.strength if request.start else None,
        "picture_w": request.width * enlargement,
        "picture_h": request.height * enlargement,
    }


def notes_on(fields: PromptFields, request: GenerationRequest, model: BaseModel) -> tuple[Note, ...]:
    """What is drawn otherwise than asked, in words for the caller."""
    return tuple(_notes_on_drawing(fields, request, model))


def _notes_on_drawing(fields: PromptFields, request: GenerationRequest, model: BaseModel) -> Iterator[Note]:
    asked = (fields.w or request.width, fields.h or request.height)
    if model.fixed_area:
        size, times = f"{request.width} × {request.height} px", model.enlargement
        enlarged = f", and enlarged {times} times" if times > 1 else ""
        yield Note("w", f"Drawn in your aspect at {size}, the own size of {model.title}{enlarged}.")
    elif asked != (request.width, request.height):
        yield Note("w", f"Drawn at {request.width} × {request.height} px: sides are multiples of 16.")
    if fields.denoising_strength is not None and not request.start:
        yield Note("denoising_strength", "denoising_strength was left out: there is no input_image to draw again.")
    kept, drawn = count_pictures(fields)
    if drawn > kept:
        several = f"the {kept} most like the photos are kept, the most alike first"
        chosen = several if kept > 1 else "the one most like the photos is kept"
        yield Note("best_of", f"{drawn} pictures are drawn; {chosen}.")


def _pictures_drawn(fields: PromptFields, *, person: bool) -> int:
    kept, drawn = count_pictures(fields)
    if drawn > kept and not person:
        raise InvalidRequest(
            f"best_of: {drawn} pictures can only be compared with a person's photos; name one in the prompt, as in "
            "<faceid:ID:1>.",
            field="best_of",
        )
    return drawn


def _negative_prompt(fields: PromptFields) -> str:
    """Trimmed, or empty; InvalidRequest where it is wrong, or where there is only its scale."""
    negative = fields.negative_prompt.strip()
    if negative:
        check_text("negative_prompt", negative, most=int(LIMITS["text"].high), lines=True)
    elif check_number("true_cfg_scale", fields.true_cfg_scale, 1.0) > 1:
        raise InvalidRequest("true_cfg_scale: needs a negative_prompt to steer away from.", field="true_cfg_scale")
    return negative


def _start(fields: PromptFields, picture: "Image | None", width: int, height: int) -> StartingPicture | None:
    """What is drawn from; InvalidRequest names the picture that is wrong or missing."""
    strength = check_number("denoising_strength", fields.denoising_strength, LIMITS["denoising_strength"].default)
    if picture is None:
        if fields.mask_image:
            raise InvalidRequest("mask_image: needs an input_image, of which a part is drawn.", field="mask_image")
        return None
    mask = read_mask(fields.mask_image, picture.size) if fields.mask_image else None
    return fit_start(picture, mask, width, height, strength)


def _size(fields: PromptFields, model: BaseModel, picture: tuple[int, int] | None) -> tuple[int, int]:
    """What is drawn, (width, height) px: the aspect ratio or the sides asked for, or the shape of the picture that is
    drawn from; one side alone is a square's."""
    if fields.aspect_ratio:
        if fields.w or fields.h:
            raise InvalidRequest("aspect_ratio: give either it or w and h, not both.", field="aspect_ratio")
        return aspect_ratio_size(model, fields.aspect_ratio)
    width, height = check_whole("w", fields.w, 0), check_whole("h", fields.h, 0)  # 0: not given
    if picture and not (width or height):
        return like_picture(model, *picture)
    return drawn_size(model, width, height)
