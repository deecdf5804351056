"""What the process says of its receive memory."""

from __future__ import annotations

import gc

import kvsfast
from tests.mkv_writer import Block, service_fragment


def test_views_pin_memory_and_copies_do_not() -> None:
    gc.collect()
    before = kvsfast.memory_stats()
    data = bytearray(service_fragment(frames=[Block(b"x" * 5000)]))
    frame = next(kvsfast.parse(data).frames())
    gc.collect()
    pinned = kvsfast.memory_stats()
    assert pinned.in_use - before.in_use >= 128 * 1024
    assert pinned.slabs == before.slabs + 1
    frame = frame.copy()
    gc.collect()
    after = kvsfast.memory_stats()
    assert (after.in_use, after.slabs) == (before.in_use, before.slabs)
    assert after.free >= 128 * 1024
    assert bytes(frame) == b"x" * 5000
