"""Takes times: warm first, medians, and two sides in turn so that a machine's moods hit both. Knows no figure."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from statistics import median

Clock = Callable[[], float]


def time_once(work: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """The seconds `work` takes."""
    start = clock()
    work()
    return clock() - start


def time_in_turn(
    work: Callable[[], object],
    sides: Sequence[Callable[[], AbstractContextManager]],
    rounds: int,
    clock: Clock = time.perf_counter,
) -> list[float]:
    """The median seconds of `work` inside each of `sides`, entered in turn: A B A B …; one round before is not counted.

    Entering and leaving a side is not timed.
    """
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(1 + rounds):
        for times, enter in zip(seconds, sides):
            with enter():
                times.append(time_once(work, clock))
    return [median(times[1:]) for times in seconds]
