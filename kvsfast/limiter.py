"""The service's limits on one stream, kept on our side: five GetMedia calls a second, three open connections.

The service counts per stream, whoever asks. So the counts are kept per process, shared by all clients and
threads; other processes are not seen, and what they use up comes back as the service's own error, which is
retried. Waiting is told as steps (:mod:`kvsfast.steps`), so that no thread waits here.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from kvsfast.errors import ConnectionLimitExceededException, TransportTimeout
from kvsfast.forking import survive_fork
from kvsfast.steps import Pause, Steps, Turn

#: The service's second, and what calls that leave in order may be late against each other.
WINDOW = 1.1

Release = Callable[[], None]


class Limiter:
    """Counts calls and connections by key. Times are of ``time.monotonic``."""

    def __init__(self, *, calls_per_second: int = 5, connections: int = 3) -> None:
        self._calls_per_second = calls_per_second
        self._connections = connections
        self.after_fork()
        survive_fork(self)

    def after_fork(self) -> None:
        """Forget everything: a child has none of its parent's connections."""
        # Reentrant, since a dropped stream gives its connection back wherever the garbage collector runs.
        self._lock = threading.RLock()
        self._open: dict[Hashable, set[object]] = {}
        self._waiting: dict[Hashable, deque[Future[Release]]] = {}
        # In the order of the last call, so that what is past is found at the front.
        self._calls: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def acquire_connection(self, key: Hashable, *, wait: bool) -> Steps[Release]:
        """Take one of the connections; what is returned gives it back, however often it is called.

        ConnectionLimitExceededException: all are taken and ``wait`` is False. Who waits is served in turn.
        """
        with self._lock:
            if len(self._open.get(key, ())) < self._connections:
                return self._take(key)
            if not wait:
                raise ConnectionLimitExceededException(
                    f"{self._connections} connections to this stream are open in this process, and the "
                    "service allows no more; close one, or say wait=True",
                    code="ConnectionLimitExceededException",
                )
            turn: Future[Release] = Future()
            self._waiting.setdefault(key, deque()).append(turn)
        try:
            release: Release = yield Turn(turn)
        except BaseException as error:
            self._leave(key, turn)
            if isinstance(error, TransportTimeout):
                raise TransportTimeout(
                    "no connection to the stream became free before the deadline", retryable=False
                ) from None
            raise
        return release

    def acquire_call(self, key: Hashable, *, deadline: float = math.inf) -> Steps[None]:
        """Wait until another call may be made. TransportTimeout: it could not be before ``deadline``."""
        while (delay := self._try_call(key)) > 0:
            if time.monotonic() + delay >= deadline:
                raise TransportTimeout(
                    "the stream's calls per second leave no room before the deadline", retryable=False
                )
            yield Pause(delay)

    def _take(self, key: Hashable) -> Release:
        slot = object()
        self._open.setdefault(key, set()).add(slot)
        return functools.partial(self._release, key, slot)

    def _release(self, key: Hashable, slot: object) -> None:
        with self._lock:
            slots = self._open.get(key)
            if slots is None or slot not in slots:
                return  # given back before, or by the parent of this process
            slots.remove(slot)
            waiting = self._waiting.get(key)
            while waiting:
                turn = waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    release = self._take(key)
                    break
            else:
                turn = None
            if not waiting:
                self._waiting.pop(key, None)
            if not slots:
                self._open.pop(key, None)
        if turn is not None:
            turn.set_result(release)  # outside the lock: it calls whoever waits

    def _leave(self, key: Hashable, turn: Future[Release]) -> None:
        if not turn.cancel():
            turn.result()()  # it came at the last moment
            return
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting and turn in waiting:
                waiting.remove(turn)
                if not waiting:
                    del self._waiting[key]

    def _try_call(self, key: Hashable) -> float:
        """0: the call is counted. Else the seconds until it is worth asking again."""
        with self._lock:
            now = time.monotonic()
            self._forget(now)
            recent = self._calls.setdefault(key, deque())
            while recent and recent[0] + WINDOW <= now:
                recent.popleft()
            if len(recent) == self._calls_per_second:
                return recent[0] + WINDOW - now
            recent.append(now)
            self._calls.move_to_end(key)
            return 0.0

    def _forget(self, now: float) -> None:
        while self._calls:
            key, recent = next(iter(self._calls.items()))
            if recent and recent[-1] + WINDOW > now:
                return
            del self._calls[key]


#: The one of this process.
shared_limiter = Limiter()
