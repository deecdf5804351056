"""The compiled iterators and the receive that feeds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kvsfast import FragmentParser, TransportTimeout
from kvsfast._native.iterators import EventIterator, FragmentIterator, FrameIterator
from tests.hostile import HEAD, TRACKS
from tests.mkv_writer import cluster, info, segment, simple_block

PAYLOADS = [b"first", b"second", b"third"]
MEDIA = HEAD + segment(info(), TRACKS) + cluster(0, *(simple_block(1, 0, payload) for payload in PAYLOADS))

Reading = Callable[[FragmentParser, Callable[[], bool]], Iterator[Any]]
READINGS: dict[str, tuple[Reading, Callable[[Any], list[bytes]]]] = {
    "events": (EventIterator, lambda event: [bytes(event)] if hasattr(event, "media_time_ns") else []),
    "frames": (FrameIterator, lambda frame: [bytes(frame)]),
    "fragments": (FragmentIterator, lambda fragment: [bytes(frame) for frame in fragment.frames]),
}


@pytest.mark.parametrize("way", READINGS)
@pytest.mark.parametrize("interruption", [BlockingIOError, TransportTimeout])
def test_reading_goes_on_after_a_receive_that_had_nothing(way: str, interruption: type[Exception]) -> None:
    reading, payloads_of = READINGS[way]
    parser = FragmentParser(keep_fragments=way == "fragments", trailer=False)
    pieces = [MEDIA[at : at + 7] for at in range(0, len(MEDIA), 7)]
    is_turn = False

    def fill() -> bool:
        nonlocal is_turn
        is_turn = not is_turn
        if is_turn:
            raise interruption("nothing there")
        if not pieces:
            return False
        parser.receive_data(pieces.pop(0))
        return True

    iterator = reading(parser, fill)
    got: list[bytes] = []
    interruptions = 0
    while True:
        try:
            for item in iterator:
                got += payloads_of(item)
            break
        except interruption:
            interruptions += 1
            assert interruptions <= len(MEDIA)
    assert got == PAYLOADS
    assert interruptions == -(-len(MEDIA) // 7) + 1
