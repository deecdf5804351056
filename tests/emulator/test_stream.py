"""Numbers, times and start selectors of a stream, on a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kvsfast.emulator.media import Media
from kvsfast.emulator.numbers import FragmentNumber
from kvsfast.emulator.stream import FragmentNotFound, Stream
from kvsfast.errors import UsageError
from kvsfast.model import StartSelector
from tests.emulator import mkv

START = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ms = START

    def __call__(self) -> int:
        return self.ms


def stream(clock: Clock | None = None, *, source: Any = None, **options: Any) -> Stream:
    """Four fragments of 200 ms, unless told otherwise."""
    return Stream("s", Media(mkv.clip(4) if source is None else source), now_ms=clock or Clock(), **options)


def at(ms: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def index_at_server(of: Stream, ms: float) -> int:
    return of.index_of(StartSelector.at_server_time(at(ms)))


def index_at_producer(of: Stream, ms: float) -> int:
    return of.index_of(StartSelector.at_producer_time(at(ms)))


def test_stored_media_ends_when_the_service_starts() -> None:
    s = stream()
    fragments = [s.fragment(index) for index in range(4)]
    assert [f.server_ms for f in fragments] == [START - 800, START - 600, START - 400, START - 200]
    assert fragments[-1].closes_ms == START
    assert [FragmentNumber.parse(f.number)[:2] for f in fragments] == [
        (n + 1, f.server_ms) for n, f in enumerate(fragments)
    ]
    assert [f.token for f in fragments] == [f.number for f in fragments]
    assert s.count == 4


def test_live_media_begins_when_the_service_starts() -> None:
    clock = Clock()
    s = stream(clock, live=True, loop=True)
    assert [s.fragment(index).server_ms - START for index in (0, 3, 4, 4000)] == [0, 600, 800, 800_000]
    assert s.count is None
    newest = [0, 0, 1, 4, 500]
    for ms, index in zip((0, 199, 200, 850, 100_000), newest, strict=True):
        clock.ms = START + ms
        assert s.index_of(StartSelector.now()) == index
    assert s.index_of(StartSelector.earliest()) == 0


def test_live_media_that_is_over_has_no_newest() -> None:
    clock = Clock()
    s = stream(clock, live=True)
    clock.ms = START + 799
    assert s.index_of(StartSelector.now()) == 3
    clock.ms = START + 800
    assert s.index_of(StartSelector.now()) == s.count == 4


def test_a_loop_at_full_speed_never_outruns_the_clock() -> None:
    clock = Clock()
    s = stream(clock, loop=True)
    assert s.index_of(StartSelector.now()) == 3
    numbers = []
    for index in range(4000):
        clock.ms += index % 2
        fragment = s.fragment(index)
        assert fragment.server_ms <= clock.ms
        assert FragmentNumber.parse(fragment.number)[:2] == (index + 1, fragment.server_ms)
        numbers.append(fragment.number)
    assert numbers == sorted(set(numbers))
    assert numbers[2000] == s.fragment(2000).number
    assert s.index_of(StartSelector.now()) == 3999
    assert s.index_of(StartSelector.after_fragment(numbers[2000])) == 2001
    assert index_at_server(s, s.fragment(2001).server_ms) in (2000, 2001)


@pytest.mark.parametrize("options", [{}, {"live": True}, {"loop": True}, {"live": True, "loop": True}])
def test_times_select_the_first_fragment_at_or_after(options: dict[str, Any]) -> None:
    clock = Clock()
    s = stream(clock, **options)
    clock.ms += 800
    for index in range(4):
        fragment = s.fragment(index)
        for find, ms in ((index_at_server, fragment.server_ms), (index_at_producer, fragment.producer_ms)):
            assert find(s, ms) == index
            assert find(s, ms + 0.5) == index + 1
            assert find(s, ms - 199) == index
    assert index_at_server(s, 0) == index_at_producer(s, 0) == 0


def test_times_beyond_the_end_of_stored_media() -> None:
    s = stream()
    assert index_at_server(s, START) == s.count
    assert index_at_server(s, START * 2) == s.count
    assert index_at_producer(s, START * 2) == s.count


def test_times_to_come_are_settled_when_they_have_come() -> None:
    clock = Clock()
    s = stream(clock, loop=True)
    selector = StartSelector.at_server_time(at(START + 5000))
    assert s.settled_ms(selector) == START + 5000
    clock.ms = START + 5000
    index = s.index_of(selector)
    assert s.fragment(index).server_ms == START + 5000
    assert s.fragment(index - 1).server_ms < START + 5000
    # What is ingested in real time has its times from the start.
    live = stream(live=True, loop=True)
    assert live.settled_ms(selector) <= START
    assert live.fragment(index_at_server(live, START + 5001)).server_ms == START + 5200


def test_after_a_number_or_a_token() -> None:
    every: list[dict[str, Any]] = [{}, {"opaque_tokens": True}]
    for options in every:
        s = stream(**options)
        for index in range(4):
            fragment = s.fragment(index)
            assert s.index_of(StartSelector.after_fragment(fragment.number)) == index + 1
            assert s.index_of(StartSelector.from_token(fragment.token)) == index + 1
            assert (fragment.token == fragment.number) is not bool(options)


def test_unknown_numbers_and_tokens() -> None:
    s, opaque = stream(), stream(opaque_tokens=True)
    number = FragmentNumber.parse(s.fragment(2).number)
    for unknown in (
        number._replace(noise=number.noise ^ 1),
        number._replace(sequence=5),
        number._replace(sequence=0),
    ):
        with pytest.raises(FragmentNotFound):
            s.index_of(StartSelector.after_fragment(str(unknown)))
    with pytest.raises(UsageError, match="no fragment number"):
        s.index_of(StartSelector.after_fragment("123"))
    with pytest.raises(UsageError, match="not made by this service"):
        opaque.index_of(StartSelector.from_token(opaque.fragment(1).number))
    with pytest.raises(FragmentNotFound):
        opaque.index_of(StartSelector.from_token("t.ff.000000000000"))


def test_a_live_number_is_unknown_before_its_time() -> None:
    clock = Clock()
    s = stream(clock, live=True)
    selector = StartSelector.after_fragment(s.fragment(1).number)
    with pytest.raises(FragmentNotFound):
        s.index_of(selector)
    clock.ms += 200
    assert s.index_of(selector) == 2


def test_retention() -> None:
    clock = Clock()
    s = stream(clock, live=True, loop=True, retention_ms=1000)
    first = s.fragment(0)
    clock.ms += 10_000
    index = s.index_of(StartSelector.earliest())
    assert s.fragment(index).server_ms == START + 9000
    assert index_at_server(s, START) == index
    with pytest.raises(FragmentNotFound):
        s.index_of(StartSelector.after_fragment(first.number))
    stored = stream(clock, retention_ms=500)
    assert stored.index_of(StartSelector.earliest()) == 2
    clock.ms += 500
    assert stored.index_of(StartSelector.earliest()) == stored.count


def test_producer_times() -> None:
    relative, absolute = stream(), stream(source=mkv.clip(4, start=1_646_229_468_350))
    assert [relative.fragment(n).producer_ms - relative.fragment(n).server_ms for n in range(4)] == [-250] * 4
    assert [absolute.fragment(n).producer_ms for n in range(4)] == [
        1_646_229_468_350 + 200 * n for n in range(4)
    ]
    # A session in relative mode that told no start.
    assert [stream(producer_start_ms=0).fragment(n).producer_ms for n in range(2)] == [0, 200]
    looping = stream(loop=True)
    assert [looping.fragment(n).producer_ms - looping.fragment(0).producer_ms for n in range(9)] == list(
        range(0, 1800, 200)
    )


def test_each_file_is_a_session_with_numbers_of_its_own() -> None:
    s = stream(source=[mkv.clip(2), mkv.clip(3)], loop=True)
    sequences = [FragmentNumber.parse(s.fragment(index).number).sequence for index in range(7)]
    assert sequences == [1, 2, 1001, 1002, 1003, 2001, 2002]
    for index in range(7):
        assert s.index_of(StartSelector.after_fragment(s.fragment(index).number)) == index + 1


def test_an_empty_stream() -> None:
    every: list[dict[str, Any]] = [{}, {"loop": True}, {"live": True, "loop": True}]
    for options in every:
        s = stream(source=[], **options)
        assert s.count == 0
        for start in (StartSelector.now(), StartSelector.earliest(), StartSelector.at_server_time(at(START))):
            assert s.index_of(start) == 0
        with pytest.raises(FragmentNotFound):
            s.index_of(StartSelector.after_fragment(str(FragmentNumber.of(1, START, 0))))
