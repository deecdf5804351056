"""The client for asyncio: the blocking one's opening, driven by the event loop."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from kvsfast import client as blocking
from kvsfast.aio.consumer import Consumer
from kvsfast.aio.driver import drive
from kvsfast.aio.stream import MediaStream
from kvsfast.endpoint import stream_member
from kvsfast.errors import UsageError
from kvsfast.model import StartSelector
from kvsfast.options import OptionChanges, Options

if TYPE_CHECKING:
    import boto3.session
    import botocore.session

    from kvsfast.consume.checkpoint import CheckpointStore
    from kvsfast.consume.options import SessionChanges

__all__ = ["Client", "Opening"]


class Client:
    """Reads streams of one region with one identity: :class:`kvsfast.Client` for asyncio.

    The keywords are the same. Hooks, signers, transports and endpoint resolvers are those of the blocking
    client, too, and are called in a thread.

    ``threads``: how many calls can be opening at once; further ones wait their turn. Leaving ``async with``,
    or ``close``, lets the threads go.

    UsageError: an argument cannot be, or no region is found. Making a client reads configuration files and
    blocks for some milliseconds: make it once.
    """

    def __init__(self, region_name: str | None = None, *, threads: int = 16, **keywords: Any) -> None:
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise UsageError(f"threads is {threads!r}, expected a whole number of at least 1")
        self._client = blocking.Client(region_name, **keywords)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="kvsfast-aio")

    @classmethod
    def from_session(cls, session: boto3.session.Session | botocore.session.Session, **keywords: Any) -> Self:
        """A client with the region, profile and credentials of a boto3 or botocore session."""
        return cls(session=session, **keywords)

    @property
    def region_name(self) -> str:
        """The region, as given or found."""
        return self._client.region_name

    @property
    def options(self) -> Options:
        """What the calls of this client are made with."""
        return self._client.options

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """A copy with other options. It shares credentials, endpoints, TLS context and threads with this."""
        other = copy.copy(self)
        other._client = self._client.with_options(**changes)
        return other

    def get_media(
        self,
        stream: str | None = None,
        start: StartSelector | Mapping[str, Any] | None = None,
        *,
        StreamName: str | None = None,  # noqa: N803  (botocore's own spelling)
        StreamARN: str | None = None,  # noqa: N803
        StartSelector: Mapping[str, Any] | None = None,  # noqa: N803
        **changes: Unpack[OptionChanges],
    ) -> Opening:
        """One GetMedia call, to be awaited, or used in ``async with``. As :meth:`kvsfast.Client.get_media`.

        A bad argument is a UsageError at once. When the task is cancelled while the call is opening, the
        connection is closed as soon as the thread that makes it comes back.
        """
        stream, selector = blocking.media_arguments(
            stream, start, StreamName=StreamName, StreamARN=StreamARN, StartSelector=StartSelector
        )
        options = self.options.replace(**changes)

        async def open_media() -> MediaStream:
            steps = self._client.opener.open(stream, selector, options)
            body, metadata = await drive(steps, options.ends_at(), spawn=self._spawn)
            return MediaStream(body, metadata, options)

        return Opening(open_media())

    def consume(
        self,
        stream: str,
        start: StartSelector | Mapping[str, Any],
        *,
        checkpoint: str | os.PathLike[str] | CheckpointStore | None = None,
        **options: Unpack[SessionChanges],
    ) -> Consumer:
        """Read a stream for ever. As :meth:`kvsfast.Client.consume`; use it in ``async with``.

        A ``checkpoint`` that is a path is opened here, which blocks for some milliseconds.
        """
        return Consumer(
            self._client.consume(stream, start, checkpoint=checkpoint, **options), spawn=self._spawn
        )

    async def get_data_endpoint(self, stream: str, **changes: Unpack[OptionChanges]) -> str:
        """The URL that serves ``stream``. As :meth:`kvsfast.Client.get_data_endpoint`."""
        stream_member(stream)
        options = self.options.replace(**changes)
        steps = self._client.opener.data_endpoint(stream, options)
        return await drive(steps, options.ends_at(), spawn=self._spawn)

    def close(self) -> None:
        """Let the threads and unused connections go. Open streams go on; new calls are a UsageError."""
        self._threads.shutdown(wait=False)
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<kvsfast.aio.Client region_name={self.region_name!r}>"

    def _spawn(self, run: Callable[[], None]) -> object:
        try:
            return self._threads.submit(run)
        except RuntimeError as error:
            raise UsageError("the client is closed") from error


class Opening(Coroutine[Any, Any, MediaStream]):
    """A call that is being opened: ``media = await opening``, or ``async with opening as media``, which
    closes the stream in the end."""

    def __init__(self, opening: Coroutine[Any, Any, MediaStream]) -> None:
        self._opening = opening
        self._media: MediaStream | None = None

    def __await__(self) -> Generator[Any, None, MediaStream]:
        return self._opening.__await__()

    def send(self, value: Any) -> Any:
        """Of the coroutine protocol, so that ``asyncio.create_task`` takes it."""
        return self._opening.send(value)

    def throw(self, *error: Any) -> Any:
        """Of the coroutine protocol."""
        return self._opening.throw(*error)

    def close(self) -> None:
        """Of the coroutine protocol: it will not be awaited."""
        self._opening.close()

    async def __aenter__(self) -> MediaStream:
        self._media = await self._opening
        return self._media

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._media is not None:
            self._media.close()
