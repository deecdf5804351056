"""Reading a body off real sockets: modes, timeouts, closing, and every way a body can end."""

from __future__ import annotations

import functools
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kvsfast import FragmentEnd, FragmentStart, Frame, InStreamError, MediaStream
from kvsfast.errors import (
    MediaError,
    StreamClosed,
    TransportError,
    TransportTimeout,
    TruncatedMedia,
    UsageError,
)
from kvsfast.protocols import Request
from kvsfast.stream import HttpBody
from kvsfast.transport import HttpTransport
from tests.mkv_writer import Block, error_document, service_fragment
from tests.wire import CHUNKED_HEAD, HANG, LAST_CHUNK, Peer, Script, Server, authority, head, http_chunk

FRAMES = [b"\x01" * 5000, b"\x02" * 3, b"\x03" * 100_000]
FIRST = service_fragment(sequence=1, frames=[Block(data, time=i * 40) for i, data in enumerate(FRAMES)])
SECOND = service_fragment(sequence=2, frames=[Block(b"last")])


def chunked(data: bytes, size: int = 1000) -> bytes:
    return b"".join(http_chunk(data[i : i + size]) for i in range(0, len(data), size))


def all_at_once(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + chunked(data) + LAST_CHUNK)
        peer.until_closed()

    return script


@pytest.fixture(params=["tcp", "tls"])
def tls(request: pytest.FixtureRequest) -> ssl.SSLContext | None:
    return authority().server_context() if request.param == "tls" else None


@functools.cache
def transport() -> HttpTransport:
    return HttpTransport(verify=authority().bundle, proxies={})


def open_media(
    server: Server,
    *,
    idle_timeout: float = HANG,
    seconds: float = math.inf,
    on_close: Any = lambda: None,
    **keywords: Any,
) -> MediaStream:
    request = Request("POST", server.url + "/getMedia", {}, b"{}")
    response = transport().send(request, connect_timeout=HANG, response_timeout=HANG)
    metadata = {"HTTPHeaders": dict(response.headers), "RequestId": "request-1", "Endpoint": server.url}
    body = HttpBody(
        response, idle_timeout=idle_timeout, deadline=time.monotonic() + seconds, on_close=on_close
    )
    return MediaStream(body, metadata, **keywords)


@contextmanager
def media_of(script: Script, *, tls: ssl.SSLContext | None = None, **keywords: Any) -> Iterator[MediaStream]:
    with Server(script, tls=tls) as server, open_media(server, **keywords) as media:
        yield media


def read_all(media: MediaStream, size: int = 4096) -> bytes:
    got = bytearray()
    while data := media.read(size):
        assert 1 <= len(data) <= size
        got += data
    return bytes(got)


# -- what is read


def test_frames_fragments_and_events(tls: ssl.SSLContext | None) -> None:
    with media_of(all_at_once(FIRST + SECOND), tls=tls) as media:
        assert media.content_type == "video/webm" and media.request_id == "request-1"
        assert [bytes(frame) for frame in media.frames()] == [*FRAMES, b"last"]
    with media_of(all_at_once(FIRST + SECOND), tls=tls) as media:
        fragments = list(media.fragments())
        assert [[bytes(frame) for frame in fragment.frames] for fragment in fragments] == [FRAMES, [b"last"]]
        assert all(fragment.is_complete for fragment in fragments)
    with media_of(all_at_once(FIRST + SECOND), tls=tls) as media:
        kinds = [FragmentStart, Frame, Frame, Frame, FragmentEnd, FragmentStart, Frame, FragmentEnd]
        assert [type(event) for event in media.events()] == kinds


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_read(size: int) -> None:
    data = FIRST[:3000] if size == 1 else FIRST
    with media_of(all_at_once(data)) as media:
        assert read_all(media, size) == data
        assert media.read(size) == b""


def test_readinto() -> None:
    with media_of(all_at_once(FIRST)) as media:
        got, window = bytearray(), bytearray(5000)
        assert media.readinto(bytearray()) == 0
        while n := media.readinto(window):
            got += window[:n]
        assert bytes(got) == FIRST


def test_read_gives_what_is_there() -> None:
    """One byte at a time from the service, each seen before the next is sent."""
    taken = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        for i in range(20):
            peer.send(http_chunk(bytes([i])))
            assert taken.acquire(timeout=HANG)
        peer.send(LAST_CHUNK)
        peer.until_closed()

    with media_of(script) as media:
        for i in range(20):
            assert media.read(65536) == bytes([i])
            taken.release()
        assert media.read(65536) == b""


def test_a_frame_is_there_when_its_last_byte_is(tls: ssl.SSLContext | None) -> None:
    taken = threading.Semaphore(0)
    end = FIRST.index(FRAMES[1]) + len(FRAMES[1])

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(FIRST[:end]))
        assert taken.acquire(timeout=HANG)
        peer.send(http_chunk(FIRST[end:]) + LAST_CHUNK)
        peer.until_closed()

    with media_of(script, tls=tls) as media:
        frames = media.frames()
        assert [bytes(next(frames)), bytes(next(frames))] == FRAMES[:2]
        taken.release()
        assert bytes(next(frames)) == FRAMES[2]


