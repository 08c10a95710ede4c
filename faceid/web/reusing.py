"""From the recipe in a picture's file back to the page's settings. Knows values, not how they were drawn."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from faceid.errors import InvalidRequest
from faceid.limits import LIMITS
from faceid.recipe import read_recipe

STARTS = ("input_image", "mask_image")
NONE = ""  # of what can be chosen: a dropdown shows None itself as nothing at all
NOT_CHOSEN = {"aspect_ratio": NONE, "style": NONE, "color_grading": NONE}  # where a recipe has nothing of it
NEGATIVE = ("true_cfg_scale", "true_cfg_start")
NO_RECIPE = "This file says nothing of how it was drawn. Choose a PNG that this app made and that nobody saved again."


def recipe_of(path: str | Path | None) -> dict[str, Any]:
    """What the file says; InvalidRequest where it says nothing."""
    found = read_recipe(Path(path).read_bytes()) if path and Path(path).is_file() else None
    if not found:
        raise InvalidRequest(NO_RECIPE, field="recipe")
    return found


def values_for(recipe: Mapping[str, Any], names: Iterable[str], choices: Mapping[str, Iterable[Any]]) -> list[Any]:
    """A value for each of the settings `names`: the recipe's where it fits, else the setting stays.

    choices: what settings with choices offer; another value is left out, as is a number outside of its range. What was
    not chosen is not chosen again, and pictures to start from go where the recipe's picture was drawn from none. A
    recipe without a negative prompt has nothing to say of how strong one is.
    """
    if not recipe.get("negative_prompt"):
        recipe = {name: value for name, value in recipe.items() if name not in NEGATIVE}
    unsaid = NOT_CHOSEN if "denoising_strength" in recipe else NOT_CHOSEN | dict.fromkeys(STARTS)
    return [
        unsaid[name] if name in unsaid and name not in recipe else _value(name, recipe.get(name), choices.get(name))
        for name in names
    ]


def _value(name: str, value: Any, choices: Iterable[Any] | None) -> Any:
    if value is None or (choices is not None and value not in choices):
        return gr.skip()
    if name in LIMITS and not LIMITS[name].low <= value <= LIMITS[name].high:
        return gr.skip()
    return value
