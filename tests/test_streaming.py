"""faceid.flux.streaming: a callback as an iterator."""

import threading

import pytest

from faceid.flux.streaming import iterate_in_thread


def test_values_come_in_order_and_end():
    assert list(iterate_in_thread(lambda emit: [emit(n) for n in range(100)])) == list(range(100))


def test_work_without_values_is_an_empty_iterator():
    assert list(iterate_in_thread(lambda emit: None)) == []


def test_the_work_is_at_most_one_value_ahead():
    started = []

    def work(emit):
        for number in range(10):
            started.append(number)
            emit(number)

    results = iterate_in_thread(work)
    next(results)
    results.close()
    assert started in ([0], [0, 1])


def test_an_error_comes_after_the_values_before_it():
    def work(emit):
        emit(1)
        raise LookupError("gone")

    results = iterate_in_thread(work)
    assert next(results) == 1
    with pytest.raises(LookupError, match="gone"):
        next(results)


def test_closing_runs_the_work_s_own_clean_up_before_it_returns():
    cleaned = threading.Event()

    def work(emit):
        try:
            while True:
                emit(0)
        finally:
            cleaned.set()

    results = iterate_in_thread(work, name="endless")
    next(results)
    results.close()
    assert cleaned.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "endless"]


def test_work_cannot_swallow_the_closing_as_an_ordinary_exception():
    rounds = []

    def work(emit):
        while True:
            try:
                emit(0)
            except Exception:
                rounds.append("swallowed")

    results = iterate_in_thread(work)
    next(results)
    results.close()
    assert not rounds


def test_an_error_while_closing_is_logged_by_its_type(caplog):
    def work(emit):
        try:
            emit(0)
        finally:
            raise OSError("a private path")

    results = iterate_in_thread(work, name="unlucky")
    next(results)
    results.close()
    assert "unlucky failed while it was being closed: OSError" in caplog.text
    assert "private" not in caplog.text
