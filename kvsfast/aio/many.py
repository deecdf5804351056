"""``aio.consume_many``: many streams, merged for one task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast.aio.consumer import Consumer
from kvsfast.consume.faces import GroupFace
from kvsfast.errors import KvsFastError, UsageError

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast.consume.events import SessionEvent

__all__ = ["ConsumerGroup", "consume_many"]

#: Whose, what, and what is to be settled when it was dealt with; without that, the stream is over, by an
#: error or None. Nobody's: the group was closed.
_Given = tuple["Consumer | None", Any, "asyncio.Future[None] | None"]
_NOTHING: _Given = (None, None, None)


def consume_many(
    consumers: Iterable[Consumer],
    *,
    on_failure: Callable[[Consumer, KvsFastError], object] | None = None,
) -> ConsumerGroup:
    """Read many streams in one task. As :func:`kvsfast.consume_many`; use it in ``async with``.

    ``consumers``: what ``client.consume(...)`` of an :class:`kvsfast.aio.Client` gave for each.
    """
    return ConsumerGroup(consumers, on_failure=on_failure)


class ConsumerGroup(GroupFace[Consumer]):
    """Many streams, merged in the order in which their media comes: :class:`kvsfast.ConsumerGroup`, for a
    task.

    Each stream has at most one item waiting. Not asking for more is the back-pressure, for all of them.
    """

    _name = "aio.ConsumerGroup"

    def __init__(
        self,
        consumers: Iterable[Consumer],
        *,
        on_failure: Callable[[Consumer, KvsFastError], object] | None = None,
    ) -> None:
        super().__init__(on_failure)
        self._members: dict[Consumer, asyncio.Task[None] | None] = {}
        self._given: asyncio.Queue[_Given] = asyncio.Queue(1)
        self._taken: asyncio.Future[None] | None = None
        for consumer in consumers:
            self.add(consumer)

    # -- the three ways of reading

    def __aiter__(self) -> AsyncIterator[tuple[Consumer, Fragment]]:
        return self._iterate("fragments")

    def frames(self) -> AsyncIterator[tuple[Consumer, Frame]]:
        """Each frame as soon as it is there."""
        return self._iterate("frames")

    def events(
        self,
    ) -> AsyncIterator[tuple[Consumer, FragmentStart | Frame | FragmentEnd | LateTags | SessionEvent]]:
        """Everything that happens, as :meth:`kvsfast.Consumer.events` gives it."""
        return self._iterate("events")

    def _iterate(self, mode: str) -> AsyncIterator[Any]:
        self._fix_mode(mode)
        return _Items(self)

    # -- members

    def add(self, consumer: Consumer) -> None:
        """Read one more stream. UsageError: it is here already, or this is closed."""
        if not isinstance(consumer, Consumer):
            raise UsageError(f"consumers has {consumer!r}, expected what aio.Client.consume(...) gives")
        self._check_open()
        if consumer in self._members:
            raise UsageError(f"{consumer!r} is in the group already")
        self._members[consumer] = None

    # -- lifecycle

    async def close(self) -> None:
        """End every stream, and give connections and checkpoints back. Idempotent."""
        self._is_closed = True
        members, self._members = self._members, {}
        for task in members.values():
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in members.values() if task), return_exceptions=True)
        await asyncio.gather(*(consumer.close() for consumer in members))
        with contextlib.suppress(asyncio.QueueFull):  # then nobody waits for an item
            self._given.put_nowait(_NOTHING)

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- merging

    async def _next(self) -> tuple[Consumer, Any]:
        if self._taken is not None:
            # Who asks for the next item is done with the one before.
            self._taken.set_result(None)
            self._taken = None
        while self._members and not self._is_closed:
            for new in [consumer for consumer, task in self._members.items() if task is None]:
                self._members[new] = asyncio.create_task(self._pump(new))
            consumer, item, taken = await self._given.get()
            if consumer is None:
                break
            if taken is not None:
                self._taken = taken
                return consumer, item
            self._members.pop(consumer, None)
            await consumer.close()
            if item is not None:
                self._failed(consumer, item)
        self._give_failures()
        raise StopAsyncIteration

    async def _pump(self, consumer: Consumer) -> None:
        """Give one item after the other, each when the one before is dealt with."""
        loop = asyncio.get_running_loop()
        ways = {"fragments": consumer.__aiter__, "frames": consumer.frames, "events": consumer.events}
        failure: KvsFastError | None = None
        try:
            async for item in ways[self._mode]():
                taken = loop.create_future()
                await self._given.put((consumer, item, taken))
                await taken
        except KvsFastError as error:
            failure = error
        await self._given.put((consumer, failure, None))


class _Items(AsyncIterator[Any]):
    __slots__ = ("_group",)

    def __init__(self, group: ConsumerGroup) -> None:
        self._group = group

    def __anext__(self) -> Any:
        return self._group._next()
