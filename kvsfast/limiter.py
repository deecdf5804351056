"""The service's limits on one stream, kept on our side: five GetMedia calls a second, three open connections.

The service counts per stream, whoever asks. So the counts are kept per process, shared by all clients and
threads; other processes are not seen, and what they use up comes back as the service's own error, which is
retried.
"""

from __future__ import annotations

import functools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

from kvsfast.errors import ConnectionLimitExceededException, TransportTimeout

#: The service's second, and what calls that leave in order may be late against each other.
WINDOW = 1.1


class Limiter:
    """Counts calls and connections by key. Waiting is done here; times are of ``time.monotonic``."""

    def __init__(self, *, calls_per_second: int = 5, connections: int = 3) -> None:
        self._calls_per_second = calls_per_second
        self._connections = connections
        self.reset()

    def reset(self) -> None:
        """Forget everything: what a forked child does, which has none of its parent's threads."""
        self._changed = threading.Condition()
        self._open: dict[Hashable, set[object]] = {}
        self._calls: dict[Hashable, deque[float]] = {}

    def acquire_connection(
        self, key: Hashable, *, wait: bool, deadline: float = math.inf
    ) -> Callable[[], None]:
        """Take one of the connections; what is returned gives it back, however often it is called.

        ConnectionLimitExceededException: all are taken and ``wait`` is False. TransportTimeout: none became
        free until ``deadline``.
        """
        with self._changed:
            while len(self._open.get(key, ())) >= self._connections:
                if not wait:
                    raise ConnectionLimitExceededException(
                        f"{self._connections} connections to this stream are open in this process, and the "
                        "service allows no more; close one, or say wait=True",
                        code="ConnectionLimitExceededException",
                    )
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TransportTimeout(
                        "no connection to the stream became free before the deadline", retryable=False
                    )
                self._changed.wait(None if math.isinf(left) else left)
            slot = object()
            self._open.setdefault(key, set()).add(slot)
        return functools.partial(self._release, key, slot)

    def _release(self, key: Hashable, slot: object) -> None:
        with self._changed:
            slots = self._open.get(key, set())
            slots.discard(slot)
            if not slots:
                self._open.pop(key, None)
            self._changed.notify_all()

    def acquire_call(self, key: Hashable, *, deadline: float = math.inf) -> None:
        """Wait until another call may be made. TransportTimeout: it could not be before ``deadline``."""
        while (delay := self._try_call(key)) > 0:
            if time.monotonic() + delay >= deadline:
                raise TransportTimeout(
                    "the stream's calls per second leave no room before the deadline", retryable=False
                )
            time.sleep(delay)

    def _try_call(self, key: Hashable) -> float:
        """0: the call is counted. Else the seconds until it is worth asking again."""
        with self._changed:
            now = time.monotonic()
            self._forget(now)
            recent = self._calls.setdefault(key, deque(maxlen=self._calls_per_second))
            if len(recent) == self._calls_per_second:
                return recent[0] + WINDOW - now
            recent.append(now)
            return 0.0

    def _forget(self, now: float) -> None:
        for key, recent in list(self._calls.items()):
            while recent and recent[0] + WINDOW <= now:
                recent.popleft()
            if not recent:
                del self._calls[key]


#: The one of this process.
shared_limiter = Limiter()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared_limiter.reset)
