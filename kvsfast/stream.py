"""Reading: one body, read in one of four ways, by one thread at a time.

A :class:`MediaReader` lies between a source of bytes and the compiled parser. The source fills the parser's
own receive buffer; the compiled iterators call ``fill`` once per receive, never per event.
:class:`MediaStream` is the reader of a GetMedia response.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer
from kvsfast._native.iterators import EventIterator, FragmentIterator, FrameIterator
from kvsfast._native.parser import FragmentParser
from kvsfast.errors import StreamClosed, TransportError, TransportTimeout, UsageError
from kvsfast.model import Limits
from kvsfast.protocols import Response

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from kvsfast._native.frames import Fragment, FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast.errors import InStreamError, MediaError

__all__ = ["MediaReader", "MediaStream"]

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where media bytes come from."""

    def attach(self, buffer: ReceiveBuffer) -> None:
        """The buffer that ``fill`` is to write to. Called once, before the first ``fill``."""

    def fill(self) -> bool:
        """Wait for bytes and commit them. False: the body ended cleanly, now or before."""

    def shutdown(self) -> None:
        """Wake a ``fill`` that waits in another thread."""

    def close(self) -> None:
        """Give everything back. Idempotent; no ``fill`` is running."""


class MediaReader:
    """Media of one source as raw bytes, events, frames or fragments.

    The first of ``read``/``readinto``, ``events``, ``frames`` and ``fragments`` fixes the mode; another one
    is a UsageError, the same one again goes on where it stopped, so leaving a loop early loses nothing.
    Leaving ``with`` closes. Errors of the media and of the wire are raised after everything complete was
    delivered; after a TransportTimeout reading may go on.
    """

    def __init__(
        self,
        source: Source,
        *,
        strict: bool = False,
        limits: Limits | None = None,
        trailer: bool | None = None,
        resync: bool = False,
    ) -> None:
        self._source = source
        self._resync = resync
        self._strict = strict
        self._limits = limits or Limits()
        self._trailer = trailer
        self._mode = ""
        self._parser: FragmentParser | None = None
        self._buffer: ReceiveBuffer | None = None
        self._failure: Exception | None = None
        self._is_at_end = False
        self._is_closed = False
        self._busy = threading.Lock()

    # -- the four ways of reading

    def events(self) -> Iterator[FragmentStart | Frame | FragmentEnd | LateTags | InStreamError | MediaError]:
        """Every event in order: FragmentStart, Frame, FragmentEnd, LateTags, InStreamError (not raised), and
        with ``resync`` MediaError."""
        return EventIterator(self._parser_for("events"), self._fill)

    def frames(self) -> Iterator[Frame]:
        """Each frame as soon as its last byte has arrived. Raises an InStreamError when its turn comes."""
        return FrameIterator(self._parser_for("frames"), self._fill)

    def fragments(self) -> Iterator[Fragment]:
        """Each fragment when it ends, a cut one too. Raises an InStreamError when its turn comes."""
        return FragmentIterator(self._parser_for("fragments"), self._fill)

    def read(self, size: int = -1, /) -> bytes:
        """The raw media: 1 to ``size`` bytes as soon as some are there, ``b""`` only at the end.

        There is no reading of everything, since a live stream has no end: ``read()`` is a UsageError.
        """
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise UsageError(
                f"read({'' if size == -1 else size}) would wait for the end of a stream that may have none; "
                "say how much at most, as in read(65536), and read until b''"
            )
        buffer = self._raw_buffer()
        if size == 0:
            return b""
        while not buffer.readable:
            if not self._fill():
                return b""
        return buffer.take(size)

    def readinto(self, target: Buffer, /) -> int:
        """Raw media into a writable buffer: 1 or more bytes, 0 only at the end."""
        view = memoryview(target)
        if view.readonly:
            raise UsageError(f"readinto needs a writable buffer, {type(target).__name__} is none")
        buffer = self._raw_buffer()
        if not view.nbytes:
            return 0
        while not buffer.readable:
            if not self._fill():
                return 0
        return buffer.take_into(target)

    # -- lifecycle

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    def close(self) -> None:
        """End reading and give the source back. Idempotent, from any thread: a blocked reader gets
        StreamClosed."""
        self._is_closed = True
        self._source.shutdown()
        self._close_source()

    def __enter__(self) -> Self:
        if self._is_closed:
            raise UsageError("the stream is closed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self) -> bool:
        if not self._busy.acquire(blocking=False):
            raise UsageError(
                "the stream is being read by another thread; a reader serves one thread at a time"
            )
        try:
            if self._is_closed:
                raise StreamClosed
            if self._failure is not None:
                raise self._failure
            if self._is_at_end:
                return False
            try:
                more = self._source.fill()
            except TransportTimeout:
                raise
            except Exception as error:  # of the wire, or of the user's own source
                if self._is_closed:
                    raise StreamClosed from error
                self._failure = error
                self._source.close()
                raise
            if self._is_closed:
                raise StreamClosed
            if not more:
                self._is_at_end = True
                self._source.close()
            return more
        finally:
            self._busy.release()
            if self._is_closed:
                self._close_source()

    def _close_source(self) -> None:
        """Unless a reader is inside: then the reader does it on its way out."""
        if self._busy.acquire(blocking=False):
            try:
                self._source.close()
            finally:
                self._busy.release()

    def _enter(self, mode: str) -> None:
        if self._mode and self._mode != mode:
            raise UsageError(
                f"the stream is being read by {self._mode}(); it cannot be read by {mode}() as well"
            )
        self._mode = mode

    def _parser_for(self, mode: str) -> FragmentParser:
        if self._is_closed:
            raise UsageError("the stream is closed")
        self._enter(mode)
        if self._parser is None:
            self._parser = FragmentParser(
                keep_fragments=mode == "fragments",
                strict=self._strict,
                trailer=self._trailer,
                limits=self._limits,
                resync=self._resync,
            )
            self._parser.on_broken = self._source.close  # not a method of ours, which would make a circle
            self._source.attach(self._parser.buffer)
        return self._parser

    def _raw_buffer(self) -> ReceiveBuffer:
        if self._is_closed:
            raise StreamClosed
        self._enter("read")
        if self._buffer is None:
            self._buffer = ReceiveBuffer()
            self._source.attach(self._buffer)
        return self._buffer


class MediaStream(MediaReader):
    """The response of one GetMedia call. The connection is open until the body ends, or until ``close``.

    ``content_type``: what the service says (``video/webm``, although the media is Matroska); ``request_id``:
    to be named to AWS support; ``response_metadata``: botocore's dict with RequestId, HTTPStatusCode,
    HTTPHeaders and RetryAttempts, and with Endpoint, Host (the peer's address), Attempts (a list: the error
    of each attempt that failed), Timings (seconds) and TLS (version and cipher, or None).
    """

    content_type: str
    request_id: str
    response_metadata: dict[str, Any]

    def __init__(
        self,
        body: HttpBody,
        response_metadata: dict[str, Any],
        *,
        strict: bool = False,
        limits: Limits | None = None,
        trailer: bool | None = True,
    ) -> None:
        super().__init__(body, strict=strict, limits=limits, trailer=trailer)
        headers: Mapping[str, str] = response_metadata["HTTPHeaders"]
        self.content_type = headers.get("content-type", "")
        self.request_id = response_metadata["RequestId"]
        self.response_metadata = response_metadata

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        endpoint = self.response_metadata["Endpoint"]
        return f"<MediaStream {state} request_id={self.request_id!r} endpoint={endpoint!r}>"


class HttpBody:
    """The body of a response as a source: straight from the socket into the buffer, framing stripped there.

    ``idle_timeout``: seconds without a byte; ``deadline``: when the whole call must be over, by
    ``time.monotonic``. ``on_close`` is called once, when the connection is given back.
    """

    def __init__(
        self,
        response: Response,
        *,
        idle_timeout: float = math.inf,
        deadline: float = math.inf,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._response = response
        self._recv_into = response.recv_into
        self._idle_timeout = idle_timeout
        self._deadline = deadline
        self._on_close = on_close
        self._broken: TransportError | None = None
        self._is_closed = False
        response.set_timeout(idle_timeout)

    def attach(self, buffer: ReceiveBuffer) -> None:
        response = self._response
        self._buffer = buffer
        self._decoder = BodyDecoder(buffer, chunked=response.is_chunked, length=response.length)
        self._early = response.detach()

    def fill(self) -> bool:
        decoder = self._decoder
        if self._broken is not None:
            raise self._broken
        if decoder.is_complete:
            return False
        early, self._early = self._early, b""
        received = 0 if early else self._receive()
        try:
            if early:
                decoder.feed(early)
            elif received:
                decoder.commit(received)
            else:
                decoder.receive_eof()
        except TransportError as error:
            self._broken = error  # for the next time: there may be media in front of what is broken
        if decoder.is_complete or self._broken is not None:
            self.close()  # at once: the reader may be in no hurry to ask for more
        return True

    def _receive(self) -> int:
        if self._deadline < math.inf:
            self._limit_wait()
        try:
            return self._recv_into(self._buffer)
        except TimeoutError as error:
            self._buffer.release()
            if time.monotonic() >= self._deadline:
                raise self._deadline_passed() from error
            raise TransportTimeout(
                f"no media for idle_timeout={self._idle_timeout:g} s; reading may go on"
            ) from error
        except OSError as error:
            received = self._decoder.wire_bytes
            raise TransportError(
                f"the connection broke after {received} bytes of the body: {error}"
            ) from error

    def _limit_wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._deadline_passed()
        self._response.set_timeout(min(left, self._idle_timeout))

    def _deadline_passed(self) -> TransportTimeout:
        return TransportTimeout(
            "the deadline of the call has passed while its body was read", retryable=False
        )

    def shutdown(self) -> None:
        if not self._is_closed:
            self._response.shutdown()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._response.close()
            self._on_close()

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            warnings.warn(
                "a media stream was dropped without close(); use it in a with statement",
                ResourceWarning,
                stacklevel=2,
            )
            self.close()
