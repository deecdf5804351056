"""``aio.Client.consume``: a session's lane (:mod:`kvsfast.consume.lane`), gone along by a task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast.aio.driver import Spawn, drive, settle, tell_when_done
from kvsfast.aio.stream import LoopSource
from kvsfast.consume.consumer import Consumer as BlockingConsumer
from kvsfast.consume.faces import SessionFace
from kvsfast.consume.lane import Give, Lane, LaneStep, Ready, lane
from kvsfast.errors import StreamClosed, UsageError
from kvsfast.readiness import TurnSource
from kvsfast.steps import Pause, Step, Turn, Work, abandon, start

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast.consume.events import SessionEvent

__all__ = ["Consumer"]


class Consumer(SessionFace):
    """A stream, read for ever: :class:`kvsfast.Consumer` for a task.

    ``async for`` gives whole fragments; ``frames()`` and ``events()`` are the other two ways. One task
    iterates; ``commit``, ``stats`` and ``close`` may be used by any task of the loop. A task that is
    cancelled while it waits loses nothing: iterating again goes on. Leaving ``async with`` closes.
    """

    def __init__(self, consumer: BlockingConsumer, *, spawn: Spawn) -> None:
        self._consumer = consumer
        self._session = consumer.hand_over(self._wake)
        self._spawn = spawn
        self._mode = ""
        self._way: _Way | None = None
        self._is_closed = False

    # -- the three ways of reading

    def __aiter__(self) -> AsyncIterator[Fragment]:
        return self._iterate("fragments")

    def frames(self) -> AsyncIterator[Frame]:
        """Each frame as soon as it is there. See :meth:`kvsfast.Consumer.frames`."""
        return self._iterate("frames")

    def events(self) -> AsyncIterator[FragmentStart | Frame | FragmentEnd | LateTags | SessionEvent]:
        """Everything that happens. See :meth:`kvsfast.Consumer.events`."""
        return self._iterate("events")

    def _iterate(self, mode: str) -> AsyncIterator[Any]:
        if self._way is None:
            self._mode = mode
            self._way = _Way(lane(self._session, mode), self._spawn)
        elif self._mode != mode:
            raise UsageError(
                f"the consumer is being read by {self._mode}; it cannot be read by {mode} as well"
            )
        return self._way

    # -- progress

    async def commit(self, what: Fragment | FragmentEnd | FragmentStart | Frame | None = None) -> None:
        """Save in the checkpoint that ``what`` and all before it is dealt with. As
        :meth:`kvsfast.Consumer.commit`."""
        await drive(self._session.commit(what), spawn=self._spawn)

    # -- lifecycle

    async def close(self) -> None:
        """End it, and give connection and checkpoint back. A task that waits for media ends its loop.
        Idempotent."""
        self._consumer.close()
        if self._is_closed:
            return
        self._is_closed = True
        if self._way is not None:
            await self._way.end()
        await drive(_clean_up(self._consumer), spawn=self._spawn)

    async def __aenter__(self) -> Self:
        if self._is_closed:
            raise UsageError("the consumer is closed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self._consumer).replace("<Consumer", "<aio.Consumer")

    def _wake(self) -> None:
        if self._way is not None:
            self._way.interrupt()


def _clean_up(consumer: BlockingConsumer) -> Any:
    yield Work(consumer.clean_up)


class _Way(AsyncIterator[Any]):
    """Goes along a lane. What the lane waits for outlives a task that is cancelled while it waits."""

    def __init__(self, way: Lane, spawn: Spawn) -> None:
        self._lane = way
        self._spawn = spawn
        self._step: LaneStep | None = None
        #: Of the step: whether it has begun, what was begun for it, or when it is over.
        self._has_begun = False
        self._begun: Future[Any] | None = None
        self._until = 0.0
        self._source: tuple[TurnSource, LoopSource] | None = None
        self._told: asyncio.Future[None] | None = None
        self._is_interrupted = False
        self._is_over = False
        self._busy = False

    async def __anext__(self) -> Any:
        if self._busy:
            raise UsageError("the consumer is being read by another task; one task reads at a time")
        self._busy = True
        try:
            while not self._is_over:
                if self._step is None:
                    step = self._advance(None)
                else:
                    try:
                        answer = await self._wait(self._step)
                    except asyncio.CancelledError:
                        raise  # the step stays, and is waited for again
                    except Exception as error:
                        step = self._advance(error, failed=True)
                    else:
                        step = self._advance(answer)
                if isinstance(step, Give):
                    item, step.item = step.item, None
                    self._step = None
                    return item
                self._step = step
            raise StopAsyncIteration
        finally:
            self._busy = False

    def interrupt(self) -> None:
        """The session is over: end the wait."""
        self._is_interrupted = True
        if self._told is not None:
            settle(self._told)

    async def end(self) -> None:
        """Let go of what was begun. A task that is inside leaves by itself."""
        self.interrupt()
        while self._busy:
            await asyncio.sleep(0)
        self._is_over = True
        self._abandon()
        self._lane.close()

    def _advance(self, answer: Any, *, failed: bool = False) -> LaneStep | None:
        self._step = self._begun = None
        self._has_begun = False
        try:
            return self._lane.throw(answer) if failed else self._lane.send(answer)
        except StopIteration:
            self._is_over = True
            return None
        except BaseException:
            self._is_over = True
            raise

    async def _wait(self, step: LaneStep) -> Any:
        if isinstance(step, Ready):
            if self._source is None or self._source[0] is not step.source:
                self._source = step.source, LoopSource(step.source)
            return await self._source[1].is_ready()
        assert not isinstance(step, Give)
        if not self._has_begun:
            self._has_begun = True
            self._begin(step)
        if not self._is_interrupted:
            await self._wait_for_begun()
        begun = self._begun
        if begun is None or begun.done():
            return None if begun is None else begun.result()
        self._abandon()
        raise StreamClosed

    def _begin(self, step: Step) -> None:
        if isinstance(step, Pause):
            self._until = time.monotonic() + step.seconds
        elif isinstance(step, Turn):
            self._begun = step.future
        else:
            self._begun = start(step, self._spawn)

    async def _wait_for_begun(self) -> None:
        loop = asyncio.get_running_loop()
        told = self._told = loop.create_future()
        timer: asyncio.TimerHandle | None = None
        if self._begun is None:
            timer = loop.call_later(max(0.0, self._until - time.monotonic()), settle, told)
        else:
            tell_when_done(self._begun, told)
        try:
            await told
        finally:
            self._told = None
            if timer is not None:
                timer.cancel()

    def _abandon(self) -> None:
        step, begun = self._step, self._begun
        self._begun = None
        if isinstance(step, Work) and begun is not None:
            abandon(step, begun)
