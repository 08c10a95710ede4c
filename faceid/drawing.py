"""One prompt being drawn: what the queue runs, what the caller follows. Knows the store, not how pictures are made."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from faceid.domain import GenerationRequest, Picture, PictureFile, Prompt, StepDone
from faceid.errors import UserError
from faceid.finishes import ORDER, FinishStep
from faceid.protocols import Likeness, Measure, Paint
from faceid.recipe import encode_picture

if TYPE_CHECKING:
    from faceid.jobs import Job, Waiting
    from faceid.store import TuneStore


@dataclass(frozen=True, eq=False)
class Generation:
    """Pictures on their way: the stored prompt, and the request as it was decided."""

    prompt: Prompt
    request: GenerationRequest
    job: "Job"
    store: "TuneStore"

    def is_deleted(self) -> bool:
        """Whether the prompt is gone, with its pictures: it was deleted, or a tune of it was."""
        return self.store.find_prompt(self.prompt.id) is None

    def as_of(self, pictures: Sequence[PictureFile], status: str, user_error: str | None = None) -> Prompt:
        """The prompt as it stands for who has followed it: with the notes on what turned out while it was drawn."""
        kept = self.store.find_prompt(self.prompt.id)
        notes = kept.notes if kept else self.prompt.notes
        return replace(self.prompt, pictures=tuple(pictures), notes=notes, status=status, user_error=user_error)

    def events(self) -> "Iterator[Waiting | StepDone | FinishStep | PictureFile]":
        """What happens, as it happens; raises UserError or Cancelled. A reader who leaves cancels it."""
        try:
            yield from self.job.events()
        except GeneratorExit:  # without effect on a job and a prompt that ended
            self.job.cancel()
            self.store.fail_prompt(self.prompt.id, "Cancelled.", status="cancelled")
            raise


class Judged(NamedTuple):
    """A picture and how much it is like the person's photos (None: nobody judges)."""

    picture: Picture
    likeness: Likeness | None


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
    status, user_error = "failed", "The pictures could not be drawn: an error on this machine, not yours."
    fewer = keep if keep is not None and keep < request.num_images else None
    try:
        store.start_prompt(prompt.id)
        with closing(paint(request)) as events:  # however this ends: what paints draws nothing else until it is closed
            for event in _judge(events, measure, fewer):
                yield _save(prompt, request, *event, store) if isinstance(event, Judged) else event
        status = "done"
    except UserError as error:
        user_error = str(error)
        raise
    except GeneratorExit:
        status = "closed"
        raise
    finally:
        if status == "done":
            store.finish_prompt(prompt.id)
        elif status == "failed":
            store.fail_prompt(prompt.id, user_error)


def _judge(
    events: Iterator[StepDone | FinishStep | Picture], measure: Measure | None, keep: int | None
) -> Iterator[StepDone | FinishStep | Judged]:
    """The events, pictures with their likeness; with `keep` the most alike only, when the last is drawn."""
    best: list[Judged] = []
    for event in events:
        if not isinstance(event, Picture):
            yield event
            continue
        judged = Judged(event, measure(event.image) if measure else None)
        if keep is None:
            yield judged
        else:
            best = _most_alike([*best, judged], keep)
    for place, judged in enumerate(best):
        yield judged._replace(picture=judged.picture._replace(index=place))


def _most_alike(judged: list[Judged], keep: int) -> list[Judged]:
    """The `keep` pictures most like the photos, those first; of equal ones the one drawn first."""
    return sorted(judged, key=lambda each: -each.likeness.similarity)[:keep]


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
