"""Receive buffers and HTTP framing: every cut, every broken byte, and who may write over what."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterable, Iterator

import pytest

from kvsfast import TransportError
from kvsfast._native import chunked
from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer

DATA = random.Random(5).randbytes(70_000)


def encode(
    pieces: Iterable[bytes], *, extension: bytes = b"", trailer: bytes = b"", zeros: bytes = b""
) -> bytes:
    chunks = (zeros + b"%x" % len(piece) + extension + b"\r\n" + piece + b"\r\n" for piece in pieces)
    return b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    pos = 0
    for size in sizes:
        if pos >= len(data):
            return
        yield data[pos : pos + size]
        pos += size
    yield data[pos:]


def every_cut(data: bytes) -> dict[str, list[bytes]]:
    dice = random.Random(len(data))
    return {
        "whole": [data],
        "bytes": list(cut(data, [1] * len(data))),
        "random": list(cut(data, [dice.randint(0, 40) for _ in range(len(data))])),
        "large": list(cut(data, [dice.randint(1, 60_000) for _ in range(len(data))])),
    }


def write(buffer: ReceiveBuffer, data: bytes) -> None:
    with memoryview(buffer) as window:
        window[: len(data)] = data


def decode(pieces: Iterable[bytes], **framing: object) -> tuple[bytes, BodyDecoder]:
    buffer = ReceiveBuffer()
    decoder = BodyDecoder(buffer, **framing)  # type: ignore[arg-type]
    out = []
    for piece in pieces:
        for part in cut(piece, [len(buffer)] * (len(piece) // len(buffer) + 1)):
            while part:
                n = min(len(buffer), len(part))
                write(buffer, part[:n])
                decoder.commit(n)
                part = part[n:]
                out.append(buffer.take(1 << 20))
    return b"".join(out), decoder


SHAPES: dict[str, list[int]] = {
    "one": [5000],
    "elements": [40, 12, 6, 3, 3, 9, 13, 4000, 13, 35, 1, 13, 15_000, 174],
    "single bytes": [1] * 300,
    "audio": [13, 160] * 100,
    "powers": [1 << i for i in range(16)],
    "large": [64_845],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("style", ["plain", "extension", "trailer", "zeros", "space"])
def test_chunked_payload_is_what_was_sent(shape: str, style: str) -> None:
    pieces = list(cut(DATA, SHAPES[shape]))[: len(SHAPES[shape])]
    wire = encode(
        pieces,
        extension={"extension": b';name="a value"', "space": b" \t"}.get(style, b""),
        trailer=b"X-Trailer: one\r\nAnother: two\r\n" if style == "trailer" else b"",
        zeros=b"000" if style == "zeros" else b"",
    )
    for name, parts in every_cut(wire).items():
        payload, decoder = decode(parts, chunked=True)
        assert payload == b"".join(pieces), name
        assert decoder.is_complete, name
        assert decoder.wire_bytes == len(wire), name
        decoder.receive_eof()


def test_what_follows_the_last_chunk_is_not_of_the_body() -> None:
    wire = encode([b"media"])
    for parts in every_cut(wire + b"HTTP/1.1 200 OK\r\n\r\n").values():
        payload, decoder = decode(parts, chunked=True)
        assert payload == b"media"
        assert decoder.is_complete
        assert decoder.wire_bytes == len(wire)


BROKEN = {
    "no digit": (b"x\r\n", "hexadecimal", 0),
    "empty size": (b"\r\n", "hexadecimal", 0),
    "junk in the size": (b"5g\r\nmedia\r\n", "hexadecimal", 1),
    "minus": (b"-5\r\nmedia\r\n", "hexadecimal", 0),
    "0x": (b"0x5\r\nmedia\r\n", "hexadecimal", 1),
    "size of 16 digits": (b"1000000000000000\r\n", "hexadecimal", 15),
    "bare LF": (b"5\nmedia\r\n", "hexadecimal", 1),
    "bare LF in the extension": (b"5;a\nmedia\r\n", "CR LF", 3),
    "bare CR": (b"5\rmedia\r\n", "CR LF", 2),
    "junk after the data": (b"5\r\nmediaX\r\n", "not followed", 8),
    "data longer than its size": (b"5\r\nmedia!!0\r\n\r\n", "not followed", 8),
    "CR but no LF after the data": (b"5\r\nmedia\rX", "not followed", 9),
    "junk in the trailer": (b"0\r\nA: \x00\r\n\r\n", "CR LF", 6),
    "long extension": (b"5;" + b"e" * 5000 + b"\r\nmedia\r\n", "extension is too long", None),
    "many zeros": (b"0" * 5000 + b"5\r\nmedia\r\n", "extension is too long", None),
    "long trailer": (b"0\r\n" + b"A: b\r\n" * 5000, "trailer", None),
    "overhead": (
        b"1;" + b"e" * 4000 + b"\r\nx\r\n" + (b"1;" + b"e" * 4000 + b"\r\nx\r\n") * 30,
        "more framing",
        None,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_framing_is_refused_at_its_byte(name: str) -> None:
    wire, complaint, at = BROKEN[name]
    places = set()
    for parts in every_cut(wire).values():
        with pytest.raises(TransportError, match=complaint) as caught:
            decode(parts, chunked=True)
        places.add(str(caught.value))
    assert len(places) == 1, places
    if at is not None:
        assert f"byte {at} of the body" in places.pop()


@pytest.mark.parametrize("wire", [b"", b"5", b"5\r\nmed", b"5\r\nmedia\r\n", b"5\r\nmedia\r\n0\r\n"])
def test_a_cut_chunked_body_is_an_error(wire: bytes) -> None:
    payload, decoder = decode([wire], chunked=True)
    assert not decoder.is_complete
    assert b"media".startswith(payload)
    with pytest.raises(TransportError, match=f"cut after {len(wire)} bytes: its last chunk is missing"):
        decoder.receive_eof()


def test_counted_bodies() -> None:
    for parts in every_cut(DATA + b"junk").values():
        payload, decoder = decode(parts, length=len(DATA))
        assert payload == DATA
        assert decoder.is_complete
    payload, decoder = decode([DATA], length=len(DATA) + 7)
    with pytest.raises(TransportError, match=f"cut after {len(DATA)} bytes: 7 more were announced"):
        decoder.receive_eof()
    _, empty = decode([], length=0)
    assert empty.is_complete
    with pytest.raises(ValueError, match="not both"):
        BodyDecoder(ReceiveBuffer(), chunked=True, length=5)


def test_bodies_that_end_with_the_connection() -> None:
    payload, decoder = decode([DATA])
    assert payload == DATA
    assert not decoder.is_complete
    decoder.receive_eof()
    assert decoder.is_complete


def test_feed_takes_what_came_with_the_head() -> None:
    wire = encode(cut(DATA, [3000] * 20))
    buffer = ReceiveBuffer()
    decoder = BodyDecoder(buffer, chunked=True)
    decoder.feed(wire)
    assert decoder.is_complete
    assert buffer.take(1 << 20) == DATA


# -- the buffer ----------------------------------------------------------------------------------------------


def test_more_cannot_be_committed_than_the_window_holds() -> None:
    buffer = ReceiveBuffer(window=1000)
    with pytest.raises(ValueError, match="into a window of 0"):
        buffer.commit(1)
    assert len(buffer) == 1000
    with pytest.raises(ValueError, match="commit of 1001 bytes into a window of 1000"):
        buffer.commit(1001)
    with pytest.raises(ValueError, match="commit of 1001 bytes"):
        BodyDecoder(buffer, chunked=True).commit(1001)


def test_a_window_in_use_is_not_moved() -> None:
    buffer = ReceiveBuffer()
    with memoryview(buffer):
        with pytest.raises(BufferError, match="in use"):
            len(buffer)
        assert not buffer.release()
    assert len(buffer) == buffer.window


def test_take_and_take_into() -> None:
    buffer = ReceiveBuffer()
    write(buffer, b"0123456789")
    buffer.commit(10)
    assert buffer.readable == 10
    assert buffer.take(3) == b"012"
    target = bytearray(4)
    assert buffer.take_into(target) == 4
    assert target == b"3456"
    assert buffer.offset == 7
    assert buffer.take(100) == b"789"
    assert buffer.take(100) == b""
    assert buffer.take_into(target) == 0


def test_an_idle_buffer_gives_its_memory_back() -> None:
    gc.collect()
    _, before, _ = chunked.pool_stats()
    buffer = ReceiveBuffer()
    write(buffer, b"media")
    buffer.commit(5)
    assert chunked.pool_stats()[1] == before + 1
    assert not buffer.release(), "something is still to be taken"
    buffer.take(5)
    assert buffer.release()
    assert chunked.pool_stats()[1] == before
    assert buffer.offset == 5
    write(buffer, b"more")
    buffer.commit(4)
    assert buffer.take(9) == b"more"
    assert buffer.offset == 9


def test_the_pool_keeps_no_more_than_its_limit() -> None:
    try:
        buffers = [ReceiveBuffer() for _ in range(40)]
        for buffer in buffers:
            len(buffer)
        chunked.set_pool_limit(1 << 20)
        del buffers, buffer
        assert 0 < chunked.pool_stats()[0] <= 1 << 20
        chunked.set_pool_limit(0)
        assert chunked.pool_stats()[0] == 0
        len(ReceiveBuffer())
        assert chunked.pool_stats()[0] == 0
    finally:
        chunked.set_pool_limit(64 << 20)
