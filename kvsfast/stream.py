"""Reading: one body, read in one of four ways, by one thread at a time.

A :class:`MediaReader` lies between a source of bytes and the compiled parser. The source fills the parser's
own receive buffer; the compiled iterators call ``fill`` once per receive, never per event.
:class:`MediaStream` is the reader of a GetMedia response.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer
from kvsfast._native.intake import Intake, Turnstile
from kvsfast._native.iterators import EventIterator, FragmentIterator, FrameIterator, SelectedIterator
from kvsfast._native.parser import FragmentParser
from kvsfast._native.selection import Selection
from kvsfast.errors import StreamClosed, TransportError, TransportTimeout, UsageError
from kvsfast.forking import generation
from kvsfast.model import Limits
from kvsfast.protocols import Response
from kvsfast.read_ahead import ReadAhead, Source
from kvsfast.readiness import TurnSource
from kvsfast.shapes import GetMediaOutput

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from kvsfast._native.delivery import Delivery
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast.errors import InStreamError, MediaError
    from kvsfast.model import TrackType

__all__ = ["MediaReader", "MediaStream"]

log = logging.getLogger(__name__)


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
        self._born = generation()
        self._turnstile = Turnstile()

    # -- the four ways of reading

    def events(
        self, *, tracks: Iterable[int | str | TrackType] = (), key_frames_only: bool = False
    ) -> Iterator[FragmentStart | Frame | FragmentEnd | LateTags | InStreamError | MediaError]:
        """Every event in order: FragmentStart, Frame, FragmentEnd, LateTags, InStreamError (not raised), and
        with ``resync`` MediaError. ``tracks``, ``key_frames_only``: as of ``frames``."""
        if selection := Selection(tracks, key_frames_only):
            return SelectedIterator(self._parser_for("events"), self._fill, selection, True)
        return EventIterator(self._parser_for("events"), self._fill)

    def frames(
        self, *, tracks: Iterable[int | str | TrackType] = (), key_frames_only: bool = False
    ) -> Iterator[Frame]:
        """Each frame as soon as its last byte has arrived. Raises an InStreamError when its turn comes.

        ``tracks``: of these only, by number, name or TrackType. Of others no object is made.
        """
        if selection := Selection(tracks, key_frames_only):
            return SelectedIterator(self._parser_for("frames"), self._fill, selection, False)
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

    def iter_chunks(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """The raw media in pieces of 1 to ``chunk_size`` bytes, each as soon as it is there: botocore's name
        for it, for code that comes from there."""
        while piece := self.read(chunk_size):
            yield piece

    # -- for those who loop themselves

    def parser(self, mode: str) -> FragmentParser:
        """The parser that ``receive`` feeds, for "events", "frames" or "fragments". It fixes the mode."""
        return self._parser_for(mode)

    def receive(self) -> bool:
        """One receive into the parser. False: the media is over. Raises as the iterators do."""
        return self._fill()

    def read_ahead(self, limit: int) -> None:
        """From now on a thread reads at most ``limit`` bytes ahead. To be said before reading begins."""
        if self._mode:
            raise UsageError("the stream is being read already; say read_ahead before")
        self._source = ReadAhead(self._source, limit)

    def never_wait(self) -> TurnSource:
        """From now on reading raises BlockingIOError where it would have to wait; what is returned says for
        what. UsageError: the source cannot be read so."""
        if not isinstance(self._source, HttpBody):
            raise UsageError("only a response that nobody reads ahead can be read without waiting")
        self._source = source = TurnSource(self._source, self._turnstile)
        return source

    # -- lifecycle

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._turnstile.is_shut

    def close(self) -> None:
        """End reading and give the source back. Idempotent, from any thread: a blocked reader gets
        StreamClosed."""
        self._turnstile.is_shut = True
        self._source.shutdown()
        if self._born != generation():
            self._turnstile.leave()  # whoever is inside does not exist in this process
        self._close_source()

    def __enter__(self) -> Self:
        if self._turnstile.is_shut:
            raise UsageError("the stream is closed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self) -> bool:
        if not self._turnstile.enter():
            raise UsageError(
                "the stream is being read by another thread; a reader serves one thread at a time"
            )
        try:
            if self._turnstile.is_shut:
                raise StreamClosed
            if self._born != generation():
                raise UsageError("the stream belongs to the process that opened it; open one after the fork")
            if self._failure is not None:
                raise self._failure
            if self._is_at_end:
                return False
            try:
                more = self._source.fill()
            except (TransportTimeout, BlockingIOError):
                raise  # nothing was lost, and reading may go on
            except Exception as error:  # of the wire, or of the user's own source
                if self._turnstile.is_shut:
                    raise StreamClosed from error
                self._failure = error
                self._source.close()
                raise
            if self._turnstile.is_shut:
                raise StreamClosed
            if not more:
                self._is_at_end = True
                self._source.close()
            return more
        finally:
            self._turnstile.leave()
            if self._turnstile.is_shut:
                self._close_source()

    def _close_source(self) -> None:
        """Unless a reader is inside: then the reader does it on its way out."""
        if self._turnstile.enter():
            try:
                self._source.close()
            finally:
                self._turnstile.leave()

    def _enter(self, mode: str) -> None:
        if self._mode and self._mode != mode:
            raise UsageError(
                f"the stream is being read by {self._mode}(); it cannot be read by {mode}() as well"
            )
        self._mode = mode

    def _parser_for(self, mode: str) -> FragmentParser:
        if self._turnstile.is_shut:
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
        if self._turnstile.is_shut:
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
        body: Source,
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

    @property
    def output(self) -> GetMediaOutput:
        """The response in botocore's shape."""
        return {
            "ContentType": self.content_type,
            "Payload": self,
            "ResponseMetadata": self.response_metadata,
        }

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        endpoint = self.response_metadata["Endpoint"]
        return f"<MediaStream {state} request_id={self.request_id!r} endpoint={endpoint!r}>"


