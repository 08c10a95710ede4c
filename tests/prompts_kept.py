"""A studio that paints at its caller's word, for tests of restarts: `python tests/prompts_kept.py FOLDER TEXT…`.

Run as a program it queues a prompt of 3 pictures from seed 7 for each text, prints a line before each picture, and
paints it when it is sent a line: it can be killed at any of them.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from faceid.base_models import find_base_model
from faceid.domain import GenerationRequest, Picture, PromptFields
from faceid.jobs import JobQueue
from faceid.loading import Loading, Models
from faceid.store import TuneStore
from faceid.studio import Studio

CALLBACK = "https://example.com/done"


def make_picture(request: GenerationRequest, index: int) -> Picture:
    """A picture that tells its seed and its words."""
    seed = request.seed + index
    return Picture(index, seed, Image.new("RGB", (8, 8), (seed % 256, len(request.prompt) % 256, 0)))


def make_studio(store: TuneStore, before: Callable[[GenerationRequest, int], None], **given) -> Studio:
    """A studio without models; `before(request, index)` is called before each picture is painted."""

    def paint(request: GenerationRequest) -> Iterator[Picture]:
        for index in range(request.num_images):
            before(request, index)
            yield make_picture(request, index)

    parts = {
        "jobs": JobQueue(),
        "loading": Loading.finished(Models(None, {})),
        "base_models": [find_base_model("fast")],
        "measures_likeness": False,
    }
    return Studio(store=store, paint=paint, **(parts | given))


def ask(studio: Studio, text: str, **fields):
    """A prompt of 3 pictures from seed 7."""
    fields = {"text": text, "num_images": 3, "seed": 7, "callback": CALLBACK} | fields
    return studio.request_pictures("me", PromptFields(**fields), origin="http://here")


if __name__ == "__main__":
    all_asked = threading.Event()

    def wait_for_word(request: GenerationRequest, index: int) -> None:
        all_asked.wait()
        sys.stdout.write(f"{request.prompt} {index}\n")
        sys.stdout.flush()
        if not sys.stdin.readline():
            raise SystemExit

    here = make_studio(TuneStore.open(Path(sys.argv[1])), wait_for_word)
    jobs = [here._jobs_of_prompts[ask(here, text).id] for text in sys.argv[2:]]
    all_asked.set()
    for job in jobs:
        list(job.events())