def test_bodies_without_http_chunks() -> None:
    def counted(peer: Peer) -> None:
        peer.send(head(Content_Length=str(len(FIRST))) + FIRST)
        peer.until_closed()

    def to_the_close(peer: Peer) -> None:
        peer.send(head(Connection="close") + FIRST)
        peer.close()
        peer.until_closed()

    for script in (counted, to_the_close):
        with media_of(script) as media:
            assert [bytes(frame) for frame in media.frames()] == FRAMES


def test_an_empty_body() -> None:
    with media_of(all_at_once(b"")) as media:
        assert list(media.frames()) == []
    with media_of(all_at_once(b"")) as media:
        assert media.read(10) == b""


# -- modes


@pytest.mark.parametrize("first", ["events", "frames", "fragments", "read"])
def test_the_first_way_of_reading_is_the_only_one(first: str) -> None:
    ways: dict[str, Callable[[MediaStream], Any]] = {
        "events": lambda media: media.events(),
        "frames": lambda media: media.frames(),
        "fragments": lambda media: media.fragments(),
        "read": lambda media: media.read(1),
    }
    with media_of(all_at_once(FIRST)) as media:
        ways[first](media)
        for other, way in ways.items():
            if other != first:
                with pytest.raises(UsageError, match=rf"read by {first}\(\).*{other}\(\)"):
                    way(media)
        ways[first](media)
        if first == "read":
            assert media.readinto(bytearray(1)) == 1


def test_leaving_a_loop_loses_nothing() -> None:
    with media_of(all_at_once(FIRST + SECOND)) as media:
        got = []
        for _ in range(4):
            for frame in media.frames():
                got.append(bytes(frame))
                break
        assert got == [*FRAMES, b"last"]
        assert list(media.frames()) == list(media.frames()) == []


def test_reading_everything_is_refused() -> None:
    with media_of(all_at_once(FIRST)) as media:
        for size in ((), (-1,)):
            with pytest.raises(UsageError, match=r"say how much at most, as in read\(65536\)"):
                media.read(*size)
        assert media.read(0) == b""
        assert media.read(10) == FIRST[:10]


# -- time


def test_a_timeout_and_then_more(tls: ssl.SSLContext | None) -> None:
    """In the middle of a frame and in the middle of an HTTP chunk's size line."""
    cuts = [chunked(FIRST).index(b"\x01" * 100) + 50, chunked(FIRST).rindex(b"\r\n3e8\r\n") + 3]
    wire = chunked(FIRST)
    parts = [wire[: cuts[0]], wire[cuts[0] : cuts[1]], wire[cuts[1] :] + LAST_CHUNK]
    more = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        for part in parts:
            assert more.acquire(timeout=HANG)
            peer.send(part)
        peer.until_closed()

    for way in ("frames", "read"):
        with media_of(script, tls=tls, idle_timeout=0.03) as media:
            got = []
            timeouts: list[Exception] = []
            while True:
                try:
                    for piece in media.frames() if way == "frames" else iter(lambda: media.read(65536), b""):
                        got.append(bytes(piece))
                    break
                except TransportTimeout as error:
                    timeouts.append(error)
                    more.release()
            assert len(timeouts) >= 3
            assert all(
                "idle_timeout=0.03" in str(error) and isinstance(error, TimeoutError) for error in timeouts
            )
            assert b"".join(got) == (b"".join(FRAMES) if way == "frames" else FIRST)


def test_deadline() -> None:
    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(FIRST[:-1]))
        peer.until_closed()

    with media_of(script, seconds=1.5) as media:
        frames = media.frames()
        assert [bytes(next(frames)) for _ in FRAMES] == FRAMES
        for _ in range(2):
            with pytest.raises(TransportTimeout, match="deadline") as caught:
                next(frames)
            assert not caught.value.retryable


# -- ends


def closed_connection(script: Script, read: Callable[[MediaStream], None], **keywords: Any) -> None:
    """The connection is closed by the time ``read`` is done, without ``close()``."""
    gone = threading.Event()
    closes: list[None] = []

    def watched(peer: Peer) -> None:
        script(peer)
        peer.until_closed()
        gone.set()

    with Server(watched) as server:
        media = open_media(server, on_close=lambda: closes.append(None), **keywords)
        read(media)
        assert gone.wait(HANG)
        assert len(closes) == 1
        media.close()
        assert len(closes) == 1


def test_the_connection_is_closed_at_the_end() -> None:
    def read(media: MediaStream) -> None:
        assert len(list(media.frames())) == len(FRAMES)

    closed_connection(lambda peer: peer.send(CHUNKED_HEAD + chunked(FIRST) + LAST_CHUNK), read)
    closed_connection(lambda peer: peer.send(head(Content_Length=str(len(FIRST))) + FIRST), read)


