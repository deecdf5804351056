"""``kvsfast.parse``: whatever the media comes from, the same frames come out."""

from __future__ import annotations

import array
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.response
import pytest
import urllib3
from botocore.config import Config

import kvsfast
from kvsfast.errors import TransportError, TruncatedMedia, UsageError
from tests.mkv_writer import Block, service_fragment
from tests.wire import CHUNKED_HEAD, HANG, LAST_CHUNK, Peer, Script, Server, head, http_chunk

FRAMES = [b"\x01" * 5000, b"\x02" * 3, b"\x03" * 100_000]
MEDIA = service_fragment(frames=[Block(data, time=i * 40) for i, data in enumerate(FRAMES)])


def frames_of(source: Any, **keywords: Any) -> list[bytes]:
    with kvsfast.parse(source, **keywords) as media:
        return [bytes(frame) for frame in media.frames()]


class OnlyRead:
    """The least that a file can be."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, 1000))


def pieces(size: int) -> Iterator[bytes]:
    for i in range(0, len(MEDIA), size):
        yield MEDIA[i : i + size]
        yield b""


SOURCES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: MEDIA,
    "bytearray": lambda: bytearray(MEDIA),
    "memoryview": lambda: memoryview(MEDIA),
    "strided memoryview": lambda: memoryview(bytes(b for byte in MEDIA for b in (byte, 0)))[::2],
    "array": lambda: array.array("B", MEDIA),
    "BytesIO": lambda: io.BytesIO(MEDIA),
    "buffered file": lambda: io.BufferedReader(io.BytesIO(MEDIA)),
    "only read": lambda: OnlyRead(MEDIA),
    "generator": lambda: pieces(777),
    "generator of single bytes": lambda: pieces(1),
    "list": lambda: [MEDIA[:10], bytearray(MEDIA[10:5000]), memoryview(MEDIA)[5000:]],
    "one large piece": lambda: [MEDIA],
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_sources(source: Callable[[], Any]) -> None:
    assert frames_of(source()) == FRAMES
    with kvsfast.parse(source()) as media:
        assert [fragment.is_complete for fragment in media.fragments()] == [True]
    with kvsfast.parse(source()) as media:
        assert b"".join(iter(lambda: media.read(999), b"")) == MEDIA


@pytest.mark.parametrize("source", [b"", [], io.BytesIO(), (b"" for _ in range(3))], ids=str)
def test_nothing(source: Any) -> None:
    assert frames_of(source) == []


def test_paths(tmp_path: Path) -> None:
    path = tmp_path / "media.mkv"
    path.write_bytes(MEDIA)
    assert frames_of(path) == frames_of(str(path)) == FRAMES
    # Without `with`: closed when its end is reached, or by close(); else the interpreter warns, as of any
    # file.
    assert len(list(kvsfast.parse(path).frames())) == len(FRAMES)
    media = kvsfast.parse(path)
    next(media.frames())
    media.close()
    with pytest.raises(FileNotFoundError):
        kvsfast.parse(tmp_path / "none.mkv")


def test_a_file_of_the_caller_stays_open() -> None:
    file = io.BytesIO(MEDIA)
    assert frames_of(file) == FRAMES
    assert not file.closed


def test_a_broken_source_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "media.mkv"
    path.write_bytes(MEDIA + b"\xff" * 100)
    media = kvsfast.parse(path)
    frames = media.frames()
    assert [bytes(next(frames)) for _ in FRAMES] == FRAMES
    with pytest.raises(kvsfast.MediaError):
        next(frames)
    del media, frames  # a file left open would warn here


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (42, "source is a int"),
        (None, "source is a NoneType"),
        (io.StringIO("x"), "binary mode"),
        ([1], "iterable gives int"),
    ],
)
def test_what_is_no_source(source: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        frames_of(source)


def test_strict() -> None:
    assert frames_of(MEDIA[:-1000]) == FRAMES[:2]
    with pytest.raises(TruncatedMedia):
        frames_of(MEDIA[:-1000], strict=True)


def test_limits_and_trailer() -> None:
    with pytest.raises(kvsfast.LimitExceeded):
        frames_of(MEDIA, limits=kvsfast.Limits(max_block_size=50_000))
    without = service_fragment(token=None)
    for trailer, expected in ((True, False), (False, True)):
        with kvsfast.parse(without + without, trailer=trailer) as media:
            assert next(media.fragments()).is_complete is expected


def test_a_pipe_is_read_as_it_comes() -> None:
    """A buffered file over a pipe: what was written is seen before more is written."""
    reading, writing = os.pipe()
    end = MEDIA.index(FRAMES[1]) + len(FRAMES[1])
    with (
        open(reading, "rb") as reader,
        open(writing, "wb", buffering=0) as writer,
        kvsfast.parse(reader) as media,
    ):
        writer.write(MEDIA[:end])
        frames = media.frames()
        assert [bytes(next(frames)), bytes(next(frames))] == FRAMES[:2]

        def write_the_rest() -> None:
            writer.write(MEDIA[end:])
            writer.close()

        thread = threading.Thread(target=write_the_rest)
        thread.start()
        assert [bytes(frame) for frame in frames] == FRAMES[2:]
        thread.join(HANG)


# -- boto3's own responses


def payload_of(script: Script) -> Any:
    """What boto3's get_media gives, off a real socket."""

    class Call:
        def __enter__(self) -> Any:
            self.server = Server(script).__enter__()
            self.client: Any = boto3.client(
                "kinesis-video-media",
                region_name="eu-west-1",
                endpoint_url=self.server.url,
                aws_access_key_id="key",
                aws_secret_access_key="secret",
                config=Config(proxies={}, read_timeout=1, retries={"total_max_attempts": 1}),
            )
            answer = self.client.get_media(StreamName="door", StartSelector={"StartSelectorType": "NOW"})
            return answer["Payload"]

        def __exit__(self, *details: Any) -> None:
            self.client.close()
            self.server.__exit__(*details)

    return Call()


