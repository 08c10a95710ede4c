"""The order of what is done to a finished picture: what the request asks, in the product's order, each step told.

Knows which network does which step; how a picture is drawn again with the identity is given by whoever drew it.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from faceid.domain import Note
from faceid.faces.detection import Detection
from faceid.finishing import film
from faceid.finishing.super_resolution import SuperResolution
from faceid.finishing.weights import Networks
from faceid.flux import hires_fix, inpaint_faces
from faceid.flux.redrawing import Work

NO_FACE = "In picture {number} no face was found: it stays as it was drawn."
NO_SMALL_FACE = "Picture {number} has no small face: it stays as it was drawn."
TILE_SEED, FACE_SEED = 1_000_003, 2_000_003  # far from other pictures' seeds: tiles and faces get noise of their own


class FinishingChain:
    """Does to a picture what its request asks, in the order of `finishes.ORDER`.

    `networks`: a request that asks for one that is missing should not have come this far (ValueError).
    super_resolution: another upscaler than the networks' own, for a base model that brings one.
    """

    def __init__(
        self,
        networks: Networks,
        find_faces: Callable[[np.ndarray], list[Detection]],
        *,
        super_resolution: SuperResolution | None = None,
    ):
        self._networks, self._find_faces = networks, find_faces
        self._super_resolution = super_resolution or networks.super_resolution
        self._steps = {
            "face_swap": self._swap_face,
            "face_correct": self._correct_faces,
            "super_resolution": self._enlarge,
            "hires_fix": self._add_detail,
            "inpaint_faces": self._inpaint_faces,
            "color_grading": self._grade_colors,
            "film_grain": self._add_grain,
        }

    def __call__(self, picture: Image.Image, work: Work) -> tuple[Image.Image, tuple[Note, ...]]:
        """The finished picture (RGB), and what was left as it was."""
        notes = []
        for name in work.request.finishing.names:
            changed = self._steps[name](picture, work)
            if isinstance(changed, str):
                notes.append(Note(name, changed.format(number=work.number)))
            else:
                picture = changed
        return picture, tuple(notes)

    def _swap_face(self, picture: Image.Image, work: Work) -> Image.Image | str:
        swap = self._loaded("face_swap", self._networks.face_swap)
        faces = self._find_faces(np.asarray(picture))
        return swap(picture, faces[0], work.request.finishing.face_swap) if faces else NO_FACE

    def _correct_faces(self, picture: Image.Image, work: Work) -> Image.Image | str:
        correct = self._loaded("face_correct", self._networks.face_correct)
        faces = self._find_faces(np.asarray(picture))
        strength = work.request.finishing.face_correct
        return correct(picture, faces, strength, work.tell("face_correct")) if faces else NO_FACE

    def _enlarge(self, picture: Image.Image, work: Work) -> Image.Image:
        return self._loaded("super_resolution", self._super_resolution)(picture, work.tell("super_resolution"))

    def _add_detail(self, picture: Image.Image, work: Work) -> Image.Image:
        tiles = hires_fix.count_tiles(*picture.size, work.redraw.side)
        tell = work.tell("hires_fix")

        def redraw(tile: Image.Image, number: int) -> Image.Image:
            drawn = work.redraw(tile, strength=hires_fix.STRENGTH, seed=work.seed + TILE_SEED + number)
            tell(number + 1, tiles)
            return drawn

        return hires_fix.hires_fix(picture, redraw, side=work.redraw.side)

    def _inpaint_faces(self, picture: Image.Image, work: Work) -> Image.Image | str:
        shown = picture.width / work.request.width  # px for each that was drawn
        faces = self._find_faces(np.asarray(picture))
        small = inpaint_faces.find_small(faces, below=inpaint_faces.SMALL * work.redraw.side * shown)
        if not small:
            return NO_SMALL_FACE if faces else NO_FACE
        tell = work.tell("inpaint_faces")

        def redraw(crop: Image.Image, mask: Image.Image, number: int) -> Image.Image:
            seed = work.seed + FACE_SEED + number
            drawn = work.redraw(crop, strength=inpaint_faces.STRENGTH, seed=seed, mask=mask)
            tell(number + 1, len(small))
            return drawn

        return inpaint_faces.inpaint_faces(picture, small, redraw, side=work.redraw.side)

    def _grade_colors(self, picture: Image.Image, work: Work) -> Image.Image:
        return film.grade_colors(picture, work.request.finishing.color_grading)

    def _add_grain(self, picture: Image.Image, work: Work) -> Image.Image:
        return film.add_grain(picture, work.seed)

    @staticmethod
    def _loaded(name: str, network):
        if network is None:
            raise ValueError(f"{name}: its network is not loaded here.")
        return network
