"""What can be done to the pictures of a base model on this machine, and why not where it cannot. Pure.

The page reads it before anything is asked for; over an API it becomes the notes of a prompt.
"""

from collections.abc import Mapping

from faceid.base_models import BaseModel
from faceid.finishes import ORDER


def why_not(model: BaseModel, missing: Mapping[str, str]) -> dict[str, str]:
    """The reason of every finishing step that cannot be done to the pictures of `model`, in the steps' order.

    `missing`: what this machine lacks, by the step's name. A model whose weights come with the project brings its own
    upscaler.
    """
    reasons = dict(missing)
    if model.repo is None:
        reasons.pop("super_resolution", None)
        reasons["hires_fix"] = f"{model.title} draws one face of {model.native_side} px, no part of a larger picture"
    return {name: reasons[name] for name in ORDER if name in reasons}
