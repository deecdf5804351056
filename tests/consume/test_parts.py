"""The parts of a session by themselves: order, silence, limits, dates, reading ahead."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import kvsfast
from kvsfast import Position, TransportError, TransportTimeout, Until, UsageError
from kvsfast._native.chunked import ReceiveBuffer
from kvsfast.consume.clock import date_of
from kvsfast.consume.order import Order, Verdict
from kvsfast.consume.quiet import Quiet
from kvsfast.read_ahead import ReadAhead
from kvsfast.source import BytesSource
from tests.mkv_writer import service_fragment

HANG = 30.0


# -- order


@pytest.mark.parametrize(
    ("number", "server_ms", "verdict"),
    [
        ("101", 6, Verdict.NEW),
        ("1000", 5, Verdict.NEW),
        ("101", None, Verdict.NEW),
        ("101", 1, Verdict.NEW),
        ("100", 9, Verdict.DUPLICATE),
        ("0100", 9, Verdict.DUPLICATE),
        ("99", 5, Verdict.DUPLICATE),
        ("99", 4, Verdict.DUPLICATE),
        ("99", None, Verdict.DUPLICATE),
        ("99", 6, Verdict.RESET),
        ("9", 6, Verdict.RESET),
    ],
)
def test_order(number: str, server_ms: int | None, verdict: Verdict) -> None:
    order = Order(Position("100", None, 5))
    assert order.judge(Position(number, None, server_ms)) is verdict


def test_what_has_passed_over_a_reset() -> None:
    order = Order(Position("100", None, 50))
    assert order.has_passed(Position("100", None, 50)) and order.has_passed(Position("7", None, 7))
    assert not order.has_passed(Position("101", None, 51))
    order.advance(Position("3", None, 60))
    assert order.has_passed(Position("101", None, 51)), "of the stream as it was before"
    assert not order.has_passed(Position("4", None, 61))
    assert not Order().has_passed(Position("4"))


def test_producer_time_keeps_its_latest() -> None:
    order = Order(Position("1", None, 1, 500))
    order.advance(Position("2", None, 2, 300))
    order.advance(Position("3", None, 3))
    assert order.is_rewound(Position("4", None, 4, 500)) and not order.is_rewound(Position("4", None, 4, 501))
    assert not order.is_rewound(Position("4"))


# -- silence


def test_quiet_is_told_each_time_as_long_again() -> None:
    quiet = Quiet(10.0)
    assert quiet.next(100.0) == 110.0 and not quiet.is_due(100.0)
    quiet.begins(100.0)
    quiet.begins(105.0)
    assert [now for now in range(100, 146) if quiet.is_due(now)] == [110, 120, 130, 140]
    assert quiet.next(145.0) == 150.0 and quiet.seconds(145.0) == 45.0
    quiet.ends()
    assert quiet.seconds(200.0) == 0.0 and not quiet.is_due(200.0)
    quiet.begins(200.0)
    assert quiet.is_due(235.0) and not quiet.is_due(239.0) and quiet.is_due(240.0)


# -- limits


@pytest.mark.parametrize(
    "wrong",
    [
        {"server_time": datetime(2026, 1, 1)},
        {"producer_time": 7},
        {"number": 7},
        {"number": "x"},
        {"fragments": 0},
        {"frames": True},
        {"size": 1.5},
        {"seconds": 0},
        {"seconds": float("inf")},
    ],
    ids=str,
)
def test_until_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"until {next(iter(wrong))}"):
        Until(**wrong)


def test_until_in_short() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    assert Until.of(when) == Until(server_time=when)
    assert Until.of(timedelta(minutes=2)) == Until(seconds=120)
    assert Until.of(None) == Until() and not Until() and Until(frames=1)
    assert Until.of(Until(frames=1)) == Until(frames=1)


# -- the service's clock


@pytest.mark.parametrize(
    "headers", [{"date": "Thu, 01 Jan 2026 12:00:07 GMT"}, {"Date": "Thu, 01 Jan 2026 12:00:07 -0000"}]
)
def test_date(headers: Mapping[str, str]) -> None:
    assert date_of(headers) == datetime(2026, 1, 1, 12, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}, {"date": ""}, None])
def test_no_date(headers: object) -> None:
    assert date_of(headers) is None


# -- reading ahead


class Counted(BytesSource):
    """Counts what was taken of it; after the bytes it does what ``after`` does."""

    def __init__(self, data: bytes, after: Any = None) -> None:
        super().__init__(memoryview(data))
        self.taken = 0
        self.after = after
        self.ended = threading.Event()

    def fill(self) -> bool:
        before = self._buffer.readable
        if super().fill():
            self.taken += self._buffer.readable - before
            return True
        self.ended.set()
        if isinstance(self.after, Exception):
            raise self.after
        if self.after is not None:
            self.after.wait(HANG)
        return False

    def shutdown(self) -> None:
        if isinstance(self.after, threading.Event):
            self.after.set()


def test_it_holds_no_more_than_its_limit() -> None:
    data = bytes(range(256)) * 4096
    source = Counted(data)
    ahead = ReadAhead(source, 100_000)
    buffer = ReceiveBuffer()
    ahead.attach(buffer)
    read = bytearray()
    try:
        while ahead.held < 50_001:
            time.sleep(0.001)
        while ahead.fill():
            read += buffer.take(buffer.readable)
            assert ahead.held <= source.taken - len(read) <= 100_000
    finally:
        ahead.close()
    assert read == data


@pytest.mark.parametrize("limit", [1, 100, 65_536, 10_000_000])
def test_any_limit_gives_the_same(limit: int) -> None:
    data = bytes(range(256)) * (3 if limit == 1 else 2000)
    ahead = ReadAhead(Counted(data), limit)
    buffer = ReceiveBuffer(window=777)
    ahead.attach(buffer)
    read = bytearray()
    while ahead.fill():
        read += buffer.take(buffer.readable)
    ahead.close()
    assert read == data


def test_an_error_comes_after_what_was_before_it() -> None:
    error = TransportError("reset")
    ahead = ReadAhead(Counted(b"abc", error), 1000)
    buffer = ReceiveBuffer()
    ahead.attach(buffer)
    assert ahead.fill() and buffer.take(9) == b"abc"
    for _ in range(2):
        with pytest.raises(TransportError) as caught:
            ahead.fill()
        assert caught.value is error
    ahead.close()


def test_a_timeout_is_told_to_who_waits_and_reading_goes_on() -> None:
    told = threading.Event()

    class Slow(Counted):
        def fill(self) -> bool:
            if not self._rest and not told.wait(0.02):
                raise TransportTimeout("no media")
            return super().fill()

    ahead = ReadAhead(Slow(b"abc"), 1000)
    buffer = ReceiveBuffer()
    ahead.attach(buffer)
    assert ahead.fill()
    with pytest.raises(TransportTimeout):
        ahead.fill()
    told.set()
    more = True
    while more:
        with contextlib.suppress(TransportTimeout):  # one that was on its way
            more = ahead.fill()
    ahead.close()


def test_close_ends_a_thread_that_waits() -> None:
    source = Counted(b"abc", threading.Event())
    ahead = ReadAhead(source, 1000)
    ahead.attach(ReceiveBuffer())
    assert source.ended.wait(HANG)
    ahead.close()
    assert not any(thread.name == "kvsfast-read-ahead" for thread in threading.enumerate())


def test_read_ahead_is_said_before_reading() -> None:
    media = kvsfast.parse(service_fragment())
    media.read_ahead(1000)
    assert len(list(media.fragments())) == 1
    with pytest.raises(UsageError, match="read_ahead before"):
        media.read_ahead(1000)
