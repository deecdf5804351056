"""Going on after damage (R37): opt-in, at the next EBML header or Cluster that looks like one."""

from __future__ import annotations

import random

import pytest

import kvsfast
from kvsfast import FragmentParser, MediaError
from tests.feed import every_cut, value_of
from tests.mkv_writer import (
    cluster,
    ebml_header,
    fragment_number,
    info,
    segment,
    service_fragment,
    simple_block,
    track_entry,
    tracks,
    void,
)

FRAGMENTS = [service_fragment(number=fragment_number(i)) for i in range(1, 6)]
DAMAGED = bytearray(b"".join(FRAGMENTS))
#: In the second fragment, the size of its Cluster's first block: longer than anything.
WHERE = len(FRAGMENTS[0]) + FRAGMENTS[1].index(b"\xa3", FRAGMENTS[1].index(b"\x1f\x43\xb6\x75")) + 1
DAMAGED[WHERE] = 0


def values(data: bytes, keep_fragments: bool = False) -> list[object]:
    """The events, the same for every cut."""
    results: list[list[object]] = []
    for cut in every_cut(data).values():
        parser = FragmentParser(resync=True, keep_fragments=keep_fragments)
        events: list[object] = []
        for piece in [*cut(data), None]:
            parser.receive_eof() if piece is None else parser.receive_data(piece)
            while (event := parser.next_event()) is not None:
                events.append(
                    repr(event) if isinstance(event, MediaError | kvsfast.Fragment) else value_of(event)
                )
        results.append(events)
    assert all(events == results[0] for events in results)
    return results[0]


def test_without_resync_it_ends_there() -> None:
    with pytest.raises(MediaError):
        list(kvsfast.parse(bytes(DAMAGED)).frames())


def test_the_next_document_is_found() -> None:
    events = values(bytes(DAMAGED))
    assert sum("MediaError" in str(event) for event in events) == 1
    fragments = list(kvsfast.parse(bytes(DAMAGED), resync=True).fragments())
    assert [fragment.number for fragment in fragments] == [fragment_number(i) for i in range(1, 6)]
    assert [fragment.is_complete for fragment in fragments] == [True, False, True, True, True]
    assert fragments[2].raw == FRAGMENTS[2]
    errors = [
        event
        for event in kvsfast.parse(bytes(DAMAGED), resync=True).events()
        if isinstance(event, MediaError)
    ]
    assert [error.offset for error in errors] == [WHERE - 1]


def test_the_next_cluster_of_a_plain_document_is_found() -> None:
    clusters = [cluster(i, simple_block(1, 0, b"frame %d" % i), unknown=i % 2 * 8) for i in range(4)]
    head = ebml_header() + segment(info(), tracks(track_entry(1, Name="camera")))
    data = (
        head
        + clusters[0]
        + b"\x00\x1a\x45\x1f\x43\xb6 junk"
        + clusters[1]
        + void(9)
        + clusters[2]
        + clusters[3]
    )
    values(data)
    frames = list(kvsfast.parse(data, resync=True).frames())
    assert [bytes(frame) for frame in frames] == [b"frame %d" % i for i in range(4)]
    assert [frame.media_time_ns for frame in frames] == [0, 1_000_000, 2_000_000, 3_000_000]
    assert frames[3].track is not None
    assert frames[3].track.name == "camera"
    assert len(list(kvsfast.parse(data, resync=True).fragments())) == 4


def test_what_only_looks_like_a_header_is_passed_over() -> None:
    fake = b"\x00\x1a\x45\xdf\xa3\x81\x1a\x45\xdf\xa3\x84\xaa\xaa\xaa\xaa\x1f\x43\xb6\x75\x85\x00"
    data = FRAGMENTS[0] + fake + FRAGMENTS[1]
    values(data)
    numbers = [fragment.number for fragment in kvsfast.parse(data, resync=True).fragments()]
    assert numbers == [fragment_number(1), fragment_number(2)]


def test_damage_anywhere_loses_no_fragment_but_its_own() -> None:
    dice = random.Random(11)
    whole = b"".join(FRAGMENTS)
    for _ in range(200):
        data = bytearray(whole)
        hurt = dice.randrange(1, 4)
        start = len(FRAGMENTS[0]) * hurt
        for _ in range(dice.randint(1, 30)):
            data[start + dice.randrange(len(FRAGMENTS[0]) - 1)] = dice.randrange(256)
        fragments = list(kvsfast.parse(bytes(data), resync=True).fragments())
        complete = [fragment.number for fragment in fragments if fragment.is_complete]
        assert fragment_number(1) in complete
        if fragments[-1].number == fragment_number(5):
            assert fragments[-1].raw == FRAGMENTS[4]
        if dice.random() < 0.1:
            values(bytes(data))


def test_nothing_to_find() -> None:
    for keep in (False, True):
        events = values(b"\x1a\x45 no media at all \x1a\x45\xdf" * 50, keep_fragments=keep)
        assert len(events) == 1
        assert "expected an EBML header" in str(events[0]) or "begins with" in str(events[0])
