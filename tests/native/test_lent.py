"""``bytes`` are read where they are: nothing is received, and what looks into them keeps them alive."""

from __future__ import annotations

import gc
import random
import sys
from typing import TYPE_CHECKING

import numpy
import pytest

import kvsfast
from kvsfast import Fragment
from kvsfast._native import chunked
from tests.mkv_writer import Block, service_fragment

if TYPE_CHECKING:
    from typing_extensions import Buffer

PAYLOADS = [random.Random(size).randbytes(size) for size in (0, 1, 20, 2048, 2049, 30_000)]
SERVICE = service_fragment(frames=[Block(payload, 40 * i) for i, payload in enumerate(PAYLOADS)])


def fragments(source: Buffer) -> list[Fragment]:
    return list(kvsfast.parse(source).fragments())


def address(data: Buffer) -> int:
    return numpy.frombuffer(memoryview(data), "B").ctypes.data


def test_bytes_are_read_where_they_are() -> None:
    """Immutable, they need not be received: nothing is copied, and what looks into them keeps them alive."""
    media = b"".join([SERVICE, SERVICE])
    end = address(media) + len(media)
    before = chunked.pool_stats()
    first, second = fragments(media)
    assert address(first.raw) == address(media) and address(second.raw) == address(media) + len(SERVICE)
    assert all(address(media) <= address(frame.data) < end for frame in second.frames if len(frame))
    assert address(fragments(memoryview(media)[len(SERVICE) :])[0].raw) == address(second.raw)
    assert chunked.pool_stats() == before
    references = sys.getrefcount(media)
    raw = second.raw
    del first, second
    assert raw == SERVICE
    assert sys.getrefcount(media) <= references
    del raw
    gc.collect()
    assert sys.getrefcount(media) == 2


def test_what_can_change_is_received() -> None:
    media = bytearray(SERVICE)
    for source in (media, memoryview(media), memoryview(media).toreadonly()):
        (fragment,) = fragments(source)
        assert address(fragment.raw) != address(media)
    media[:] = bytes(len(media))
    assert fragment.raw == SERVICE


@pytest.mark.parametrize("keep", [False, True], ids=["streaming", "kept"])
def test_what_begins_in_lent_memory_ends_in_memory_of_its_own(keep: bool) -> None:
    """The first piece is lent; the frame and the fragment that it cuts go on in the next one."""
    for cut in range(0, len(SERVICE), 7):
        media = kvsfast.parse([SERVICE[:cut], SERVICE[cut:], SERVICE])
        if keep:
            assert [bytes(fragment.raw) for fragment in media.fragments()] == [SERVICE, SERVICE]
        else:
            assert [bytes(frame) for frame in media.frames()] == 2 * PAYLOADS


def test_a_frame_in_lent_memory_outlives_the_reader() -> None:
    media = b"".join([SERVICE])
    frames = list(kvsfast.parse(media).frames())
    del media
    gc.collect()
    assert [bytes(frame) for frame in frames] == PAYLOADS


def test_nothing_is_lent_to_a_buffer_that_holds_memory_or_has_a_window() -> None:
    buffer = chunked.ReceiveBuffer(window=10)
    assert not buffer.borrow(memoryview(b"more than ten bytes"))
    buffer = chunked.ReceiveBuffer()
    assert buffer.borrow(memoryview(b"lent"))
    assert not buffer.borrow(memoryview(b"more"))
    assert len(buffer) > 0, "what comes behind it goes elsewhere"
    with memoryview(buffer) as window:
        window[:4] = b"more"
    buffer.commit(4)
    assert buffer.take(100) == b"lentmore"
