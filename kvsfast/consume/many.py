"""``consume_many``: many streams in one thread, merged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast._native.intake import MergedIterator, Turnstile
from kvsfast.consume.consumer import Consumer
from kvsfast.consume.events import SessionEvent
from kvsfast.consume.faces import GroupFace
from kvsfast.consume.lane import Lane, lane
from kvsfast.consume.loop import Loop, Slot
from kvsfast.consume.session import Session, SessionEnd
from kvsfast.errors import KvsFastError, UsageError

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags

__all__ = ["ConsumerGroup", "consume_many"]


def consume_many(
    consumers: Iterable[Consumer],
    *,
    threads: int = 16,
    on_failure: Callable[[Consumer, KvsFastError], object] | None = None,
) -> ConsumerGroup:
    """Read many streams in one thread: one loop waits for all sockets. Use it in ``with``, which closes them.

    ``consumers``: what ``client.consume(...)`` gave for each, not iterated yet; each keeps its own start,
    policy, checkpoint and stats. ``threads``: for what blocks (connecting, checkpoints), all together.
    ``on_failure``: called when a stream is given up; without it, what failed is raised in the end.

    Iterating gives ``(consumer, fragment)``, whichever comes first; see :class:`ConsumerGroup`.
    """
    return ConsumerGroup(consumers, threads=threads, on_failure=on_failure)


class ConsumerGroup(GroupFace[Consumer]):
    """Many streams, merged in the order in which their media comes.

    Iterating gives ``(consumer, fragment)``; ``frames()`` and ``events()`` give the same with frames and
    events. Streams take turns, and one that fails, stalls or is slow leaves the others alone: not asking for
    more is the back-pressure, for all of them. The iteration ends when every stream is over; if some have
    failed and there is no ``on_failure``, by an ExceptionGroup of their errors.

    One thread iterates; ``add``, ``close`` and the consumers' ``commit``, ``stats`` and ``close`` may be used
    by any.
    """

    _name = "ConsumerGroup"

    def __init__(
        self,
        consumers: Iterable[Consumer],
        *,
        threads: int = 16,
        on_failure: Callable[[Consumer, KvsFastError], object] | None = None,
    ) -> None:
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise UsageError(f"threads is {threads!r}, expected a whole number of at least 1")
        super().__init__(on_failure)
        self._lock = threading.Lock()
        self._members: dict[Consumer, Slot] = {}
        self._new: list[Slot] = []
        #: Of whoever iterates; shut when the group is closed.
        self._turnstile = Turnstile()
        self._loop = Loop(threads)
        self._items = MergedIterator(
            self._loop.ready, self._turnstile, go_on=self._go_on, clean_up=self._clean_up
        )
        try:
            for consumer in consumers:
                self.add(consumer)
        except BaseException:
            self.close()
            raise

    # -- the three ways of reading

    def __iter__(self) -> Iterator[tuple[Consumer, Fragment]]:
        return self._iterate("fragments")

    def frames(self) -> Iterator[tuple[Consumer, Frame]]:
        """Each frame as soon as it is there."""
        return self._iterate("frames")

    def events(
        self,
    ) -> Iterator[tuple[Consumer, FragmentStart | Frame | FragmentEnd | LateTags | SessionEvent]]:
        """Everything that happens, as :meth:`Consumer.events` gives it."""
        return self._iterate("events")

    def _iterate(self, mode: str) -> Iterator[Any]:
        self._fix_mode(mode)
        return self._items

    # -- members

    def add(self, consumer: Consumer) -> None:
        """Read one more stream. UsageError: it is read already, here or elsewhere, or this is closed."""
        if not isinstance(consumer, Consumer):
            raise UsageError(f"consumers has {consumer!r}, expected what client.consume(...) gives")
        with self._lock:
            self._check_open()
            session = consumer.hand_over(lambda: self._loop.interrupt(slot))
            slot = Slot(self._life(session), consumer)
            self._members[consumer] = slot
            self._new.append(slot)
        self._loop.wake()

    # -- lifecycle

    def close(self) -> None:
        """End every stream, and give connections and checkpoints back. From any thread; idempotent."""
        with self._lock:
            self._is_closed = self._turnstile.is_shut = True
            members = list(self._members)
        for consumer in members:
            consumer.close()
        self._loop.wake()
        # Whoever iterates cleans up on its way out.
        if self._turnstile.enter():
            try:
                self._clean_up()
            finally:
                self._turnstile.leave()

    def _clean_up(self) -> None:
        with self._lock:
            members, self._members = self._members, {}
        for consumer, slot in members.items():
            self._loop.drop(slot)
            consumer.clean_up()
        self._loop.close()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- the loop

    def _go_on(self, slot: Slot | None, told: int | KvsFastError | None) -> tuple[Consumer, Any] | None:
        """Where the short way ends, or the round: an item, or None to look again. StopIteration: there is
        nobody left."""
        if slot is None:
            self._begin_round()
            return None
        consumer: Consumer = slot.data
        try:
            item = self._loop.run(slot, told)
        except KvsFastError as error:
            self._end(consumer, error)
            return None
        if item is not None:
            return consumer, item
        self._items.seat = None
        if slot.is_over:
            self._end(consumer, None)
        return None

    def _begin_round(self) -> None:
        """All sockets are looked at; then those that are ready have their turns."""
        if self._new:
            self._take_new()
        if not self._members:
            self._give_failures()
            raise StopIteration
        self._loop.wait()
        self._items.left = len(self._loop.ready)

    def _take_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        for slot in new:
            self._loop.add(slot)

    def _life(self, session: Session) -> Lane:
        """A session from its first call to giving its checkpoint back."""
        failure: KvsFastError | None = None
        try:
            yield from lane(session, self._mode)
        except KvsFastError as error:
            if session.end is not SessionEnd.CLOSED:
                failure = error
        yield from session.close()
        if failure is not None:
            raise failure

    def _end(self, consumer: Consumer, error: KvsFastError | None) -> None:
        self._items.seat = None
        with self._lock:
            self._members.pop(consumer, None)
        consumer.clean_up()
        if error is not None:
            self._failed(consumer, error)
