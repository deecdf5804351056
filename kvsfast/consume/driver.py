"""Going through steps in the calling thread, so that another thread can end the wait at once."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from kvsfast.errors import StreamClosed
from kvsfast.steps import Pause, Step, Steps, Turn, abandon, go_through, start

__all__ = ["BlockingDriver", "Driver"]

Result = TypeVar("Result")


class Driver(Protocol):
    """What goes through the steps of a session."""

    def run(self, steps: Steps[Result]) -> Result:
        """To their end. StreamClosed: ``stop`` was called."""

    def stop(self) -> None:
        """End what is waited for, now and from now on. From any thread."""


class BlockingDriver:
    """Waits in the calling thread. Work that blocks (connecting, a store) gets a thread of its own for as
    long as it lasts, since it cannot be interrupted, but abandoned: its late result is discarded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[threading.Event] = set()
        self._is_stopped = False

    def run(self, steps: Steps[Result]) -> Result:
        return go_through(steps, self._perform)

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            for woken in self._waiting:
                woken.set()

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return self._wait(None, step.seconds)
        if isinstance(step, Turn):
            self._wait(step.future, None)
            return step.future.result()
        future = start(
            step, lambda run: threading.Thread(target=run, name="kvsfast-call", daemon=True).start()
        )
        try:
            self._wait(future, None)
            return future.result()
        except BaseException:
            abandon(step, future)
            raise

    def _wait(self, future: Future[Any] | None, seconds: float | None) -> None:
        woken = threading.Event()
        with self._lock:
            if self._is_stopped:
                raise StreamClosed
            self._waiting.add(woken)
        try:
            if future is not None:
                future.add_done_callback(lambda _: woken.set())
            woken.wait(seconds)
        finally:
            with self._lock:
                self._waiting.discard(woken)
        if self._is_stopped:
            raise StreamClosed
