"""A stream against a plain list: whatever producers and time do to it, selectors find what the list says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kvsfast.emulator import ManualClock, Producer
from kvsfast.emulator.media import Media
from kvsfast.emulator.numbers import FragmentNumber
from kvsfast.emulator.stream import FragmentNotFound, Ingested, Stream
from kvsfast.model import StartSelector
from tests.emulator import mkv

CLIPS = [mkv.clip(count, count=1, length=8) for count in range(1, 4)]


class StreamLife(RuleBasedStateMachine):
    """``known``: every fragment that ever was; ``first``: the first of them that did not expire."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(1_700_000_000.0)
        self.producer: Producer | None = None
        self.first = 0

    @initialize(stored=st.integers(0, 3), opaque=st.booleans())
    def begin(self, stored: int, opaque: bool) -> None:
        media = Media([CLIPS[stored - 1]] if stored else [])
        self.stream = Stream("s", media, now_ms=self.clock.now_ms, opaque_tokens=opaque)
        self.known = self.stream.fragments()
        assert len(self.known) == stored

    @precondition(lambda self: self.producer is None)
    @rule(start=st.sampled_from([None, 1_600_000_000_000]))
    def connect(self, start: int | None) -> None:
        self.producer = Producer(self.stream, self.clock.now_ms(), start)
        self.begins = True

    @precondition(lambda self: self.producer is not None)
    @rule(clip=st.sampled_from(CLIPS), hold=st.booleans())
    def send(self, clip: bytes, hold: bool) -> None:
        assert self.producer is not None
        self.add(self.producer.send(clip, hold=hold))
        assert (self.stream.fragments()[-1].closes_ms is None) is hold

    @precondition(lambda self: self.producer is not None and self.producer.sent)
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        assert self.producer is not None
        count = data.draw(st.integers(1, len(self.producer.sent)))
        before = self.producer.sent[-count:]
        again = self.producer.rewind(count)
        assert [each.producer_ms for each in again] == [each.producer_ms for each in before]
        assert [each.stored for each in again] == [each.stored for each in before]
        self.add(again)

    @precondition(lambda self: self.producer is not None)
    @rule()
    def disconnect(self) -> None:
        assert self.producer is not None
        self.producer.end()
        self.producer = None
        assert all(each.closes_ms is not None for each in self.stream.fragments())

    @rule(count=st.integers(1, 3))
    def expire(self, count: int) -> None:
        expired = self.stream.trim(count)
        assert expired == [each.number for each in self.known[self.first : self.first + count]]
        self.first = min(self.first + count, len(self.known))

    @rule(seconds=st.sampled_from([0.001, 0.2, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def add(self, fragments: list[Ingested]) -> None:
        for fragment in fragments:
            sequence = FragmentNumber.parse(fragment.number).sequence
            last = FragmentNumber.parse(self.known[-1].number).sequence if self.known else 0
            if not self.begins:
                assert sequence == last + 1
            elif last:
                assert sequence % 1000 == 1 and 0 < sequence - last <= 1000
            else:
                assert sequence == 1
            self.begins = False
            self.known.append(fragment)

    # -- what must hold at any time

    @invariant()
    def numbers_and_times_rise(self) -> None:
        numbers = [each.number for each in self.known]
        assert numbers == sorted(set(numbers))
        times = [each.server_ms for each in self.known]
        assert times == sorted(times)

    @invariant()
    def what_is_there(self) -> None:
        there = self.stream.fragments()
        assert [each.number for each in there] == [each.number for each in self.known[self.first :]]
        assert self.stream.index_of(StartSelector.earliest()) == self.first
        newest = max(0, len(self.known) - 1)
        assert self.stream.index_of(StartSelector.now()) == newest
        assert self.stream.index_of(StartSelector.now(), now="next") == len(self.known)
        assert not self.stream.has(len(self.known))

    @invariant()
    def what_comes_after(self) -> None:
        for index, fragment in enumerate(self.known):
            for start in (
                StartSelector.after_fragment(fragment.number),
                StartSelector.from_token(fragment.token),
            ):
                if index >= self.first:
                    assert self.stream.index_of(start) == index + 1
                    continue
                try:
                    self.stream.index_of(start)
                except FragmentNotFound as missing:
                    assert missing.next_index == self.first
                else:
                    raise AssertionError(f"{fragment.number} expired and is there")

    @invariant()
    def what_was_when(self) -> None:
        for fragment in self.known[-4:]:
            for ms in (fragment.server_ms, fragment.server_ms + 1):
                expected = self.find(lambda each, ms=ms: each.server_ms >= ms)
                assert self.stream.index_of(StartSelector.at_server_time(at(ms))) == expected
            ms = fragment.producer_ms
            expected = self.find(lambda each, ms=ms: each.producer_ms >= ms)
            assert self.stream.index_of(StartSelector.at_producer_time(at(ms))) == expected

    def find(self, holds: Any) -> int:
        found = next((index for index, each in enumerate(self.known) if holds(each)), len(self.known))
        return max(found, self.first)


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


TestStreamLife = StreamLife.TestCase
TestStreamLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