class HttpBody:
    """The body of a response as a source: straight from the socket into the buffer, framing stripped there.

    ``idle_timeout``: seconds without a byte; ``deadline``: when the whole call must be over, by
    ``time.monotonic``. ``on_close`` is called once, when the connection is given back. ``keep``: the
    connection may serve another request. For media it must not: whether the service counts a connection that
    is open and idle is not known, and it allows three.
    """

    def __init__(
        self,
        response: Response,
        *,
        idle_timeout: float = math.inf,
        deadline: float = math.inf,
        on_close: Callable[[], None] = lambda: None,
        keep: bool = False,
    ) -> None:
        self._keep = keep
        self._response = response
        self._recv_into = response.recv_into
        self._idle_timeout = idle_timeout
        self._deadline = deadline
        self._on_close = on_close
        self._may_wait = True
        self._is_drained = False
        #: Called while the descriptor is still that of the connection.
        self.before_close: Callable[[], None] = lambda: None
        self._received = 0
        self._decoder: BodyDecoder | None = None
        self._broken: TransportError | None = None
        self._failed: OSError | None = None
        self._is_closed = False
        self._born = generation()
        response.set_timeout(idle_timeout)

    def set_idle_timeout(self, seconds: float) -> None:
        """From now on so long without a byte is a TransportTimeout. To be said before reading begins."""
        self._idle_timeout = seconds
        self._response.set_timeout(seconds)

    def attach(self, buffer: ReceiveBuffer) -> None:
        response = self._response
        self._buffer = buffer
        self._decoder = BodyDecoder(buffer, chunked=response.is_chunked, length=response.length)
        self._early = response.detach()

    def fill(self) -> bool:
        decoder = self._decoder
        assert decoder is not None, "attach comes first"
        if self._broken is not None:
            raise self._broken
        if decoder.is_complete:
            return False
        early, self._early = self._early, b""
        received = 0 if early else self._receive()
        self._received += received or len(early)
        try:
            if early:
                decoder.feed(early)
            elif received:
                decoder.commit(received)
            else:
                decoder.receive_eof()
        except TransportError as error:
            self.broke(error)
        if decoder.is_complete:
            self.close()  # at once: the reader may be in no hurry to ask for more
        return True

    def broke(self, error: TransportError) -> None:
        """The framing is broken: raised by the next ``fill``, since there may be media in front of it."""
        self._broken = error
        self.close()

    # -- for who waits for many sockets at once

    def never_wait(self) -> None:
        """From now on ``fill`` raises BlockingIOError where it would have to wait."""
        self._may_wait = False
        self._response.set_timeout(0.0)

    def fileno(self) -> int:
        """The descriptor that becomes readable when ``fill`` is worth another try."""
        return self._response.fileno()

    def intake(
        self,
        turnstile: Turnstile,
        delivery: Delivery,
        *,
        receives: int,
        wait_begins: Callable[[], None],
        wait_ends: Callable[[], None],
    ) -> Intake:
        """The short way into a parser. After ``never_wait`` and ``attach``; the bytes that came with the head
        are for ``fill``."""
        assert self._decoder is not None, "attach comes first"
        return Intake(
            delivery,
            self._decoder,
            turnstile,
            self,
            self._recv_into,
            self._response.pending,
            receives=receives,
            idle_timeout=self._idle_timeout,
            deadline=self._deadline,
            wait_begins=wait_begins,
            wait_ends=wait_ends,
        )

    def failed(self, error: OSError) -> None:
        """A receive failed elsewhere: raised by the next ``fill``, since the kernel tells it only once."""
        self._failed = error

    @property
    def patience(self) -> float:
        """How long to wait for the next bytes, in seconds from now."""
        now = time.monotonic()
        return max(0.0, self.patient_until(now) - now)

    def patient_until(self, now: float) -> float:
        """When a wait that begins ``now`` has taken too long."""
        return min(now + self._idle_timeout, self._deadline)

    def timed_out(self) -> TransportTimeout:
        """What a wait that took all of ``patience`` ends with."""
        if time.monotonic() >= self._deadline:
            return TransportTimeout(
                "the deadline of the call has passed while its body was read", retryable=False
            )
        return TransportTimeout(f"no media for idle_timeout={self._idle_timeout:g} s; reading may go on")

    def _receive(self) -> int:
        if self._may_wait and self._deadline < math.inf:
            if (patience := self.patience) <= 0:
                raise self.timed_out()
            self._response.set_timeout(patience)
        if self._is_drained:
            # The receive before brought less than it might have: the next one would only say so.
            self._is_drained = False
            self._buffer.release()
            raise BlockingIOError("nothing more is there")
        try:
            if self._failed is not None:
                raise self._failed
            if self._may_wait:
                return self._recv_into(self._buffer)
            room = len(self._buffer)
            received = self._recv_into(self._buffer)
            self._is_drained = 0 < received < room and not self._response.pending()
            return received
        except BlockingIOError:
            self._buffer.release()
            raise
        except TimeoutError as error:
            self._buffer.release()
            raise self.timed_out() from error
        except OSError as error:
            decoder = self._decoder
            received = 0 if decoder is None else decoder.wire_bytes
            raise TransportError(
                f"the connection broke after {received} bytes of the body: {error}"
            ) from error

    def shutdown(self) -> None:
        if not self._is_closed:
            self._response.shutdown()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.before_close()
            if self._keep and self._is_whole():
                self._response.finish()
            else:
                self._response.close()
            self._on_close()

    def _is_whole(self) -> bool:
        """The body came to its end, and nothing behind it."""
        decoder = self._decoder
        return decoder is not None and decoder.is_complete and decoder.wire_bytes == self._received

    def __del__(self) -> None:
        if getattr(self, "_is_closed", True):
            return
        if self._born == generation():
            warnings.warn(
                "a media stream was dropped without close(); use it in a with statement",
                ResourceWarning,
                stacklevel=2,
            )
        self.close()


def read_short(response: Response, limit: int, timeout: float) -> bytes:
    """At most ``limit`` bytes of a body that is not media, such as an error's, as far as they came within
    ``timeout`` seconds. The connection is given back."""
    body = HttpBody(response, deadline=time.monotonic() + timeout, keep=True)
    buffer = ReceiveBuffer()
    body.attach(buffer)
    content = bytearray()
    try:
        while len(content) < limit and body.fill():
            content += buffer.take(min(buffer.readable, limit - len(content)))
    except TransportError as error:
        log.debug(
            "the body of the %d response ended after %d bytes: %s", response.status, len(content), error
        )
    finally:
        body.close()
    return bytes(content)
