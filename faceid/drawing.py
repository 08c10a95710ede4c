"""One prompt being drawn: what the queue runs, what the caller follows. Knows the store, not how pictures are made."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceid.domain import GenerationRequest, Picture, PictureFile, Prompt, StepDone
from faceid.errors import UserError
from faceid.protocols import Paint

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
    prompt: Prompt, request: GenerationRequest, paint: Paint, store: "TuneStore"
) -> Iterator[StepDone | PictureFile]:
    """Paint `request`: steps and saved pictures as they come; the prompt's row says how it ended, whatever happens."""
    store.start_prompt(prompt.id)
    status, user_error = "failed", "The pictures could not be drawn: an error on this machine, not yours."
    events = paint(request)
    try:
        for event in events:
            yield _save(prompt, event, store) if isinstance(event, Picture) else event
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


def _save(prompt: Prompt, picture: Picture, store: "TuneStore") -> PictureFile:
    png = io.BytesIO()
    picture.image.save(png, format="PNG")
    return store.add_picture(prompt.id, picture.index, picture.seed, png.getvalue())
