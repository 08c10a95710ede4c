"""The queue: turns, cancelling, failures, waiting times. Every wait is on an event; nothing sleeps."""

import contextvars
import logging
import threading

import pytest

from faceid.errors import Cancelled, FaceIDError, InvalidRequest, QueueFull, Unavailable
from faceid.jobs import UNREAD_EVENTS, JobQueue, Waiting

SECONDS = 120  # only ever waited for by a test that fails


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


class Gate:
    """Work that yields `started`, waits to be let on, then yields `finished`."""

    def __init__(self):
        self.started, self.opened, self.closed = threading.Event(), threading.Event(), threading.Event()

    def __call__(self):
        try:
            yield "started"
            self.started.set()
            assert self.opened.wait(SECONDS)
            yield "finished"
        finally:
            self.closed.set()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    queue = JobQueue(seconds_per_job=30, clock=clock)
    yield queue
    queue.close()


@pytest.fixture
def gate(queue):
    """A running job of `first`, which holds the lane until the gate is opened."""
    gate = Gate()
    gate.job = queue.submit("first", "lane", gate)
    assert gate.started.wait(SECONDS)
    yield gate
    gate.opened.set()


def drawn(job) -> list:
    return [event for event in job.events() if not isinstance(event, Waiting)]


def close_while_it_runs(queue: JobQueue, running: Gate, waiting: list) -> None:
    """Close the queue; what waits ends at once, what runs when its gate is opened."""
    closing = threading.Thread(target=queue.close)
    closing.start()
    for job in waiting:
        with pytest.raises(Cancelled):
            list(job.events())
    running.opened.set()
    closing.join(SECONDS)
    assert not closing.is_alive()


def note(order: list, name: str):
    def work():
        order.append(name)
        yield name

    return work


def test_events_come_in_order_and_end(queue):
    job = queue.submit("owner", "lane", lambda: iter([1, None, 3]))
    assert drawn(job) == [1, None, 3]
    assert job.state == "done"


def test_an_event_is_there_before_the_work_is_over(queue, gate):
    events = gate.job.events()
    assert next(events) == "started"
    assert gate.job.state == "running"
    gate.opened.set()
    assert list(events) == ["finished"]


def test_a_busy_owner_delays_another_by_one_job_at_most(queue, gate):
    order = []
    busy = [queue.submit("first", "lane", note(order, f"first {i}")) for i in range(20)]
    late = [queue.submit("late", "lane", note(order, f"late {i}")) for i in range(2)]
    last = queue.submit("last", "lane", note(order, "last 0"))
    assert next(late[0].events()).position == 1
    gate.opened.set()
    for job in [*busy, *late, last]:
        drawn(job)
    assert order[:5] == ["late 0", "last 0", "first 0", "late 1", "first 1"]
    assert order[5:] == [f"first {i}" for i in range(2, 20)]


def test_forty_jobs_of_one_owner_delay_another_by_the_running_one_only(queue, gate):
    order, refused = [], []
    jobs = []
    for i in range(40):
        try:
            jobs.append(queue.submit("first", "lane", note(order, f"first {i}")))
        except QueueFull as error:
            refused.append(error)
    assert (len(jobs), len(refused)) == (32, 8)
    assert "You have 32 requests waiting" in str(refused[0])
    others = [queue.submit(name, "lane", note(order, name)) for name in ("second", "third")]
    assert [next(job.events()).position for job in others] == [1, 2]
    gate.opened.set()
    for job in [*jobs, *others]:
        drawn(job)
    assert order[:3] == ["second", "third", "first 0"]


def test_an_owner_who_asks_again_and_again_does_not_starve_another(queue, gate):
    order = []
    first = [queue.submit("first", "lane", note(order, "first")) for _ in range(2)]
    both = threading.Event()

    def once_more():
        order.append("again")
        again.append(queue.submit("again", "lane", note(order, "again")))
        both.set()
        yield "again"

    again = [queue.submit("again", "lane", once_more)]
    gate.opened.set()
    assert both.wait(SECONDS)
    for job in [*first, *again]:
        drawn(job)
    assert order == ["again", "first", "again", "first"]


