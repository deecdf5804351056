"""The blocking driver of steps: results, failures, deadlines, and work that nobody waits for any more."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future

import pytest

from kvsfast.errors import TransportTimeout
from kvsfast.steps import Pause, Steps, Turn, Work, drive
from tests.wire import HANG

DEADLINES = pytest.mark.parametrize("seconds", [math.inf, HANG], ids=["no deadline", "a deadline"])


def soon(seconds: float) -> float:
    return time.monotonic() + seconds


@DEADLINES
def test_results_are_sent_and_failures_thrown(seconds: float) -> None:
    settled: Future[str] = Future()
    settled.set_result("turn")

    def fail() -> None:
        raise KeyError("work")

    def steps() -> Steps[list[object]]:
        got: list[object] = [(yield Pause(0)), (yield Turn(settled)), (yield Work(lambda: "work"))]
        try:
            yield Work(fail)
        except KeyError as error:
            got.append(error.args[0])
        return got

    assert drive(steps(), soon(seconds)) == [None, "turn", "work", "work"]


@DEADLINES
def test_failures_that_nobody_catches(seconds: float) -> None:
    def steps() -> Steps[None]:
        yield Work([].pop)

    with pytest.raises(IndexError):
        drive(steps(), soon(seconds))


def test_a_timeout_of_the_work_is_not_that_of_the_deadline() -> None:
    def fail() -> None:
        raise TimeoutError("of the work")

    def steps() -> Steps[None]:
        yield Work(fail)

    with pytest.raises(TimeoutError, match="of the work"):
        drive(steps(), soon(HANG))


def test_work_that_outlasts_the_deadline_is_abandoned() -> None:
    go, discarded = threading.Event(), threading.Event()
    cleaned: list[type[BaseException]] = []

    def work() -> str:
        go.wait(HANG)
        return "late"

    def discard(result: str) -> None:
        assert result == "late"
        discarded.set()

    def steps() -> Steps[None]:
        try:
            yield Work(work, discard)
        except BaseException as error:
            cleaned.append(type(error))
            raise

    with pytest.raises(TransportTimeout, match="deadline passed") as caught:
        drive(steps(), soon(0.02))
    assert not caught.value.retryable and cleaned == [TransportTimeout]
    assert not discarded.is_set()
    go.set()
    assert discarded.wait(HANG)


def test_a_turn_that_does_not_come_before_the_deadline() -> None:
    never: Future[None] = Future()

    def steps() -> Steps[None]:
        yield Turn(never)

    with pytest.raises(TransportTimeout):
        drive(steps(), soon(0.02))
    assert not never.cancelled()  # others may wait for it, too
