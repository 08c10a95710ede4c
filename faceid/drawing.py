"""One prompt being drawn: what the queue runs, what the caller follows. Knows the store, not how pictures are made."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceid.domain import GenerationRequest, Picture, PictureFile, Prompt, StepDone
from faceid.errors import UserError
from faceid.protocols import Likeness, Measure, Paint

if TYPE_CHECKING:
    from faceid.jobs import Job, Waiting
    from faceid.store import TuneStore


@dataclass(frozen=True, eq=False)
class Generation:
    """Pictures on their way: the stored prompt, the request as it was decided, what was done otherwise than asked."""

    prompt: Prompt
    request: GenerationRequest
    notes: tuple[str, ...]
    job: "Job"
    store: "TuneStore"

    def events(self) -> "Iterator[Waiting | StepDone | PictureFile]":
        """What happens, as it happens; raises UserError or Cancelled. A reader who leaves cancels it."""
        try:
            yield from self.job.events()
        finally:  # without effect on a job and a prompt that ended
            self.job.cancel()
            self.store.fail_prompt(self.prompt.id, "Cancelled.", status="cancelled")


def draw_prompt(
    prompt: Prompt,
    request: GenerationRequest,
    paint: Paint,
    store: "TuneStore",
    *,
    measure: Measure | None = None,
    keep: int | None = None,
) -> Iterator[StepDone | PictureFile]:
    """Paint `request`: steps and saved pictures as they come; the prompt's row says how it ended, whatever happens.

    `measure` judges the likeness of each picture, here and not where it is painted: the judge's session does not
    survive a fork. Where `keep` is below the number drawn, the most alike are saved, when the last is drawn.
    """
    store.start_prompt(prompt.id)
    status, user_error = "failed", "The pictures could not be drawn: an error on this machine, not yours."
    events = paint(request)
    choose = keep is not None and keep < request.num_images
    best: list[tuple[Picture, Likeness | None]] = []
    try:
        for event in events:
            if not isinstance(event, Picture):
                yield event
            elif choose:
                best = _most_alike([*best, (event, measure(event.image))], keep)
            else:
                yield _save(prompt, event, measure(event.image) if measure else None, store)
        for place, (picture, likeness) in enumerate(best):
            yield _save(prompt, picture._replace(index=place), likeness, store)
        status = "done"
    except UserError as error:
        user_error = str(error)
        raise
    except GeneratorExit:
        status, user_error = "cancelled", "Cancelled."
        events.close()  # interrupts the step that is running
        raise
    finally:
        if status == "done":
            store.finish_prompt(prompt.id)
        else:
            store.fail_prompt(prompt.id, user_error, status=status)


def _most_alike(judged: list[tuple[Picture, Likeness]], keep: int) -> list[tuple[Picture, Likeness]]:
    """The `keep` pictures most like the photos, those first; of equal ones the one drawn first."""
    return sorted(judged, key=lambda pair: -pair[1].similarity)[:keep]


def _save(prompt: Prompt, picture: Picture, likeness: Likeness | None, store: "TuneStore") -> PictureFile:
    png = io.BytesIO()
    picture.image.save(png, format="PNG")
    band = likeness.band if likeness else None
    return store.add_picture(prompt.id, picture.index, picture.seed, png.getvalue(), band)
