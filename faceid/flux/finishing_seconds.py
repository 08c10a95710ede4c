"""How long finishing takes, for the duration asked of ZeroGPU. Pure; estimates, like the pace of drawing.

It counts as if every picture had two small faces: what is asked must suffice.
"""

from faceid.base_models import find_base_model
from faceid.domain import GenerationRequest
from faceid.finishes import SUPER_RESOLUTION
from faceid.flux import hires_fix, inpaint_faces
from faceid.flux.redrawing_steps import count_steps

MEGAPIXEL = 2**20
FACES = 2
FACE_SECONDS = 1.0  # finding it on the CPU, a network over it
UPSCALING = 3.0  # a megapixel of the small picture
FILM = 0.04  # a megapixel, on the CPU


def finishing_seconds(request: GenerationRequest, *, denoising: float, decoding: float) -> float:
    """Seconds for all pictures of `request`. denoising, decoding: what one pass and one decoding take at the base
    model's own square, which is the largest that is drawn again."""
    finishing = request.finishing
    if not finishing.names:
        return 0.0
    model = find_base_model(request.base_model)
    width, height = (side * model.enlargement for side in (request.width, request.height))
    seconds = FACES * FACE_SECONDS * sum(name in finishing.names for name in ("face_swap", "face_correct"))
    if finishing.super_resolution:
        seconds += UPSCALING * width * height / MEGAPIXEL
        width, height = SUPER_RESOLUTION * width, SUPER_RESOLUTION * height
    if finishing.hires_fix:
        passes = count_steps(request.num_inference_steps, hires_fix.STRENGTH)
        tiles = hires_fix.count_tiles(width, height, model.native_side)
        seconds += tiles * (passes * denoising + 2 * decoding)  # encoded and decoded
    if finishing.inpaint_faces:
        passes = count_steps(request.num_inference_steps, inpaint_faces.STRENGTH)
        seconds += FACES * (FACE_SECONDS + passes * denoising + 3 * decoding)  # the masked picture is encoded too
    if finishing.color_grading or finishing.film_grain:
        seconds += FILM * width * height / MEGAPIXEL
    return request.num_images * seconds
