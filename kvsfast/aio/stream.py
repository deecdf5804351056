"""A response on an event loop: the blocking reader over a socket that is never waited for in a receive.

The reader and its compiled iterators are those of :mod:`kvsfast.stream`. Where a blocking one would wait,
BlockingIOError comes up through the iterator, which loses nothing by it; then the task waits until the socket
is readable, and asks again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from kvsfast.errors import UsageError
from kvsfast.readiness import TurnSource
from kvsfast.stream import HttpBody
from kvsfast.stream import MediaStream as BlockingMediaStream

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast.errors import InStreamError, MediaError
    from kvsfast.model import TrackType
    from kvsfast.options import Options
    from kvsfast.shapes import GetMediaOutput

Item = TypeVar("Item")


class MediaStream:
    """The response of one GetMedia call: :class:`kvsfast.MediaStream` for a task.

    ``content_type``, ``request_id``, ``response_metadata`` and ``output`` are the same, and so are the four
    ways of reading: the first one used fixes the mode, leaving a loop early loses nothing, one task reads at
    a time. A TransportTimeout of ``idle_timeout`` ends nothing: reading may go on.
    """

    def __init__(self, body: HttpBody, response_metadata: dict[str, Any], options: Options) -> None:
        self._reader = BlockingMediaStream(
            body, response_metadata, strict=options.strict, limits=options.limits
        )
        self._source = LoopSource(self._reader.never_wait())
        self.content_type: str = self._reader.content_type
        self.request_id: str = self._reader.request_id
        self.response_metadata: dict[str, Any] = response_metadata

    def events(
        self, *, tracks: Iterable[int | str | TrackType] = (), key_frames_only: bool = False
    ) -> AsyncIterator[FragmentStart | Frame | FragmentEnd | LateTags | InStreamError | MediaError]:
        """Every event in order, as :meth:`kvsfast.MediaReader.events` gives them."""
        return _Items(self._reader.events(tracks=tracks, key_frames_only=key_frames_only), self._source)

    def frames(
        self, *, tracks: Iterable[int | str | TrackType] = (), key_frames_only: bool = False
    ) -> AsyncIterator[Frame]:
        """Each frame as soon as its last byte has arrived. Raises an InStreamError when its turn comes."""
        return _Items(self._reader.frames(tracks=tracks, key_frames_only=key_frames_only), self._source)

    def fragments(self) -> AsyncIterator[Fragment]:
        """Each fragment when it ends, a cut one too. Raises an InStreamError when its turn comes."""
        return _Items(self._reader.fragments(), self._source)

    async def read(self, size: int = -1, /) -> bytes:
        """The raw media: 1 to ``size`` bytes as soon as some are there, ``b""`` only at the end."""
        while True:
            try:
                return self._reader.read(size)
            except BlockingIOError:
                await self._source.ready()

    async def readinto(self, target: Buffer, /) -> int:
        """Raw media into a writable buffer: 1 or more bytes, 0 only at the end."""
        while True:
            try:
                return self._reader.readinto(target)
            except BlockingIOError:
                await self._source.ready()

    async def iter_chunks(self, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        """The raw media in pieces of 1 to ``chunk_size`` bytes, each as soon as it is there."""
        while piece := await self.read(chunk_size):
            yield piece

    @property
    def output(self) -> GetMediaOutput:
        """The response in botocore's shape; its Payload reads as this stream does."""
        return {**self._reader.output, "Payload": self}  # type: ignore[typeddict-item]

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._reader.closed

    def close(self) -> None:
        """End reading and give the connection back, at once. Idempotent, from any task of the loop: one that
        waits for media gets StreamClosed."""
        self._reader.close()

    async def __aenter__(self) -> Self:
        if self.closed:
            raise UsageError("the stream is closed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._reader).replace("<MediaStream", "<aio.MediaStream")


class _Items(AsyncIterator[Item], Generic[Item]):
    """A blocking iterator that waits on the loop where it would have to wait."""

    __slots__ = ("_iterator", "_source")

    def __init__(self, iterator: Iterator[Item], source: LoopSource) -> None:
        self._iterator = iterator
        self._source = source

    async def __anext__(self) -> Item:
        while True:
            try:
                return next(self._iterator)
            except BlockingIOError:
                await self._source.ready()
            except StopIteration:
                raise StopAsyncIteration from None


class LoopSource:
    """Waits on the loop for a source that does not wait."""

    __slots__ = ("_readiness", "_source")

    def __init__(self, source: TurnSource) -> None:
        self._source = source
        self._readiness = Readiness(source.fileno())
        source.on_close(self._readiness.close)

    async def is_ready(self) -> bool:
        """Return when the source is worth another try. False: it took longer than its patience."""
        if self._source.begin_turn():
            await asyncio.sleep(0)
            return True
        return await self._readiness.wait(self._source.patience)

    async def ready(self) -> None:
        """The same, with a TransportTimeout where it took too long."""
        if not await self.is_ready():
            raise self._source.timed_out()


class Readiness:
    """Waits for one descriptor to become readable.

    The loop is told of the descriptor when somebody first waits, and it is taken back only when there is
    something to read that nobody waits for: a busy stream costs no call of epoll_ctl per wait. Refers to
    nothing of the stream, since the loop refers to it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[bool] | None = None

    async def wait(self, seconds: float) -> bool:
        """True: it is readable, or closed. False: it was neither for so long."""
        if self._waiter is not None:
            raise UsageError("the stream is being read by another task; one task reads at a time")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            loop.add_reader(self._descriptor, self._wake)
            self._loop = loop
        elif self._loop is not loop:
            raise UsageError("the stream belongs to another event loop")
        self._waiter = loop.create_future()
        timer = None if math.isinf(seconds) else loop.call_later(seconds, self._settle, False)
        try:
            return await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Before the descriptor is closed: its number may be another one's soon."""
        self._leave()
        self._settle(True)

    def _wake(self) -> None:
        if self._waiter is None:
            self._leave()
        self._settle(True)

    def _leave(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._descriptor)

    def _settle(self, readable: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(readable)