def test_lanes_run_beside_each_other(queue):
    both = threading.Barrier(2, timeout=SECONDS)

    def meet():
        both.wait()
        yield "met"

    jobs = [queue.submit("owner", lane, meet) for lane in ("one", "other")]
    assert [drawn(job) for job in jobs] == [["met"], ["met"]]


def test_one_job_of_a_lane_runs_at_a_time(queue, gate):
    second = queue.submit("second", "lane", lambda: iter(["drawn"]))
    assert (gate.job.state, second.state) == ("running", "waiting")
    gate.opened.set()
    assert drawn(second) == ["drawn"]


def test_waiting_tells_the_position_and_the_seconds(queue, gate, clock):
    clock.time = 10
    before, job = (queue.submit("second", "lane", lambda: iter(["drawn"])) for _ in range(2))
    events = job.events()
    assert next(events) == Waiting(2, 20 + 30)
    before.cancel()
    assert next(events) == Waiting(1, 20)
    clock.time = 99
    gate.opened.set()
    assert list(events) == ["drawn"]


def test_the_first_duration_replaces_the_guess_and_later_ones_are_averaged(queue, clock):
    def take(seconds):
        clock.time += seconds
        yield "drawn"

    for seconds in (4, 8):
        queue.submit("owner", "lane", lambda s=seconds: take(s))
    gate = Gate()
    queue.submit("owner", "lane", gate)
    assert gate.started.wait(SECONDS)
    assert next(queue.submit("owner", "lane", lambda: iter([])).events()) == Waiting(1, 6)
    gate.opened.set()


def test_a_failed_job_does_not_count_into_the_estimate(queue, clock):
    def fail_late():
        clock.time += 1000
        raise InvalidRequest("no", field="text")
        yield

    with pytest.raises(InvalidRequest):
        drawn(queue.submit("owner", "lane", fail_late))
    gate = Gate()
    queue.submit("owner", "lane", gate)
    assert gate.started.wait(SECONDS)
    assert next(queue.submit("owner", "lane", lambda: iter([])).events()).seconds == 30
    gate.opened.set()


def test_cancel_while_waiting_leaves_the_queue_at_once(queue, gate):
    job = queue.submit("second", "lane", lambda: pytest.fail("must not run"))
    job.cancel()
    assert job.state == "cancelled"
    with pytest.raises(Cancelled):
        list(job.events())
    assert gate.job.state == "running"


def test_cancel_while_running_closes_the_work_before_its_next_event(queue, gate):
    events = gate.job.events()
    assert next(events) == "started"
    gate.job.cancel()
    gate.opened.set()
    with pytest.raises(Cancelled):
        next(events)
    assert gate.closed.is_set()
    assert gate.job.state == "cancelled"


def test_cancel_before_the_first_event_and_after_the_last_is_harmless(queue):
    job = queue.submit("owner", "lane", lambda: iter([1]))
    assert drawn(job) == [1]
    job.cancel()
    assert job.state == "done"
    assert drawn(job) == []


def test_a_reader_who_leaves_does_not_stop_the_job(queue, gate):
    events = gate.job.events()
    next(events)
    events.close()
    gate.opened.set()
    assert drawn(gate.job) == ["finished"]


def test_leaving_the_with_block_cancels(queue, gate):
    with gate.job as job:
        next(job.events())
    gate.opened.set()
    with pytest.raises(Cancelled):
        drawn(job)


def test_a_user_error_arrives_as_it_is_after_the_events_before_it(queue):
    error = InvalidRequest("w: 7 is outside 256 to 2048 px.", field="w")

    def fail():
        yield "begun"
        raise error

    job = queue.submit("owner", "lane", fail)
    events = job.events()
    seen = []
    with pytest.raises(InvalidRequest) as raised:
        seen.extend(events)  # extend keeps what came before the error
    assert raised.value is error
    assert seen == ["begun"]
    assert job.state == "failed"


