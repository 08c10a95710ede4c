"""What becomes of prompts when the app is started again, and who is told that one has ended. Knows no HTTP."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from faceid.domain import Prompt
from faceid.errors import NotReady, Unavailable, UserError
from faceid.prompts import PromptStudio
from faceid.remembering import recall_request

logger = logging.getLogger(__name__)

RESTARTED = "The app was restarted before this was drawn. Send it again."
Announce = Callable[[Prompt], None]


class ResumingStudio(PromptStudio):
    """Prompts that outlive the process they were sent to."""

    _announce: Announce | None = None

    def resume(self, *, announce: Announce, redraw: bool = True) -> threading.Thread:
        """Take over what processes that are gone did not finish, and draw it once the models are there: queued prompts
        in their order, half-done ones again from their seeds. The thread that does so is given back.

        `announce` is called with every prompt that has a callback when it has ended; with those that had ended before,
        at once. Without `redraw` (on ZeroGPU the callers' quota tokens are gone) the others fail, and say so.
        """
        self._announce = announce
        left = self._store.take_over()
        thread = threading.Thread(target=self._resume, args=(left, redraw), name="faceid-resume", daemon=True)
        thread.start()
        return thread

    def _resume(self, left: Sequence[Prompt], redraw: bool) -> None:
        again = []
        for prompt in left:
            if prompt.finished_at:
                self._ended(prompt)
            elif redraw and prompt.request:
                again.append(prompt)
            else:
                self._fail(prompt, RESTARTED)
        if again and self._wait_for_models():
            logger.info("prompts of before the restart, queued again: %d", len(again))
            for prompt in again:
                self._redraw(prompt)

    def _redraw(self, prompt: Prompt) -> None:
        try:
            fields, words = recall_request(prompt.request)
            plan = self._plan(prompt.owner, fields, words)
        except UserError as error:
            self._fail(prompt, str(error))
            return
        with suppress(Unavailable):  # the app is closing: the next start takes it over
            self._queue(prompt, plan, again=True)

    def _wait_for_models(self) -> bool:
        while True:
            try:
                self._loading.wait()
            except NotReady:
                continue
            except Unavailable as error:
                logger.error("nothing is drawn again: %s", error)
                return False
            return True

    def _fail(self, prompt: Prompt, user_error: str) -> None:
        self._store.fail_prompt(prompt.id, user_error)
        self._ended(prompt)

    def _ended(self, prompt: Prompt) -> None:
        """Announce the prompt where it has ended and has a callback; until that is done it is not let go."""
        if not prompt.callback or self._announce is None:
            return
        if found := self._store.find_prompt(prompt.id, untold=True):
            self._announce(found)
            self._store.release_prompt(prompt.id)
