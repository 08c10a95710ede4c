"""What can be done to a picture after it is drawn, as data: names, order, a line of help, what a request asks for.

The order is the product's and fixed. Knows no library; `finishing` does it, `capabilities` says where it can be done.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Finish(NamedTuple):
    """One step after drawing: the product's name of it, a title and a line of help for the page."""

    name: str
    title: str
    help: str


FINISHES: tuple[Finish, ...] = (  # in the order in which they are done
    Finish("face_swap", "Face swap", "Pastes the person's face over the drawn one: more alike, less of the style."),
    Finish("face_correct", "Face correct", "Restores every face: clearer eyes, teeth and skin in photographs."),
    Finish("super_resolution", "Super resolution", "Four times as wide and as high."),
    Finish("hires_fix", "Hires fix", "Draws fine detail into the picture, tile by tile: best with super resolution."),
    Finish("inpaint_faces", "Inpaint faces", "Draws each small face again at full resolution, as this person."),
    Finish("color_grading", "Color grading", "The colours of a photographic film."),
    Finish("film_grain", "Film grain", "The grain of a fast film, strongest in the middle tones."),
)
ORDER: tuple[str, ...] = tuple(finish.name for finish in FINISHES)
COLOR_GRADINGS = ("Film Velvia", "Film Portra", "Ektar")
SUPER_RESOLUTION = 4  # times as wide and as high
FACE_CORRECT_STRENGTH = 0.8  # all of GFPGAN's face is smoother than a photograph


@dataclass(frozen=True, eq=False)
class Finishing:
    """What a request asks to be done with its pictures, none of it by default.

    face_swap: the mean direction (D,) of the person's vectors, in the space of the swapper's recogniser; face_correct:
    how much of the restored face is taken, 0 to 1; color_grading: one of COLOR_GRADINGS.
    """

    face_swap: "np.ndarray | None" = field(default=None, repr=False)
    face_correct: float = 0.0
    super_resolution: bool = False
    hires_fix: bool = False
    inpaint_faces: bool = False
    color_grading: str | None = None
    film_grain: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The steps that are asked for, in their order."""
        return tuple(self._asked())

    def _asked(self) -> Iterator[str]:
        for name in ORDER:
            value = getattr(self, name)
            if value is not None and (name == "face_swap" or value):
                yield name


class FinishStep(NamedTuple):
    """`done` of `of` parts (tiles, faces) of the finishing step `name` of picture `index` (from 0) are finished."""

    index: int
    name: str
    done: int
    of: int
