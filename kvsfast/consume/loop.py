"""One loop of readiness over many lanes: sockets, timers, and a few threads for what blocks.

A lane is run until it wants something; then others are. Whoever is ready waits in one row, so each gets its
turn; a turn is bounded by the number of receives in it (:mod:`kvsfast.readiness`).

Most turns are alike: bytes are there, a few items come of them, then there is nothing more. So a slot has a
short way, the intake of its response, by which a ``MergedIterator`` takes such turns without the lane and
without this module. The lane is gone on with where the intake says something else; and whatever else happens
to a slot takes the short way from it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from kvsfast._native.intake import Seat
from kvsfast.consume.lane import Give, Lane, Ready
from kvsfast.errors import KvsFastError, StreamClosed
from kvsfast.readiness import TurnSource
from kvsfast.steps import Pause, Turn, Work, abandon, start

__all__ = ["Loop", "Slot"]


class Slot(Seat):
    """A lane's place in the loop. ``data`` is its owner's."""

    def __init__(self, lane: Lane, data: Any) -> None:
        self.lane = lane
        self.data = data
        self.is_over = False
        #: What the lane's next step is answered: a function, since it may have to raise.
        self._answer: Callable[[], Any] = _nothing
        # its socket: once waited for, it stays registered
        self._registered: TurnSource | None = None
        self._timer_at = math.inf
        # while something is done elsewhere
        self._work: tuple[Work[Any], Future[Any]] | None = None
        self._visit = 0


class Loop:
    """Runs lanes. Used by one thread, but for ``wake``. ``threads``: for what blocks, such as connecting."""

    def __init__(self, threads: int) -> None:
        self._selector = selectors.DefaultSelector()
        #: Whose turn it is.
        self.ready: deque[Slot] = deque()
        #: (when, order, slot, visit); of a slot that waits for a socket, at most one that counts.
        self._timers: list[tuple[float, int, Slot, int]] = []
        self._order = itertools.count()
        self._posted: deque[tuple[Slot, int]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kvsfast-many")
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)

    def add(self, slot: Slot) -> None:
        """Have it run in its turn."""
        self._is_ready_with(slot, _nothing)

    def run(self, slot: Slot, told: int | KvsFastError | None) -> Any:
        """Go on with its lane, which is ``told`` how the short way ended, if it did.

        Returns an item that it gives (then there may be more at once), or None: it waits, or is over. Raises
        what its lane raises; it is over then, too."""
        if told is not None:
            slot._answer = _raising(told) if isinstance(told, KvsFastError) else partial(int, told)
        answer, slot._answer = slot._answer, _nothing
        slot.intake = None
        slot._work = None  # only now, so that a result that was not taken is discarded
        try:
            try:
                value = answer()
            except BaseException as error:
                step = slot.lane.throw(error)
            else:
                step = slot.lane.send(value)
        except StopIteration:
            self.drop(slot)
            return None
        except BaseException:
            self.drop(slot)
            raise
        if isinstance(step, Give):
            item, step.item = step.item, None
            slot.intake = step.intake
            return item
        self._begin_waiting(slot, step)
        return None

    def wait(self) -> None:
        """Until some are ready, or woken."""
        seconds: float | None = None
        if self.ready:
            seconds = 0.0
        elif self._timers:
            seconds = max(0.0, self._timers[0][0] - time.monotonic())
        for key, _ in self._selector.select(seconds):
            slot: Slot | None = key.data
            if slot is None:
                self._drain()
            elif slot.waits:
                slot.waits = False
                self._is_ready_with(slot, _true)
            else:
                # There is something that nobody waits for: the user is busy with what came before.
                self._forget_socket(slot)
        self._take_posted()
        self._take_timers()

    def interrupt(self, slot: Slot) -> None:
        """What it waits for, if it does, ends by StreamClosed. From any thread."""
        self._post(slot, _INTERRUPTED)

    def wake(self) -> None:
        """End a ``wait``. From any thread."""
        with contextlib.suppress(OSError):  # there are bytes enough in it, or it is closed
            self._wake_in.send(b"w")

    def drop(self, slot: Slot) -> None:
        """It is not run any more. What is done for it elsewhere is abandoned."""
        slot.is_over = True
        slot._visit += 1
        self._forget_socket(slot)
        self._abandon_work(slot)
        slot.lane.close()

    def close(self) -> None:
        """No lane is run any more."""
        self._pool.shutdown(wait=False)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    # -- what is waited for

    def _begin_waiting(self, slot: Slot, step: object) -> None:
        slot._visit += 1
        visit = slot._visit
        if isinstance(step, Ready):
            slot.intake = step.intake
            if step.source.begin_turn():
                self._is_ready_with(slot, _true)
            else:
                self._wait_for_socket(slot, step.source)
        elif isinstance(step, Pause):
            self._set_timer(time.monotonic() + step.seconds, slot, visit)
        elif isinstance(step, Turn):
            slot._answer = step.future.result
            step.future.add_done_callback(lambda _: self._post(slot, visit))
        elif isinstance(step, Work):
            future = start(step, self._pool.submit)
            slot._work = step, future
            slot._answer = future.result
            future.add_done_callback(lambda _: self._post(slot, visit))
        else:
            raise TypeError(f"a lane wants {step!r}, which nobody knows")

    def _wait_for_socket(self, slot: Slot, source: TurnSource) -> None:
        if slot._registered is not source:
            self._forget_socket(slot)
            slot._registered = source
            self._selector.register(source.fileno(), selectors.EVENT_READ, slot)
            source.on_close(lambda: self._is_closing(slot))
        slot.waits = True
        until = source.patient_until(time.monotonic())
        # A timer that is there already looks again when it is due: most waits end long before.
        if until < slot._timer_at:
            slot._timer_at = until
            self._set_timer(until, slot, _OF_SOCKET)
        slot.patient_until = until
        slot.armed = slot.intake

    def _is_closing(self, slot: Slot) -> None:
        """Its socket is about to be closed, by the lane itself or by another thread."""
        waits = slot.waits
        self._forget_socket(slot)
        if waits:
            slot.intake = None
            slot._answer = _true
            self._post(slot, slot._visit)

    def _forget_socket(self, slot: Slot) -> None:
        source, slot._registered = slot._registered, None
        slot.waits = False
        slot.armed = None
        if source is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):  # closed by now
                self._selector.unregister(source.fileno())

    def _is_ready_with(self, slot: Slot, answer: Callable[[], Any]) -> None:
        """It is ready, and this is what it waited for."""
        slot._answer = answer
        slot.is_ready = True
        self.ready.append(slot)

    def _abandon_work(self, slot: Slot) -> None:
        if slot._work is not None:
            work, future = slot._work
            slot._work = None
            abandon(work, future)

    def _post(self, slot: Slot, visit: int) -> None:
        self._posted.append((slot, visit))
        self.wake()

    def _take_posted(self) -> None:
        while self._posted:
            slot, visit = self._posted.popleft()
            if slot.is_over or slot.is_ready:
                continue
            if visit == slot._visit:
                self._is_ready_with(slot, slot._answer)
            elif visit == _INTERRUPTED:
                slot._visit += 1
                slot.waits = False
                slot.intake = None
                self._abandon_work(slot)
                self._is_ready_with(slot, _closed)

    def _set_timer(self, when: float, slot: Slot, visit: int) -> None:
        heapq.heappush(self._timers, (when, next(self._order), slot, visit))

    def _take_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, slot, visit = heapq.heappop(self._timers)
            if slot.is_over:
                continue
            if visit != _OF_SOCKET:
                if visit == slot._visit and not slot.is_ready:
                    self._is_ready_with(slot, _nothing)
                continue
            slot._timer_at = math.inf
            if not slot.waits:
                slot.armed = None  # the next wait sets another one
            elif slot.patient_until > now:
                slot._timer_at = slot.patient_until
                self._set_timer(slot.patient_until, slot, _OF_SOCKET)
            else:
                slot.waits = False
                slot.intake = None
                self._is_ready_with(slot, _false)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_out.recv(4096):
                pass


#: In the place of a visit: the timer of a socket; an end from outside.
_OF_SOCKET = -1
_INTERRUPTED = -2


def _nothing() -> None:
    return None


def _true() -> bool:
    return True


def _false() -> bool:
    return False


def _closed() -> None:
    raise StreamClosed


def _raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer
