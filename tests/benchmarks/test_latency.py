"""The latency benchmark with a few frames: that every one arrives and is told apart. Nothing is timed."""

from __future__ import annotations

import pytest

from benchmarks.latency import READERS, measure


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("reader", READERS)
def test_every_frame_arrives_after_it_was_sent(reader: str, transport: str) -> None:
    delay = measure(reader, transport, frames=5, interval_s=0.01)
    assert delay.frames == 5
    assert delay.from_before_ms > 0
    assert delay.p95_ms >= delay.median_ms