def test_streaming_body() -> None:  # urllib3 keeps the connection, so it is the server that closes
    def chunked(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + b"".join(http_chunk(piece) for piece in pieces(333) if piece) + LAST_CHUNK)

    def counted(peer: Peer) -> None:
        peer.send(head(Content_Length=str(len(MEDIA))) + MEDIA)

    for script in (chunked, counted):
        with payload_of(script) as payload:
            assert isinstance(payload, botocore.response.StreamingBody)
            assert frames_of(payload) == FRAMES


@pytest.mark.parametrize("framing", ["chunked", "counted"])
def test_streaming_body_does_not_wait_for_full_buffers(framing: str) -> None:
    taken = threading.Semaphore(0)
    end = MEDIA.index(FRAMES[1]) + len(FRAMES[1])

    def script(peer: Peer) -> None:
        if framing == "chunked":
            parts = [CHUNKED_HEAD + http_chunk(MEDIA[:end]), http_chunk(MEDIA[end:]) + LAST_CHUNK]
        else:
            parts = [head(Content_Length=str(len(MEDIA))) + MEDIA[:end], MEDIA[end:]]
        peer.send(parts[0])
        assert taken.acquire(timeout=HANG)
        peer.send(parts[1])

    with payload_of(script) as payload, kvsfast.parse(payload) as media:
        frames = media.frames()
        assert [bytes(next(frames)), bytes(next(frames))] == FRAMES[:2]
        taken.release()
        assert [bytes(frame) for frame in frames] == FRAMES[2:]


def test_streaming_body_that_is_cut_or_stalls() -> None:
    def cut(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(MEDIA))
        peer.sock.shutdown(socket.SHUT_WR)

    def stalled(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + http_chunk(MEDIA))
        peer.until_closed()

    for script in (cut, stalled):
        with payload_of(script) as payload, kvsfast.parse(payload) as media:
            frames = media.frames()
            assert [bytes(next(frames)) for _ in FRAMES] == FRAMES
            with pytest.raises(TransportError) as caught:
                next(frames)
            assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)


def test_streaming_body_of_a_stubber() -> None:
    """Tests with botocore's Stubber put a BytesIO where the response would be."""
    assert frames_of(botocore.response.StreamingBody(io.BytesIO(MEDIA), len(MEDIA))) == FRAMES


def test_parse_loads_no_network_module(tmp_path: Path) -> None:
    path = tmp_path / "media.mkv"
    path.write_bytes(MEDIA)
    program = (
        "import sys, kvsfast\n"
        f"assert len(list(kvsfast.parse({str(path)!r}).frames())) == {len(FRAMES)}\n"
        "kvsfast.Options(), kvsfast.StartSelector.now()\n"
        "print([m for m in ('urllib3', 'ssl', 'http.client', 'botocore.session') if m in sys.modules])\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_a_failing_source_gives_what_was_complete_first() -> None:
    data = service_fragment() + service_fragment()

    def source() -> Iterator[bytes]:
        yield data[:-50]
        raise ConnectionResetError("gone")

    fragments = []
    reader = kvsfast.parse(source())
    iterator = reader.fragments()
    with pytest.raises(ConnectionResetError, match="gone"):
        for fragment in iterator:
            fragments.append(fragment)
    assert [fragment.is_complete for fragment in fragments] == [True, False]
    with pytest.raises(ConnectionResetError):
        next(iterator)
    events = kvsfast.parse(source()).events()
    seen: list[object] = []
    with pytest.raises(ConnectionResetError):
        seen.extend(events)
    ends = [event for event in seen if isinstance(event, kvsfast.FragmentEnd)]
    assert [end.is_complete for end in ends] == [True, False]
