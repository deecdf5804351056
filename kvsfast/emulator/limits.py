"""The service's limits on each stream: 5 calls a second, and 3 open GetMedia connections."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from kvsfast.emulator.clock import Clock
from kvsfast.emulator.refusal import Refusal

__all__ = ["StreamLimits"]

CALLS_PER_SECOND = 5
CONNECTIONS = 3


class StreamLimits:
    """Counts the calls of one operation on one stream, and the connections that they hold."""

    def __init__(self, operation: str, stream: str, clock: Clock) -> None:
        self._subject = f"{operation} for resource '{stream}'"
        self._clock = clock
        self._calls: deque[float] = deque(maxlen=CALLS_PER_SECOND)
        self.open_connections = 0
        self._lock = threading.Lock()

    def count_call(self) -> None:
        """Refusal if there were already five calls within the last second."""
        now = self._clock.now()
        with self._lock:
            if len(self._calls) == CALLS_PER_SECOND and self._calls[0] > now - 1.0:
                raise Refusal(
                    "ClientLimitExceededException",
                    f"Rate exceeded: {CALLS_PER_SECOND} requests per second on {self._subject}",
                )
            self._calls.append(now)

    def open_connection(self, *, limited: bool = True) -> Callable[[], None]:
        """Take a slot; Refusal if it is ``limited`` and none is free. The result gives it back."""
        with self._lock:
            if limited and self.open_connections >= CONNECTIONS:
                raise Refusal(
                    "ConnectionLimitExceededException",
                    f"Limit exceeded: {CONNECTIONS} concurrent connections on {self._subject}",
                )
            self.open_connections += 1
        return self._close_connection

    def _close_connection(self) -> None:
        with self._lock:
            self.open_connections -= 1
