"""The page's Blocks with an edge: an event that fails is told in words, and logged without what was in it.

Gradio prints a failed event's traceback, and its messages quote the values that came: prompts, keys.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from faceid.errors import FaceIDError, trace_of
from faceid.web.guard import OUR_FAULT

logger = logging.getLogger(__name__)

MISSHAPEN = "A value is missing, or not of the kind this takes. The page may be an old one: load it again."
LOOK_SECONDS = 0.02  # between two looks of Gradio's queue for an event to begin; its own 0.001 keep a core at 7 %
ADDRESS = "Send the photo itself, not its address: this app fetches nothing for a caller of these endpoints."


class Page(gr.Blocks):
    """Blocks whose events raise nothing but a gr.Error with a text for the caller."""

    _served: Mapping[str, Sequence[Any]] = MappingProxyType({})
    _end_work: Callable[[], None] | None = None

    def serve_with(self, *, routes: Sequence[BaseRoute], middleware: Sequence[Middleware]) -> None:
        """What the launch puts beside Gradio's own routes, and in front of all of them."""
        self._served = {"routes": routes, "middleware": middleware}

    def launch(self, *args: Any, **named: Any) -> Any:
        """As Gradio's, with the routes and the middleware of `serve_with`."""
        return super().launch(*args, **named, app_kwargs=dict(self._served))

    def queue(self, *args: Any, **named: Any) -> "Page":
        """As Gradio's, which waits for events by looking: less often."""
        super().queue(*args, **named)
        self._queue.sleep_when_free = LOOK_SECONDS
        return self

    def close_after(self, end_work: Callable[[], None]) -> None:
        """What is called before the server is closed: it waits for streams, and those last as long as the work does."""
        self._end_work = end_work

    def close(self, verbose: bool = True) -> None:
        """As Gradio's, the work in hand ended before."""
        if self._end_work:
            self._end_work()
        super().close(verbose)

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **named: Any) -> list[Any]:
        """As Gradio's; a value that a component cannot take is refused, and so is a file that is an address."""
        try:
            if _names_an_address(inputs):
                raise gr.Error(ADDRESS, print_exception=False)
            return await super().preprocess_data(block_fn, inputs, *args, **named)
        except gr.Error as error:  # of a component: a number out of its range, a choice that is none
            raise gr.Error(str(error.message), print_exception=False) from None
        except Exception as error:  # whatever a component stumbled over: the value was the caller's
            logger.info("an event was refused: %s", type(error).__name__)
            raise gr.Error(MISSHAPEN, print_exception=False) from None

    async def process_api(self, *args: Any, **named: Any) -> dict[str, Any]:
        """As Gradio's; our own errors reach the caller in their words."""
        try:
            return await super().process_api(*args, **named)
        except gr.Error:
            raise
        except FaceIDError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception as error:  # the page's edge: whatever it was, it is answered
            logger.error("an event failed: %s", trace_of(error))
            raise gr.Error(OUR_FAULT, print_exception=False) from None


def _names_an_address(value: Any) -> bool:
    """Whether Gradio would fetch something: its own way to do so has no limit of size, and weak ones of place."""
    if isinstance(value, Mapping):
        path = value.get("path")
        return (isinstance(path, str) and "://" in path) or any(map(_names_an_address, value.values()))
    return isinstance(value, list) and any(map(_names_an_address, value))
