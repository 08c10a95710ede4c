"""How many steps a redrawing takes. Pure: the duration asked of ZeroGPU needs it without diffusers."""

from faceid.domain import GenerationRequest


def count_steps(num_inference_steps: int, strength: float) -> int:
    """How many of the steps are drawn at `strength` (0 to 1): as diffusers counts them."""
    drawn = min(num_inference_steps * strength, num_inference_steps)
    return num_inference_steps - int(max(num_inference_steps - drawn, 0))


def drawn_steps(request: GenerationRequest) -> int:
    """How many of a request's steps are drawn: all, but for a picture that is drawn from another."""
    steps = request.num_inference_steps
    return count_steps(steps, request.start.strength) if request.start else steps
