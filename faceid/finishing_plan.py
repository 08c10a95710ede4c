"""What is done to a prompt's pictures, and what is left out and why: from fields to `Finishing`. Pure.

A step that cannot be done never fails a prompt: it becomes a note.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from faceid.base_models import BaseModel
from faceid.capabilities import why_not
from faceid.domain import Note, PromptFields
from faceid.finishes import FACE_CORRECT_STRENGTH, ORDER, Finishing
from faceid.styles import find_style

if TYPE_CHECKING:
    import numpy as np

NOBODY = "the prompt names nobody"
NO_VECTOR = "what it needs of this person is not kept; create the tune again"


def plan_finishing(
    fields: PromptFields,
    model: BaseModel,
    *,
    missing: Mapping[str, str],
    person: bool,
    swap_vector: "np.ndarray | None" = None,
) -> tuple[Finishing, tuple[Note, ...]]:
    """The steps that can be done, and a note for each that was asked for and cannot.

    missing: what this machine lacks, by step; person: the prompt names one; swap_vector: the swapper's of that person.
    """
    reasons = why_not(model, missing)
    if "face_swap" not in reasons and (reason := _why_no_swap(fields, person, swap_vector)):
        reasons["face_swap"] = reason
    asked = [name for name in ORDER if getattr(fields, name)]
    values = {name: getattr(fields, name) for name in asked if name not in reasons}
    if "face_swap" in values:
        values["face_swap"] = swap_vector
    if "face_correct" in values:
        values["face_correct"] = FACE_CORRECT_STRENGTH
    notes = [Note(name, f"{name} was left out: {reasons[name]}.") for name in asked if name in reasons]
    return Finishing(**values), tuple(notes)


def _why_no_swap(fields: PromptFields, person: bool, swap_vector: "np.ndarray | None") -> str | None:
    style = find_style(fields.style) if fields.style else None
    if style and style.drawn:
        return f"the style {style.name} is drawn, and a photographic face does not go with it"
    if not person:
        return NOBODY
    return NO_VECTOR if swap_vector is None else None
