"""What has to be done again and again, by nobody's request: one thread does it at an interval. Knows no duty."""

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from faceid.errors import FaceIDError

logger = logging.getLogger(__name__)


class Rounds:
    """Calls every duty at once and every `interval` seconds, until closed. One that fails is logged and tried again."""

    def __init__(self, *duties: Callable[[], object], interval: float = 60.0):
        self._duties, self._interval = duties, interval
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._walk, name="faceid-rounds", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the duty that is being done."""
        self._closing.set()
        self._thread.join()

    def _walk(self) -> None:
        while not self._closing.is_set():
            for duty in self._duties:
                self._do(duty)
            self._closing.wait(self._interval)

    def _do(self, duty: Callable[[], object]) -> None:
        try:
            duty()
        except (FaceIDError, OSError, SQLAlchemyError) as error:
            logger.error("%s failed, and is tried again: %s", duty.__qualname__, type(error).__name__)
