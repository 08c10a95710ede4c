"""A callback turned into an iterator: work in a thread, whose results are taken one by one. Knows no pipeline."""

import logging
import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class _Closed(BaseException):
    """Raised inside the work once nobody listens; a BaseException, so that no library's `except Exception` eats it."""


def iterate_in_thread(work: Callable[[Callable[[T], None]], None], name: str = "work") -> Iterator[T]:
    """What `work(emit)` emits, in order, while it runs in a thread of its own.

    `emit` waits until its value is taken: the work is at most one value ahead of whoever reads. Closing the iterator
    makes the next `emit` (or the one that waits) leave the work by an exception and joins the thread. What the work
    raises is raised here, after all it emitted before; where the iterator was closed it is logged, by its type. Queue
    and thread are made at the first `next`: nothing crosses a fork.
    """
    results: Queue[tuple[str, T | BaseException | None]] = Queue()
    closed = threading.Event()

    def emit(value: T) -> None:
        results.put(("value", value))
        results.join()
        if closed.is_set():
            raise _Closed

    def run() -> None:
        try:
            work(emit)
        except _Closed:
            results.put(("end", None))
        except BaseException as error:  # raised again by the reader, below
            results.put(("error", error))
        else:
            results.put(("end", None))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    kind, value = "value", None
    try:
        while True:
            kind, value = results.get()
            results.task_done()
            if kind != "value":
                break
            yield value
    finally:
        closed.set()
        while kind == "value":
            kind, value = results.get()
            results.task_done()
            if kind == "error":
                logger.warning("%s failed while it was being closed: %s", name, type(value).__name__)
        thread.join()
    if kind == "error":
        try:
            raise value
        finally:
            del value  # error and frame would hold each other, and with them the tensors of the failed work
