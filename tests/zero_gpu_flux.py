"""Run by test_zero_gpu: FLUX.1 [dev] at toy width, loaded onto "cuda" as on a Space, drawn by the queue's lane.

Prints a JSON object: where the weights that draw lie, what the main process encoded, the picture a worker drew, and
what becomes of drawing in the main process.
"""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import faceid.web.lean_gradio  # noqa: F401  in app.py's order

# isort: split
import spaces  # noqa: F401


def load_toy_flux(cache: Path, device: str) -> Any:
    """The engine of flux1-dev from the toy Hub in `cache`."""
    from tiny_base_models import cache_sources

    from faceid.base_models import find_base_model
    from faceid.flux.pipeline import load_engine

    return load_engine(
        find_base_model("flux1-dev"),
        lock_dir=cache / "locks",
        face_pack="antelopev2",
        sources=replace(cache_sources(cache), device=device),
    )


def toy_request(engine: Any) -> Any:
    """Two steps of a small picture with a negative prompt and a person: every network takes part."""
    from flux_toys import short_request

    from faceid.domain import WeightedIdentity

    person = WeightedIdentity(engine.encoder.unconditional(), 0.8)
    scale = {"true_cfg_scale": 2.0, "negative_prompt": "rain"}
    return short_request(base_model="flux1-dev", num_inference_steps=3, identities=(person,), **scale)


def picture_hash(results: Any) -> str:
    """The one picture's pixels, as a hash."""
    from faceid.domain import Picture

    (picture,) = (result for result in results if isinstance(result, Picture))
    return hashlib.sha256(picture.image.tobytes()).hexdigest()


def tokens_hash(engine: Any) -> str:
    """What the engine's encoder makes of nobody, as a hash."""
    return hashlib.sha256(engine.encoder.unconditional().tobytes()).hexdigest()


def main(cache: Path) -> dict[str, Any]:
    """Load, draw in a worker, try to draw here."""
    from zero_gpu_app import stand_in_for_the_gpu, watch_networks

    stand_in_for_the_gpu()
    watch_networks()
    from faceid.flux import gpu
    from faceid.jobs import JobQueue, Waiting

    engine = load_toy_flux(cache, "cuda")
    gpu.register(engine.generator)
    request, queue = toy_request(engine), JobQueue()

    def draw(paint: Any) -> str:
        job = queue.submit("owner", engine.base_model.lane, lambda: paint(request))
        return picture_hash([event for event in job.events() if not isinstance(event, Waiting)])

    networks = [part for part in engine.generator.pipeline.components.values() if hasattr(part, "parameters")]
    done = {
        "drawing": sorted({weight.device.type for part in networks for weight in part.parameters()}),
        "encoded": tokens_hash(engine),
        "drawn": [draw(gpu.generate_on_gpu), draw(gpu.generate_on_gpu)],
    }
    try:
        done["here"] = draw(engine.generator.generate)
    except Exception as error:
        done["here"] = type(error.__cause__).__name__
    queue.close()
    return done


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