def test_another_error_is_logged_by_type_and_told_plainly_and_the_lane_goes_on(queue, caplog):
    def fail():
        raise RuntimeError("-".join(["a", "secret"]))  # joined, so that it is not in the traceback's source line
        yield

    with caplog.at_level(logging.ERROR), pytest.raises(FaceIDError, match="not yours") as raised:
        drawn(queue.submit("owner", "lane", fail))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "RuntimeError" in caplog.text
    assert "a-secret" not in caplog.text + str(raised.value)
    assert drawn(queue.submit("owner", "lane", lambda: iter(["drawn"]))) == ["drawn"]


def test_work_that_fails_while_it_is_closed_ends_the_job_and_not_the_lane(queue):
    started, go_on = threading.Event(), threading.Event()

    def stubborn():
        try:
            yield 1
            started.set()
            go_on.wait(SECONDS)
            yield 2
        except GeneratorExit:
            raise RuntimeError("while closing") from None

    job = queue.submit("owner", "lane", stubborn)
    assert started.wait(SECONDS)
    job.cancel()
    go_on.set()
    with pytest.raises(FaceIDError):
        drawn(job)
    assert drawn(queue.submit("owner", "lane", lambda: iter(["drawn"]))) == ["drawn"]


def test_a_panic_of_a_rust_library_ends_the_job_and_not_the_lane(queue):
    class PanicException(BaseException):
        """As pyo3's: not an Exception."""

    def panic():
        raise PanicException
        yield

    with pytest.raises(FaceIDError, match="not yours"):
        drawn(queue.submit("owner", "lane", panic))
    assert drawn(queue.submit("owner", "lane", lambda: iter(["drawn"]))) == ["drawn"]


def test_a_full_queue_says_when_to_come_back(clock):
    queue = JobQueue(max_waiting=2, max_waiting_per_owner=1, seconds_per_job=40, clock=clock)
    gate = Gate()
    queue.submit("first", "lane", gate)
    clock.time = 15
    second = queue.submit("second", "lane", lambda: iter([]))
    with pytest.raises(QueueFull, match="You have 1") as own:
        queue.submit("second", "lane", lambda: iter([]))
    queue.submit("third", "lane", lambda: iter([]))
    with pytest.raises(QueueFull, match="2 requests are waiting") as full:
        queue.submit("fourth", "lane", lambda: iter([]))
    assert own.value.retry_after == full.value.retry_after == 25
    second.cancel()
    queue.submit("fourth", "lane", lambda: iter([])).cancel()
    gate.opened.set()
    queue.close()


def test_what_had_its_place_before_a_restart_is_not_refused(clock):
    queue = JobQueue(max_waiting=1, max_waiting_per_owner=1, clock=clock)
    gate = Gate()
    queue.submit("first", "lane", gate)
    jobs = [queue.submit("second", "lane", lambda: iter(["drawn"]), again=True) for _ in range(3)]
    with pytest.raises(QueueFull):
        queue.submit("second", "lane", lambda: iter([]))
    gate.opened.set()
    assert [drawn(job) for job in jobs] == [["drawn"]] * 3
    queue.close()


def test_the_callers_context_travels_with_the_work(queue, gate):
    token = contextvars.ContextVar("token")

    def read():
        yield token.get()
        token.set("changed in the lane")
        yield token.get()

    token.set("one")
    first = queue.submit("owner", "lane", read)
    token.set("two")
    second = queue.submit("owner", "lane", read)
    gate.opened.set()
    assert drawn(first) == ["one", "changed in the lane"]
    assert drawn(second) == ["two", "changed in the lane"]
    assert token.get() == "two"


def test_unread_events_are_bounded(queue):
    job = queue.submit("owner", "lane", lambda: iter(range(UNREAD_EVENTS + 100)))
    drawn(queue.submit("owner", "lane", lambda: iter([])))  # so that the first one is through
    assert drawn(job) == list(range(100, UNREAD_EVENTS + 100))


def test_close_ends_what_runs_cancels_what_waits_and_takes_no_more(queue, gate):
    waiting = queue.submit("second", "lane", lambda: pytest.fail("must not run"))
    close_while_it_runs(queue, gate, [waiting])
    assert gate.closed.is_set()
    assert (gate.job.state, waiting.state) == ("cancelled", "cancelled")
    with pytest.raises(Unavailable):
        queue.submit("third", "lane", lambda: iter([]))
