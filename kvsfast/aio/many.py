"""``aio.consume_many``: many streams, merged for one task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast.aio.consumer import Consumer
from kvsfast.errors import KvsFastError, UsageError

if TYPE_CHECKING:
    from kvsfast._native.frames import Fragment, FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast.consume.events import SessionEvent
    from kvsfast.consume.stats import ConsumerStats

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


class ConsumerGroup:
    """Many streams, merged in the order in which their media comes: :class:`kvsfast.ConsumerGroup`, for a
    task.

    Each stream has at most one item waiting. Not asking for more is the back-pressure, for all of them.
    """

    def __init__(
        self,
        consumers: Iterable[Consumer],
        *,
        on_failure: Callable[[Consumer, KvsFastError], object] | None = None,
    ) -> None:
        if on_failure is not None and not callable(on_failure):
            raise UsageError(f"on_failure is {on_failure!r}, expected a function")
        self._on_failure = on_failure
        self._failures: dict[Consumer, KvsFastError] = {}
        self._mode = ""
        self._members: dict[Consumer, asyncio.Task[None] | None] = {}
        self._given: asyncio.Queue[_Given] = asyncio.Queue(1)
        self._taken: asyncio.Future[None] | None = None
        self._is_closed = False
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
        if self._mode and self._mode != mode:
            raise UsageError(f"the group is being read by {self._mode}; it cannot be read by {mode} as well")
        self._mode = mode
        return _Items(self)

    # -- members

    def add(self, consumer: Consumer) -> None:
        """Read one more stream. UsageError: it is here already, or this is closed."""
        if not isinstance(consumer, Consumer):
            raise UsageError(f"consumers has {consumer!r}, expected what aio.Client.consume(...) gives")
        if self._is_closed:
            raise UsageError("the group is closed")
        if consumer in self._members:
            raise UsageError(f"{consumer!r} is in the group already")
        self._members[consumer] = None

    @property
    def consumers(self) -> list[Consumer]:
        """Those that are not over."""
        return list(self._members)

    @property
    def failures(self) -> Mapping[Consumer, KvsFastError]:
        """The streams that were given up, and why."""
        return self._failures

    @property
    def stats(self) -> dict[str, ConsumerStats]:
        """How each stream that is not over is doing, by its name."""
        return {consumer.stream: consumer.stats for consumer in self._members}

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
        if self._is_closed:
            raise UsageError("the group is closed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._members)} open"
        return f"<aio.ConsumerGroup {state}, {len(self._failures)} failed>"

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
                self._failures[consumer] = item
                if self._on_failure is not None:
                    self._on_failure(consumer, item)
        if self._failures and self._on_failure is None:
            failures = list(self._failures.values())
            self._on_failure = lambda consumer, error: None  # told once
            raise ExceptionGroup(f"{len(failures)} streams were given up", failures)
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