def failing(error: type[Exception], match: str, complete: int) -> Callable[[MediaStream], None]:
    def read(media: MediaStream) -> None:
        frames = media.frames()
        for _ in range(complete):
            next(frames)
        for _ in range(2):  # and it stays so
            with pytest.raises(error, match=match):
                next(frames)

    return read


def test_the_connection_is_closed_at_an_error() -> None:
    cut = FIRST[:-1000]

    def no_last_chunk(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + chunked(FIRST))
        peer.close()

    def short(peer: Peer) -> None:
        peer.send(head(Content_Length=str(len(FIRST))) + cut)
        peer.close()

    closed_connection(no_last_chunk, failing(TransportError, "last chunk is missing", 3))
    closed_connection(short, failing(TransportError, "1000 more were announced", 2))
    closed_connection(
        lambda peer: peer.send(CHUNKED_HEAD + http_chunk(FIRST) + b"zz\r\n"),
        failing(TransportError, "hexadecimal", 3),
    )
    closed_connection(
        lambda peer: peer.send(CHUNKED_HEAD + http_chunk(FIRST + b"\xff\xff\xff\xff" * 10)),
        failing(MediaError, "at byte", 3),
    )


def test_a_reset_in_the_body() -> None:
    ready = threading.Event()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(FIRST))
        ready.wait(HANG)
        peer.reset()

    with media_of(script) as media:
        frames = media.frames()
        assert [bytes(next(frames)) for _ in FRAMES] == FRAMES
        ready.set()
        with pytest.raises(TransportError, match=r"connection broke after [0-9]+ bytes") as caught:
            next(frames)
        assert isinstance(caught.value.__cause__, ConnectionResetError) and caught.value.retryable


def test_a_body_that_ends_inside_an_element() -> None:
    with media_of(all_at_once(FIRST[:-1000])) as media:
        assert [bytes(frame) for frame in media.frames()] == FRAMES[:2]
    with media_of(all_at_once(FIRST[:-1000]), strict=True) as media, pytest.raises(TruncatedMedia):
        list(media.frames())


def test_an_error_that_the_service_wrote() -> None:
    with media_of(all_at_once(FIRST + error_document())) as media:
        frames = media.frames()
        assert [bytes(next(frames)) for _ in FRAMES] == FRAMES
        with pytest.raises(InStreamError) as caught:
            next(frames)
        assert caught.value.error_id == 3000
    with media_of(all_at_once(error_document())) as media:
        (event,) = media.events()
        assert isinstance(event, InStreamError)


# -- closing


def until_it_waits(peer: Peer) -> None:
    peer.send(CHUNKED_HEAD + http_chunk(FIRST))
    peer.until_closed()


@pytest.mark.parametrize("way", ["frames", "read"])
def test_close_from_another_thread(way: str, tls: ssl.SSLContext | None) -> None:
    with media_of(until_it_waits, tls=tls, idle_timeout=math.inf) as media:
        waiting = threading.Event()
        ended: list[BaseException] = []

        def read() -> None:
            try:
                if way == "frames":
                    for n, _ in enumerate(media.frames()):
                        if n == len(FRAMES) - 1:
                            waiting.set()
                else:
                    left = len(FIRST)
                    while data := media.read(65536):
                        left -= len(data)
                        if not left:
                            waiting.set()
            except BaseException as error:
                ended.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        assert waiting.wait(HANG)
        reader.join(0.05)  # most likely it is inside recv by now; the test holds either way
        media.close()
        reader.join(HANG)
        assert [type(error) for error in ended] == [StreamClosed]
        media.close()


def test_a_closed_stream() -> None:
    with media_of(all_at_once(FIRST)) as media:
        frames = media.frames()
        next(frames)
    assert media.closed
    with pytest.raises(UsageError, match="closed"):
        media.frames()
    with pytest.raises(UsageError, match="closed"):
        media.__enter__()
    with pytest.raises(StreamClosed):
        media.read(1)
    media.close()


def test_closing_before_anything_was_read() -> None:
    with media_of(until_it_waits):
        pass


def test_two_readers_at_once_are_refused() -> None:
    with media_of(until_it_waits, idle_timeout=math.inf) as media:
        frames = media.frames()
        for _ in FRAMES:
            next(frames)

        def read() -> None:
            with pytest.raises(StreamClosed):
                next(frames)

        reader = threading.Thread(target=read)
        reader.start()
        while not media._turnstile.is_taken:
            time.sleep(0.001)
        with pytest.raises(UsageError, match="read by another thread"):
            next(media.frames())
        media.close()
        reader.join(HANG)


def test_a_dropped_stream_gives_its_connection_back() -> None:
    closes: list[None] = []
    with Server(until_it_waits) as server:
        media = open_media(server, on_close=lambda: closes.append(None))
        assert bytes(next(media.frames())) == FRAMES[0]
        with pytest.warns(ResourceWarning, match="without close"):
            del media
        assert closes == [None]


def test_repr_tells_nothing_secret() -> None:
    with media_of(all_at_once(FIRST)) as media:
        assert repr(media).startswith("<MediaStream open request_id='request-1' endpoint='http://127.0.0.1:")
