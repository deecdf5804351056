"""What is handed over once: the digest, the selection, and limits of the compiled Delivery."""

from __future__ import annotations

from typing import Any

import pytest

import kvsfast
from kvsfast import FragmentParser, TrackType, UsageError
from kvsfast._native.delivery import DATA, ITEM, LOOK, OVER, Delivery
from kvsfast._native.selection import Selection
from tests.mkv_writer import Block, service_fragment, track_entry, tracks

TRACKS = tracks(
    track_entry(1, TrackType=1, CodecID="V", Name="video"),
    track_entry(2, TrackType=2, CodecID="A", Name="left"),
    track_entry(300, TrackType=2, CodecID="A", Name="right"),
)


def media_of(*payloads: bytes, number: str = "7" * 47) -> bytes:
    blocks = [Block(data, 40 * n, (1, 2, 300)[n % 3], n % 2 == 0) for n, data in enumerate(payloads)]
    return service_fragment(number, token=number, tracks=TRACKS, frames=blocks)


class Gate:
    """Lets everything through, and writes down what it is asked."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begins(self, start: kvsfast.FragmentStart) -> bool:
        return True

    def ends(self, end: kvsfast.FragmentEnd) -> bool:
        return end.is_complete

    def whole(self, fragment: kvsfast.Fragment) -> bool:
        return True

    def mismatch(self, index: int, expected: Any, found: Any) -> None:
        self.told.append((index, expected, found))

    def saw_frame(self) -> None:
        self.told.append("frame")


def read(delivery: Delivery, media: bytes, *, keep: bool = False) -> list[Any]:
    """What comes of one response."""
    parser = FragmentParser(keep_fragments=keep, trailer=True)
    parser.receive_data(media)
    parser.receive_eof()
    delivery.use(parser)
    found: list[Any] = []
    while True:
        match delivery.step():
            case status if status == ITEM:
                item = delivery.take()
                found.append(bytes(item) if isinstance(item, kvsfast.Frame) else item)
            case status if status == LOOK:
                delivery.look = False
            case status:
                assert status == OVER
                return found


def cut_inside_the_last_frame(media: bytes) -> bytes:
    return media[: -(174 + 5)]


PAYLOADS = [bytes([n]) * size for n, size in enumerate((0, 1, 31, 32, 33, 1023, 1024, 1025, 5000, 70_000), 1)]


def test_each_frame_once() -> None:
    gate = Gate()
    delivery = Delivery(gate, "frames", Selection(), 100)
    media = media_of(*PAYLOADS)
    assert read(delivery, cut_inside_the_last_frame(media)) == PAYLOADS[:-1]
    handed_over: list[Any] = [delivery.handed_over]
    assert read(delivery, media) == PAYLOADS[-1:]
    assert [*handed_over, delivery.handed_over] == [("7" * 47, len(PAYLOADS) - 1), (None, 0)]
    assert gate.told == ["frame"]


@pytest.mark.parametrize("index", range(len(PAYLOADS) - 1))
def test_a_frame_of_other_bytes_is_told(index: int) -> None:
    gate = Gate()
    delivery = Delivery(gate, "frames", Selection(), 100)
    read(delivery, cut_inside_the_last_frame(media_of(*PAYLOADS)))
    changed = [*PAYLOADS]
    changed[index] = bytes(byte ^ 1 for byte in changed[index])
    read(delivery, media_of(*changed))
    if PAYLOADS[index] == changed[index]:
        return
    _, (told, expected, found) = gate.told
    assert told == index and expected[:2] == found[:2] and expected[2] != found[2]


def test_a_digest_sees_each_byte_of_a_small_frame_and_both_ends_of_a_large_one() -> None:
    for size, places in ((1024, range(0, 1024, 5)), (50_000, [0, 31, 49_968, 49_999])):
        payload = bytes(size)
        for place in places:
            gate = Gate()
            delivery = Delivery(gate, "frames", Selection(), 100)
            read(delivery, cut_inside_the_last_frame(media_of(payload, b"x" * 300)))
            changed = bytearray(payload)
            changed[place] = 1
            read(delivery, media_of(bytes(changed), b"x" * 300))
            assert len(gate.told) == 2, f"byte {place} of {size}"


def test_another_size_time_or_track_is_told() -> None:
    def told(first: Block, second: Block) -> bool:
        gate = Gate()
        delivery = Delivery(gate, "frames", Selection(), 100)
        for block, cut in ((first, 179), (second, 0)):
            media = service_fragment(
                "7" * 47, token="7" * 47, tracks=TRACKS, frames=[block, Block(b"x" * 300, 99)]
            )
            read(delivery, media[: len(media) - cut])
        return len(gate.told) == 2

    block = Block(b"data", 40, 1, True)
    assert not told(block, block)
    assert told(block, Block(b"dat", 40, 1, True))
    assert told(block, Block(b"data", 41, 1, True))
    assert told(block, Block(b"data", 40, 2, True))
    assert told(block, Block(b"data", 40, 1, False))


def test_digests_of_a_fragment_are_limited() -> None:
    delivery = Delivery(Gate(), "frames", Selection(), 4)
    assert read(delivery, media_of(*PAYLOADS[:4])) == PAYLOADS[:4]
    with pytest.raises(kvsfast.LimitExceeded, match="max_frames=4"):
        read(delivery, media_of(*PAYLOADS[:5]))


def test_bytes_arrive_one_by_one() -> None:
    delivery = Delivery(Gate(), "events", Selection(), 100)
    parser = FragmentParser(trailer=True)
    delivery.use(parser)
    found = []
    for byte in media_of(b"one", b"two"):
        parser.receive_data(bytes([byte]))
        while (status := delivery.step()) != DATA:
            if status == ITEM:
                found.append(type(delivery.take()).__name__)
            delivery.look = False
    assert found == ["FragmentStart", "Frame", "Frame", "FragmentEnd"]
    assert delivery.received == len(media_of(b"one", b"two"))


def test_another_response_forgets_what_was_held() -> None:
    delivery = Delivery(Gate(), "frames", Selection(), 100)
    parser = FragmentParser(trailer=True)
    parser.receive_data(media_of(b"one", b"two"))
    delivery.use(parser)
    while delivery.step() != ITEM:
        delivery.look = False
    assert delivery.holds
    delivery.drop()
    assert not delivery.holds and delivery.step() == OVER and delivery.received == 0


def test_modes() -> None:
    with pytest.raises(UsageError, match="mode is"):
        Delivery(Gate(), "bytes", Selection(), 1)
    (fragment,) = read(Delivery(Gate(), "fragments", Selection(), 1), media_of(b"one"), keep=True)
    assert isinstance(fragment, kvsfast.Fragment)


# -- selection

SIX = [bytes([n]) * (n + 1) for n in range(6)]


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(), [0, 1, 2, 3, 4, 5]),
        (Selection([1]), [0, 3]),
        (Selection([300]), [2, 5]),
        (Selection(["left"]), [1, 4]),
        (Selection(["left", 1]), [0, 1, 3, 4]),
        (Selection([TrackType.AUDIO]), [1, 2, 4, 5]),
        (Selection([TrackType.VIDEO, 2]), [0, 1, 3, 4]),
        (Selection(["none"]), []),
        (Selection([17]), []),
        (Selection([], True), [0, 2, 4]),
        (Selection([1], True), [0]),
        (Selection([TrackType.SUBTITLE]), []),
    ],
)
@pytest.mark.parametrize("keep", [False, True], ids=["frames", "fragments"])
def test_selection(selection: Selection, wanted: list[int], keep: bool) -> None:
    delivery = Delivery(Gate(), "fragments" if keep else "frames", selection, 100)
    found = read(delivery, media_of(*SIX), keep=keep)
    if keep:
        (fragment,) = found
        assert fragment.raw == media_of(*SIX)
        assert list(fragment.columns.length) == [len(SIX[each]) for each in wanted]
        found = [bytes(frame) for frame in fragment.frames]
    assert found == [SIX[each] for each in wanted]


def test_selection_by_type_is_no_number() -> None:
    """TrackType.AUDIO is 2, and so may be a track's number."""
    assert Selection([2]).tracks == (2,)
    media = service_fragment(
        "7" * 47, token="7" * 47, tracks=tracks(track_entry(2, TrackType=1)), frames=[Block(b"x", 0, 2)]
    )
    assert read(Delivery(Gate(), "frames", Selection([TrackType.AUDIO]), 9), media) == []
    assert read(Delivery(Gate(), "frames", Selection([2]), 9), media) == [b"x"]


