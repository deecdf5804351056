"""Waking threads that wait in a poll: a Waker can be polled on, a Bell wakes all who listen to it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

__all__ = ["Bell", "Waker"]


class Waker:
    """Readable from ``wake`` until ``clear``. One descriptor where there is eventfd, else two."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._read = self._write = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read, self._write = os.pipe()
            os.set_blocking(self._read, False)
            os.set_blocking(self._write, False)
        #: Whether it was woken and did not look yet.
        self.is_awake = False
        self._lock = threading.Lock()
        self._is_open = True

    def fileno(self) -> int:
        return self._read

    def wake(self) -> None:
        """Make it readable; nothing happens after ``close``."""
        with self._lock:
            if self._is_open:
                self.is_awake = True
                with contextlib.suppress(BlockingIOError):  # full, hence readable
                    os.write(self._write, (1).to_bytes(8, "little"))

    def clear(self) -> None:
        """Make it wait again. What was waited for must be looked at after this, not before."""
        with self._lock, contextlib.suppress(BlockingIOError):
            self.is_awake = False
            os.read(self._read, 4096)

    def close(self) -> None:
        with self._lock:
            if self._is_open:
                self._is_open = False
                for descriptor in {self._read, self._write}:
                    os.close(descriptor)


class Bell:
    """Wakes everyone who listens."""

    def __init__(self) -> None:
        self._listeners: set[Waker] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def heard_by(self, waker: Waker) -> Iterator[None]:
        """Wake this one, too, as long as the block lasts."""
        with self._lock:
            self._listeners.add(waker)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(waker)

    def ring(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for waker in listeners:
            waker.wake()
