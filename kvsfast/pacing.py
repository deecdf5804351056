"""What a client remembers of its attempts: how many retries it may still afford, how fast it may send.

Both are the AWS SDKs' (their retry behaviour, as botocore's ``standard`` and ``adaptive`` modes have it), and
both exist to spare a service that is in trouble: a budget that every retry draws from, and a send rate that
falls when calls are throttled and grows again along a cubic curve (the congestion control of RFC 9438).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from kvsfast.errors import UsageError
from kvsfast.forking import survive_fork

__all__ = ["RetryQuota", "SendRate"]


class RetryQuota:
    """A budget of retries, shared by all calls of a client. Used by many threads.

    A retry costs 5 of ``capacity`` after throttling and 14 after another failure; a call that works gives
    back what its last retry cost, or 1. With the default of 500 some 35 failures without a success in
    between end the retrying.
    """

    def __init__(self, capacity: int = 500) -> None:
        if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 0:
            raise UsageError(f"capacity is {capacity!r}, expected a whole number, at least 0")
        self.capacity = capacity
        self._left = capacity
        self.after_fork()
        survive_fork(self)

    def after_fork(self) -> None:
        """A child has a lock of its own."""
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """What is left of the budget."""
        return self._left

    def spend(self, cost: int) -> bool:
        """Whether the budget covered it."""
        with self._lock:
            if self._left < cost:
                return False
            self._left -= cost
            return True

    def give_back(self, cost: int) -> None:
        """A call worked."""
        with self._lock:
            self._left = min(self.capacity, self._left + cost)

    def __reduce__(self) -> tuple[type[RetryQuota], tuple[int]]:
        return RetryQuota, (self.capacity,)  # another process has a budget of its own


class SendRate:
    """How many attempts a second may be sent: any number, until the first one is throttled.

    ``clock``: seconds that only grow.
    """

    #: The rate falls to this share when an attempt is throttled, and grows again by the cube of the time.
    BETA = 0.7
    GROWTH = 0.4
    #: Attempts a second that are always allowed.
    LEAST = 0.5
    #: The rate that is really sent is measured by halves of a second, and smoothed.
    SLICE = 0.5
    SMOOTHING = 0.8

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_on = False
        self._rate = 0.0
        self._tokens = 0.0
        self._filled_at = clock()
        self._most = 0.0
        self._throttled_at = clock()
        self._measured = 0.0
        self._slice = math.floor(clock() / self.SLICE)
        self._count = 0
        self.after_fork()
        survive_fork(self)

    def after_fork(self) -> None:
        """A child has a lock of its own."""
        self._lock = threading.Lock()

    @property
    def limit(self) -> float:
        """Attempts a second; ``math.inf`` as long as nothing was throttled."""
        return self._rate if self._is_on else math.inf

    def hold(self) -> float:
        """Seconds until an attempt may be sent; 0: it was counted."""
        with self._lock:
            if not self._is_on:
                return 0.0
            self._fill()
            if self._tokens > 1 - 1e-6:  # what sums of floats may lack after the wait that was told
                self._tokens = max(0.0, self._tokens - 1)
                return 0.0
            return (1 - self._tokens) / self._rate

    def answered(self, *, throttled: bool) -> None:
        """An attempt was answered, by throttling or otherwise."""
        with self._lock:
            now = self._clock()
            sent = self._measure(now)
            if throttled:
                self._most = min(sent, self._rate) if self._is_on else sent
                self._throttled_at = now
                wanted = self._most * self.BETA
                self._is_on = True
            else:
                back = (self._most * (1 - self.BETA) / self.GROWTH) ** (1 / 3)
                wanted = self.GROWTH * (now - self._throttled_at - back) ** 3 + self._most
            if self._is_on:
                self._fill()
                self._rate = max(min(wanted, 2 * sent), self.LEAST)
                self._tokens = min(self._tokens, max(1.0, self._rate))

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(max(1.0, self._rate), self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def _measure(self, now: float) -> float:
        this = math.floor(now / self.SLICE)
        self._count += 1
        if this > self._slice:
            rate = self._count / ((this - self._slice) * self.SLICE)
            self._measured = rate * self.SMOOTHING + self._measured * (1 - self.SMOOTHING)
            self._count = 0
            self._slice = this
        return self._measured

    def __reduce__(self) -> tuple[type[SendRate], tuple[()]]:
        return SendRate, ()
