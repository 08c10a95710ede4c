"""One bounded queue for all drawing, fair between owners. Knows lanes, turns and waiting; not what a job does.

A lane is a loaded pipeline: one job of it runs at a time, in the lane's own thread. Owners take turns in a lane.
"""

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from faceid.errors import Cancelled, FaceIDError, QueueFull, Unavailable, UserError, trace_of
from faceid.lanes import Lane

logger = logging.getLogger(__name__)

UNREAD_EVENTS = 500
CLOSE_SECONDS = 30
Event = Any
_END = object()
Work = Callable[[], Iterator[Event]]


class Waiting(NamedTuple):
    """The job waits: `position` 1 is the next one of its lane, `seconds` the estimated time until it starts."""

    position: int
    seconds: float


class Job:
    """Work in the queue. `state` is waiting, running, done, failed or cancelled.

    Who stops reading `events()` leaves the job running; `with queue.submit(…) as job:` cancels it on the way out.
    """

    def __init__(self, queue: "JobQueue", number: int, owner: str, lane: str, work: Work):
        self.id, self.owner, self.lane, self.state = number, owner, lane, "waiting"
        self._queue = queue
        self._work = work
        self._context = contextvars.copy_context()
        self._events: deque[Event] = deque(maxlen=UNREAD_EVENTS)
        self._error: FaceIDError | None = None
        self._stopping = False

    def events(self) -> Iterator[Waiting | Event]:
        """Waiting whenever the position changes, then the work's events as they come; for one reader.

        Raises the work's UserError as it is, Cancelled where it was cancelled, a plain FaceIDError for anything else.
        Of more than 500 unread events the oldest are dropped.
        """
        position = None
        while True:
            with self._queue._changed:
                self._queue._changed.wait_for(lambda before=position: self._has_news(before))
                if self.state == "waiting":
                    event = self._queue._waiting(self)
                    position = event.position
                elif self._events:
                    event = self._events.popleft()
                else:
                    break
            yield event
        if self._error:
            raise self._error

    def cancel(self) -> None:
        """Leave the queue at once; where it runs, the work is closed before its next event. Harmless when it ended."""
        self._queue._cancel(self)

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def _has_news(self, position: int | None) -> bool:
        if self.state == "waiting":
            return self._queue._position(self) != position
        return bool(self._events) or self.state != "running"


class JobQueue:
    """Takes jobs, lets each lane run one, and gives every owner of a lane its turn.

    `max_waiting` bounds the waiting jobs of all lanes, `max_waiting_per_owner` (None: half of it) those of one owner;
    `seconds_per_job` is the estimate until a lane has finished its first job.
    """

    def __init__(
        self,
        *,
        max_waiting: int = 64,
        max_waiting_per_owner: int | None = None,
        seconds_per_job: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._max_waiting = max_waiting
        self._max_per_owner = max_waiting_per_owner or max(1, max_waiting // 2)
        self._seconds_per_job = seconds_per_job
        self._clock = clock
        self._changed = threading.Condition()
        self._lanes: dict[str, Lane] = {}
        self._submitted = 0
        self._closed = False

    def submit(self, owner: str, lane: str, work: Work, *, again: bool = False) -> Job:
        """Queue `work`, which will run in the lane's thread within a copy of the caller's context variables.

        QueueFull says when to come back, unless the work had its place before a restart (`again`); Unavailable after
        `close`.
        """
        with self._changed:
            if self._closed:
                raise Unavailable("The app is shutting down. Try again in a minute.")
            place = self._lanes.setdefault(lane, Lane(self._seconds_per_job))
            if place.running and not again:
                self._check_room(owner, place)
            self._submitted += 1
            job = Job(self, self._submitted, owner, lane, work)
            place.turns.setdefault(owner, deque()).append(job)
            if not place.running:
                self._start_next(place)
            if place.thread is None:
                place.thread = threading.Thread(target=self._run_lane, args=(place,), name=f"lane {lane}", daemon=True)
                place.thread.start()
        return job

    def close(self) -> None:
        """Take no more, cancel what waits, and end what runs at its next event."""
        with self._changed:
            self._closed = True
            for lane in self._lanes.values():
                for job in lane.order():
                    self._cancel(job)
                if lane.running:
                    self._cancel(lane.running)
            self._changed.notify_all()
            threads = [lane.thread for lane in self._lanes.values()]
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(CLOSE_SECONDS)

    # With the lock held

    def _check_room(self, owner: str, lane: Lane) -> None:
        waiting = [job for other in self._lanes.values() for jobs in other.turns.values() for job in jobs]
        own = sum(job.owner == owner for job in waiting)
        if own >= self._max_per_owner:
            message = (
                f"You have {own} requests waiting, and {self._max_per_owner} may wait. Try again when one has begun."
            )
        elif len(waiting) >= self._max_waiting:
            message = f"{len(waiting)} requests are waiting, and no more fit. Try again in a moment."
        else:
            return
        raise QueueFull(message, retry_after=max(1.0, self._seconds_left(lane)))

    def _start_next(self, lane: Lane) -> None:
        lane.running = next(iter(lane.order()), None)
        if lane.running:
            lane.remove(lane.running)
            lane.running.state = "running"
            lane.started = self._clock()
        self._changed.notify_all()

    def _seconds_left(self, lane: Lane) -> float:
        """Until the running job is through."""
        return max(0.0, lane.seconds_per_job - (self._clock() - lane.started))

    def _position(self, job: Job) -> int:
        return self._lanes[job.lane].order().index(job) + 1

    def _waiting(self, job: Job) -> Waiting:
        lane, position = self._lanes[job.lane], self._position(job)
        return Waiting(position, self._seconds_left(lane) + (position - 1) * lane.seconds_per_job)

    # Taking the lock

    def _cancel(self, job: Job) -> None:
        with self._changed:
            job._stopping = True
            if job.state == "waiting":
                self._lanes[job.lane].remove(job)
                job.state, job._error = "cancelled", Cancelled("Cancelled.")
            self._changed.notify_all()

    def _run_lane(self, lane: Lane) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: lane.running or self._closed)
                job = lane.running
            if job is None:
                return
            state, error = job._context.run(self._run, job)
            with self._changed:
                if state == "done":
                    lane.measure(self._clock() - lane.started)
                job.state, job._error = state, error
                if job.owner in lane.turns:
                    lane.turns.move_to_end(job.owner)
                self._start_next(lane)

    def _run(self, job: Job) -> tuple[str, FaceIDError | None]:
        """Drive the work to its end: the job's last state and what its reader is told."""
        try:
            with closing(_generate(job._work)) as events:
                while not job._stopping:
                    event = next(events, _END)
                    if event is _END:
                        return "done", None
                    self._publish(job, event)
            raise Cancelled("Cancelled.")
        except Cancelled as error:
            return "cancelled", error
        except UserError as error:
            return "failed", error
        except BaseException as error:  # a job's failure never ends the loop, nor does a panic of a Rust library
            logger.error("job %d failed: %s", job.id, trace_of(error))
            plain = FaceIDError("The pictures could not be drawn: an error on this machine, not yours. Try again.")
            plain.__cause__ = error
            return "failed", plain

    def _publish(self, job: Job, event: Event) -> None:
        with self._changed:
            if not job._stopping:
                job._events.append(event)
                self._changed.notify_all()


def _generate(work: Work) -> Iterator[Event]:
    yield from work()
