"""What time it is for the service, and how it waits.

Every decision that hangs on time (the age of a fragment, the end of a response, retention, limits, pacing,
the skew of a signature) and every wait asks one clock. By default that is the system's; a test may hold a
``ManualClock`` and let 45 minutes pass at once:

    clock = ManualClock()
    with Emulator({"front-door": "clip.mkv"}, pace="realtime", loop=True, clock=clock) as service:
        ...
        clock.advance(2700)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kvsfast.emulator.waking import Bell, Waker
from kvsfast.errors import UsageError

__all__ = ["Clock", "ManualClock"]

#: A day: the kernel counts the milliseconds of a poll in 31 bits.
LONGEST_POLL = 86_400.0


class Clock:
    """The system's clock, or one that is ``offset`` seconds ahead of it (behind it, if negative)."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset
        #: Rung when time has jumped.
        self.bell = Bell()

    def now(self) -> float:
        """Epoch seconds."""
        return time.time() + self._offset

    def now_ms(self) -> int:
        """Epoch milliseconds. A microsecond is added, lest a time that has come be just missed in a float."""
        return int(self.now() * 1000 + 0.001)

    def wait(self, until: float, waker: Waker, poll: Callable[[float | None], object]) -> None:
        """Let ``poll`` wait: it is told after how many real seconds to return, None for whenever it is woken.

        It polls on ``waker``, too, and may return early; whoever waits looks again.
        """
        poll(min(max(0.0, until - self.now()), LONGEST_POLL))


class ManualClock(Clock):
    """A clock that stands still until it is moved; whoever waits for a time is woken then.

    ``start``: epoch seconds, by default the system's time when the clock is made. Signatures are checked by
    this clock, too: let clients sign by it, or give the service ``clock_skew=None``.
    """

    def __init__(self, start: float | None = None) -> None:
        super().__init__()
        self._now = time.time() if start is None else start
        self._sleeping: list[Waker] = []
        self._changed = threading.Condition()

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Move on, and tell the new time. UsageError for a negative number: time does not run back."""
        if not seconds >= 0:
            raise UsageError(f"a clock cannot be moved by {seconds} seconds, only by 0 or more")
        with self._changed:
            self._now += seconds
            now = self._now
        self.bell.ring()
        return now

    @property
    def sleepers(self) -> int:
        """How many responses wait for a time to come or for media, and have nothing to do before."""
        with self._changed:
            return sum(not waker.is_awake for waker in self._sleeping)

    def wait_for_sleepers(self, count: int = 1, *, timeout: float = 30.0) -> None:
        """Return when so many responses wait, so that what is done next finds them there.

        TimeoutError after ``timeout`` seconds of real time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.sleepers >= count, timeout):
                raise TimeoutError(
                    f"{self.sleepers} responses wait after {timeout} s, expected at least {count}"
                )

    def wait(self, until: float, waker: Waker, poll: Callable[[float | None], object]) -> None:
        with self._changed:
            self._sleeping.append(waker)
            self._changed.notify_all()
        try:
            # Looked at once it sleeps: a clock that was moved before rings for nobody.
            poll(0.0 if until <= self._now else None)
        finally:
            with self._changed:
                self._sleeping.remove(waker)
