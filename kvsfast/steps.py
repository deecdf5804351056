"""Work that waits, told as steps: a generator decides, and a driver waits in its own manner.

A generator yields a step and is sent its result, or its exception is thrown into it. The driver here blocks;
that of asyncio (:mod:`kvsfast.aio`) does not. Either way there is one logic, and nobody sleeps in a thread
that others need.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kvsfast.errors import TransportTimeout

Result = TypeVar("Result")


def _forget(result: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """Wait for the result of a future that somebody else settles. A driver that gives up leaves it alone."""

    future: Future[Any]


@dataclass(frozen=True, slots=True)
class Work(Generic[Result]):
    """Call a function that blocks. ``discard`` takes a result that came when nobody waited any more."""

    run: Callable[[], Result]
    discard: Callable[[Result], None] = _forget


Step = Pause | Turn | Work[Any]
Steps = Generator[Step, Any, Result]


def start(work: Work[Result], spawn: Callable[[Callable[[], None]], object]) -> Future[Result]:
    """Have ``spawn`` do the work elsewhere. Cancelling the future abandons it: the result is discarded."""
    future: Future[Result] = Future()

    def run() -> None:
        if future.cancelled():
            return
        try:
            result = work.run()
        except BaseException as error:
            # Marked as running only now, so that it can be cancelled until the very end.
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(result)
            else:
                work.discard(result)

    spawn(run)
    return future


def abandon(work: Work[Any], future: Future[Any]) -> None:
    """Nobody waits any more for what :func:`start` began."""
    if not future.cancel() and future.exception() is None:
        work.discard(future.result())


def go_through(steps: Steps[Result], perform: Callable[[Step], Any]) -> Result:
    """To their end: each step's result is sent, its failure thrown."""
    try:
        step = next(steps)
        while True:
            try:
                result = perform(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        value: Result = done.value
        return value


def drive(steps: Steps[Result], deadline: float = math.inf) -> Result:
    """Go through the steps in this thread, none beyond ``deadline`` (of ``time.monotonic``).

    Only with a finite deadline does work get a thread of its own, since some of it (DNS, the refresh of
    credentials) can be abandoned but not interrupted.
    """
    return go_through(steps, lambda step: _perform(step, deadline))


def deadline_passed() -> TransportTimeout:
    """What is raised when a step would outlast the deadline."""
    return TransportTimeout("the deadline passed before the call was answered", retryable=False)


def _perform(step: Step, deadline: float) -> Any:
    if isinstance(step, Pause):
        return time.sleep(step.seconds)
    if isinstance(step, Turn):
        return _result(step.future, deadline)
    if math.isinf(deadline):
        return step.run()
    future = start(step, lambda run: threading.Thread(target=run, name="kvsfast-call", daemon=True).start())
    try:
        return _result(future, deadline)
    except BaseException:
        abandon(step, future)
        raise


def _result(future: Future[Any], deadline: float) -> Any:
    try:
        return future.result(None if math.isinf(deadline) else max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        if future.done():  # it was the work that timed out
            raise
        raise deadline_passed() from None