def test_selection_follows_the_tracks() -> None:
    delivery = Delivery(Gate(), "frames", Selection(["left"]), 9)
    swapped = tracks(track_entry(1, TrackType=2, Name="left"), track_entry(2, TrackType=2, Name="right"))
    other = service_fragment(
        "8" * 47, token="8" * 47, tracks=swapped, frames=[Block(b"a", 0, 1), Block(b"b", 0, 2)]
    )
    assert read(delivery, media_of(*SIX) + other) == [SIX[1], SIX[4], b"a"]


@pytest.mark.parametrize("wrong", ["video", 3, [1.5], [True], [None]])
def test_selection_what_cannot_be(wrong: Any) -> None:
    with pytest.raises(UsageError, match="tracks"):
        Selection(wrong)


@pytest.mark.parametrize("mode", ["frames", "events"])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"tracks": ["right", 1]}, [0, 2, 3, 5]),
        ({"tracks": [TrackType.AUDIO], "key_frames_only": True}, [2, 4]),
        ({"tracks": ["none"]}, []),
    ],
)
def test_selection_of_one_response(mode: str, options: dict[str, Any], wanted: list[int]) -> None:
    """The iterators of ``get_media`` and ``parse`` choose in the same way, over any number of documents."""
    reader = kvsfast.parse(media_of(*SIX) + media_of(*SIX, number="8" * 47))
    found = list(reader.frames(**options) if mode == "frames" else reader.events(**options))
    assert [bytes(each) for each in found if isinstance(each, kvsfast.Frame)] == 2 * [SIX[i] for i in wanted]
    if mode == "events":
        assert len(found) == 2 * (len(wanted) + 2)
