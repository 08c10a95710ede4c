"""One prompt being drawn: what the queue runs, what the caller follows. Knows the store, not how pictures are made."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceid.domain import GenerationRequest, Note, Picture, PictureFile, Prompt, StepDone
from faceid.errors import UserError
from faceid.finishes import ORDER, FinishStep
from faceid.protocols import Likeness, Measure, Paint
from faceid.recipe import encode_picture

if TYPE_CHECKING:
    from faceid.jobs import Job, Waiting
    from faceid.store import TuneStore


@dataclass(frozen=True, eq=False)
class Generation:
    """Pictures on their way: the stored prompt, the request as it was decided, what was done otherwise than asked."""

    prompt: Prompt
    request: GenerationRequest
    notes: tuple[Note, ...]
    job: "Job"
    store: "TuneStore"

    def all_notes(self) -> tuple[Note, ...]:
        """Those, and what turned out while the pictures were finished."""
        kept = self.store.find_prompt(self.prompt.id)
        return kept.notes if kept else self.notes

    def events(self) -> "Iterator[Waiting | StepDone | FinishStep | PictureFile]":
        """What happens, as it happens; raises UserError or Cancelled. A reader who leaves cancels it."""
        try:
            yield from self.job.events()
        except GeneratorExit:  # without effect on a job and a prompt that ended
            self.job.cancel()
            self.store.fail_prompt(self.prompt.id, "Cancelled.", status="cancelled")
            raise


def draw_prompt(
    prompt: Prompt,
    request: GenerationRequest,
    paint: Paint,
    store: "TuneStore",
    *,
    measure: Measure | None = None,
    keep: int | None = None,
) -> Iterator[StepDone | FinishStep | PictureFile]:
    """Paint `request`: steps and saved pictures as they come; the prompt's row says how it ended, whatever happens.
    Closed before, it leaves the row to whoever closed it: cancelled, or to be drawn again when the app is started.

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
                yield _save(prompt, request, event, measure(event.image) if measure else None, store)
        for place, (picture, likeness) in enumerate(best):
            yield _save(prompt, request, picture._replace(index=place), likeness, store)
        status = "done"
    except UserError as error:
        user_error = str(error)
        raise
    except GeneratorExit:
        status = "closed"
        events.close()  # interrupts the step that is running
        raise
    finally:
        if status == "done":
            store.finish_prompt(prompt.id)
        elif status == "failed":
            store.fail_prompt(prompt.id, user_error)


def _most_alike(judged: list[tuple[Picture, Likeness]], keep: int) -> list[tuple[Picture, Likeness]]:
    """The `keep` pictures most like the photos, those first; of equal ones the one drawn first."""
    return sorted(judged, key=lambda pair: -pair[1].similarity)[:keep]


def _save(
    prompt: Prompt, request: GenerationRequest, picture: Picture, likeness: Likeness | None, store: "TuneStore"
) -> PictureFile:
    """Keep the picture with its recipe, and what was left out of its finishing with the prompt."""
    if picture.notes:
        store.add_notes(prompt.id, picture.notes)
    done = {name: name in request.finishing.names for name in ORDER if name != "color_grading"}
    recipe = {
        **prompt.parameters,
        **done,
        "text": prompt.text,
        "base_model": prompt.base_model,
        "seed": picture.seed,
        "color_grading": request.finishing.color_grading,
        "notes": [list(note) for note in (*prompt.notes, *picture.notes)],
    }
    band = likeness.band if likeness else None
    return store.add_picture(prompt.id, picture.index, picture.seed, encode_picture(picture.image, recipe), band)
