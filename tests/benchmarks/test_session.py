"""The long session, short: that what is read is measured, and that growth is noticed."""

from __future__ import annotations

import pytest

from benchmarks.session import READERS, Point, Session, run_session


@pytest.mark.parametrize("reader", READERS)
def test_a_session_is_flat(reader: str) -> None:
    session = run_session(reader, "1080p", "tcp", 60_000_000)
    assert session.points[-1].read_bytes >= 60_000_000
    assert 190 <= len(session.points) <= 200
    assert 0 < session.base_bytes < session.limit_bytes
    assert session.faults() == []


def test_growth_is_noticed() -> None:
    flat = [Point(at, 100 << 20) for at in range(100)]
    growing = [Point(at, (100 << 20) + at * 20_000) for at in range(100)]
    assert Session("x", "tcp", 0, 100 << 20, 108 << 20, flat).faults() == []
    (fault,) = Session("x", "tcp", 0, 102 << 20, 108 << 20, growing).faults()
    assert "more in the last fifth" in fault
    (fault,) = Session("x", "tcp", 0, 109 << 20, 108 << 20, flat).faults()
    assert fault == "x: peak 109.0 MiB, limit 108.0 MiB"
