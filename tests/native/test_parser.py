"""FragmentParser against the reference parser: captures, hostile input, and rules one by one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import kvsfast
from kvsfast import (
    FragmentParser,
    InStreamError,
    LimitExceeded,
    Limits,
    MediaError,
    TransportError,
    TruncatedMedia,
    UsageError,
)
from tests import hostile, reference
from tests.event_values import Event
from tests.feed import feed, feed_fragments, raw_events, whole
from tests.mkv_writer import (
    PRODUCER_MS,
    SERVER_MS,
    block_group,
    cluster,
    compression,
    connect_fragment,
    content_encodings,
    ebml_header,
    error_document,
    fragment_number,
    info,
    segment,
    service_fragment,
    simple_block,
    tags,
    track_entry,
    tracks,
)

CAPTURES = sorted(Path("../shared/data").glob("*/*.mkv"))


def agree(data: bytes, **options: Any) -> list[Event]:
    events = feed(data, **options)
    assert events == reference.parse(data, **options)
    return events


@pytest.mark.skipif(not CAPTURES, reason="no captures at ../shared/data")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_captures_parse_as_the_reference_does(path: Path) -> None:
    data = path.read_bytes()
    agree(data)
    feed_fragments(data)


@pytest.mark.parametrize("name", [name for name in hostile.CASES if name[:2] not in ("01", "15")])
@pytest.mark.parametrize("strict", [False, True])
def test_hostile_input_parses_as_the_reference_does(name: str, strict: bool) -> None:
    agree(hostile.CASES[name].data, strict=strict)
    feed_fragments(hostile.CASES[name].data, strict=strict)


@pytest.mark.parametrize("name", hostile.CASES)
def test_hostile_input_gives_the_frames_that_are_there(name: str) -> None:
    case = hostile.CASES[name]
    parser = FragmentParser()
    parser.receive_data(case.data)
    parser.receive_eof()
    frames = 0
    error = None
    try:
        while (event := parser.next_event()) is not None:
            frames += isinstance(event, kvsfast.Frame)
    except MediaError as caught:
        error = caught
    assert frames == case.frames
    assert (type(error).__name__ if error else None) == case.error or (
        case.error == "MediaError" and isinstance(error, MediaError)
    )


FIRST, SECOND = fragment_number(1), fragment_number(2)


def test_a_fragment_is_released_on_its_own_trailer() -> None:
    data = service_fragment(number=FIRST)
    parser = FragmentParser()
    parser.receive_data(data)
    events = []
    while (event := parser.next_event()) is not None:
        events.append(event)
    assert isinstance(events[0], kvsfast.FragmentStart)
    assert isinstance(events[-1], kvsfast.FragmentEnd), "without another header, without EOF"
    assert events[0].number == FIRST == events[-1].continuation_token == events[-1].number
    assert (events[0].server_timestamp_ms, events[0].producer_timestamp_ms) == (SERVER_MS, PRODUCER_MS)
    assert events[0].server_timestamp is not None
    assert events[0].server_timestamp.isoformat() == "2017-11-28T06:55:09.126000+00:00"
    assert events[-1].millis_behind_now == 15858
    assert events[-1].is_complete
    assert events[-1].size == len(data)


@pytest.mark.parametrize("unknown", [True, False])
def test_a_frame_is_given_with_its_last_byte(unknown: bool) -> None:
    data = service_fragment(number=FIRST, cluster_unknown=unknown)
    wanted = [bytes(event) for event in raw_events(data, whole) if isinstance(event, kvsfast.Frame)]
    parser = FragmentParser()
    got = []
    for i in range(len(data)):
        parser.receive_data(data[i : i + 1])
        while (event := parser.next_event()) is not None:
            if isinstance(event, kvsfast.Frame):
                got.append(bytes(event))
                assert data[: i + 1].endswith(got[-1])
    assert got == wanted


def test_unchanged_tracks_and_tags_are_shared() -> None:
    data = b"".join(
        service_fragment(number=fragment_number(i), before_tags=[("a", "1")]) for i in range(1, 4)
    )
    starts = [event for event in raw_events(data, whole) if isinstance(event, kvsfast.FragmentStart)]
    assert len(starts) == 3
    assert starts[0].tracks is starts[1].tracks is starts[2].tracks
    assert starts[0].info is starts[2].info
    assert starts[0].tags[0] is starts[2].tags[0]
    other = service_fragment(number=fragment_number(9), tracks=tracks(track_entry(7, Name="other")))
    changed = [e for e in raw_events(data + other + data, whole) if isinstance(e, kvsfast.FragmentStart)]
    assert [start.tracks[0].number for start in changed] == [*[starts[0].tracks[0].number] * 3, 7, *[1] * 3]


def test_connect_profile() -> None:
    agree(connect_fragment() + connect_fragment())


@pytest.mark.parametrize("trailer", [None, True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_fragments_without_trailer(trailer: bool | None, count: int) -> None:
    data = b"".join(service_fragment(number=fragment_number(i), token=None) for i in range(1, count + 1))
    events = feed(data, trailer=trailer)
    assert events == reference.parse(data, trailer=trailer)
    with_one = data + service_fragment(number=SECOND) + data
    assert feed(with_one, trailer=trailer) == reference.parse(with_one, trailer=trailer)


def test_every_place_of_an_end_of_input() -> None:
    data = (
        service_fragment(number=FIRST, before_tags=[("a", "1")], after_tags=[("b", "2")]) + error_document()
    )
    for end in range(len(data)):
        cut = data[:end]
        for strict in (False, True):
            events = [*_events(cut, strict=strict)]
            assert events == reference.parse(cut, strict=strict), end


def _events(data: bytes, **options: bool) -> list[object]:
    from tests.feed import value_of

    return [value_of(event) for event in raw_events(data, whole, **options)]


def test_an_error_in_the_stream_comes_after_what_came_before_it() -> None:
    data = service_fragment(number=FIRST) + error_document(number=SECOND)
    agree(data)
    parser = FragmentParser()
    parser.receive_data(data)
    parser.receive_eof()
    events = []
    while (event := parser.next_event()) is not None:
        events.append(event)
    error = events[-1]
    assert isinstance(error, InStreamError)
    assert (error.error_id, error.error_code, error.fragment_number) == (3000, "FRAGMENT_NOT_FOUND", SECOND)
    assert error.retryable
    parser = FragmentParser()
    parser.receive_data(data)
    parser.receive_eof()
    seen = 0
    with pytest.raises(InStreamError):
        for _ in kvsfast.parse(data).frames():
            seen += 1
    assert seen == sum(isinstance(event, kvsfast.Frame) for event in events)


def test_a_failure_of_the_transport_comes_after_what_was_complete() -> None:
    data = service_fragment(number=FIRST)
    parser = FragmentParser(keep_fragments=True)
    parser.receive_data(data[:-10])
    assert parser.next_event() is None
    parser.fail(TransportError("reset"))
    fragment = parser.next_event()
    assert isinstance(fragment, kvsfast.Fragment)
    assert not fragment.is_complete
    assert fragment.continuation_token is None
    assert fragment.raw == data[:-10]
    for _ in range(2):
        with pytest.raises(TransportError, match="reset"):
            parser.next_event()


def test_the_parser_is_dead_after_an_error() -> None:
    parser = FragmentParser()
    parser.receive_data(b"no media at all")
    for _ in range(3):
        with pytest.raises(MediaError, match="expected an EBML header") as caught:
            parser.next_event()
    assert caught.value.offset == 0
    assert copy.copy(caught.value).offset == 0


def test_truncated_media_says_where() -> None:
    data = service_fragment(number=FIRST, cluster_unknown=False)
    with pytest.raises(TruncatedMedia) as caught:
        list(kvsfast.parse(data[:-200], strict=True).frames())
    assert caught.value.offset == len(data) - 200
    assert "Segment" in caught.value.path


def test_wrong_use() -> None:
    parser = FragmentParser()
    parser.receive_eof()
    with pytest.raises(UsageError, match="after receive_eof"):
        parser.receive_data(b"x")
    with pytest.raises(UsageError, match=r"expected kvsfast\.Limits"):
        FragmentParser(limits=5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="trailer"):
        FragmentParser(trailer="yes")  # type: ignore[arg-type]


def plain(*children: bytes) -> bytes:
    return ebml_header() + segment(info(), tracks(track_entry(1)), *children)


LIMITS = {
    "max_block_size": (plain(cluster(0, simple_block(1, 0, b"x" * 2000))), 1000),
    "max_binary_size": (plain() + segment(info(), tracks(track_entry(1, CodecPrivate=b"x" * 2000))), 1000),
    "max_string_size": (plain(tags(("name", "v" * 2000))), 1000),
    "max_tags": (plain(*[tags(("name", "v"))] * 11), 10),
    "max_tags_size": (plain(*[tags(("name", "v" * 50))] * 11), 500),
    "max_tracks": (ebml_header() + segment(info(), tracks(*map(track_entry, range(1, 12)))), 10),
    "max_barren_elements": (plain(*[b"\xec\x80"] * 500), 300),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name: str) -> None:
    data, limit = LIMITS[name]
    outcomes = {
        repr(events[-1])
        for events in (
            feed(data, limits=Limits(**{name: limit})),
            feed_fragments(data, limits=Limits(**{name: limit})),
        )
    }
    with pytest.raises(LimitExceeded) as caught:
        list(kvsfast.parse(data, limits=Limits(**{name: limit})).events())
    assert (caught.value.name, caught.value.limit) == (name, limit)
    assert caught.value.declared > limit
    assert outcomes
    list(kvsfast.parse(data, limits=Limits()).events())


def test_limits_of_kept_fragments() -> None:
    frames = [simple_block(1, i, b"x" * 100) for i in range(100)]
    data = plain(cluster(0, *frames, unknown=8))
    with pytest.raises(LimitExceeded, match="max_fragment_size=5000"):
        list(kvsfast.parse(data, limits=Limits(max_fragment_size=5000)).fragments())
    with pytest.raises(LimitExceeded, match="max_frames=99"):
        list(kvsfast.parse(data, limits=Limits(max_frames=99)).fragments())
    assert len(list(kvsfast.parse(data, limits=Limits(max_fragment_size=5000, max_frames=9)).frames())) == 100
    feed_fragments(data, limits=Limits(max_fragment_size=len(data)))
    for name, limit in (("max_fragment_size", 5000), ("max_frames", 50)):
        results = set()
        for step in (1, 7, 100, 100_000):
            parser = FragmentParser(keep_fragments=True, limits=Limits(**{name: limit}))
            got = []
            with pytest.raises(LimitExceeded) as caught:
                for pos in range(0, len(data), step):
                    parser.receive_data(data[pos : pos + step])
                    while (event := parser.next_event()) is not None:
                        got.append(len(event.frames))  # type: ignore[union-attr]
            results.add((str(caught.value), *got))
        assert len(results) == 1, results


def test_content_encodings() -> None:
    import zlib

    stripped = track_entry(1, content_encodings(compression(3, b"\x00\x00\x01")))
    deflated = track_entry(2, content_encodings(compression(0)))
    both = track_entry(
        3,
        content_encodings(
            compression(0, ContentEncodingOrder=0), compression(3, b"head", ContentEncodingOrder=1)
        ),
    )
    stored = track_entry(4, content_encodings(compression(1)))
    packed = zlib.compress(b"a frame of text " * 20)
    blocks = [
        simple_block(1, 0, b"frame"),
        simple_block(2, 0, packed),
        simple_block(3, 0, packed[4:] if packed.startswith(b"head") else packed),
        simple_block(4, 0, b"BZh"),
        simple_block(1, 10, [b"one", b"two", b"three"], lacing="xiph"),
    ]
    data = ebml_header() + segment(
        info(), tracks(stripped, deflated, stored), cluster(0, *blocks[:2], *blocks[3:])
    )
    agree(data)
    frames = [frame for fragment in feed_fragments(data) for frame in fragment.frames]
    assert bytes(frames[0]) == b"\x00\x00\x01frame"
    assert bytes(frames[1]) == b"a frame of text " * 20
    assert frames[2].is_stored
    assert [bytes(frame) for frame in frames[3:]] == [b"\0\0\1one", b"\0\0\1two", b"\0\0\1three"]
    assert both
    agree(
        ebml_header() + segment(info(), tracks(both), cluster(0, simple_block(3, 0, zlib.compress(b"x")[4:])))
    )


def test_a_zlib_bomb_is_limited() -> None:
    import zlib

    bomb = zlib.compress(b"\0" * 50_000_000)
    data = ebml_header() + segment(
        info(),
        tracks(track_entry(1, content_encodings(compression(0)))),
        cluster(0, simple_block(1, 0, bomb)),
    )
    with pytest.raises(LimitExceeded, match="max_block_size=1000000"):
        list(kvsfast.parse(data, limits=Limits(max_block_size=1_000_000)).frames())


def test_groups_lacing_and_large_numbers() -> None:
    group = block_group(
        1, 5, b"group", duration=40, references=[-40], additions=[(1, b"more"), (4, b"still")]
    )
    blocks = [group]
    for lacing in ("xiph", "ebml", "fixed"):
        blocks.append(simple_block(1, 9, [b"abc", b"def", b"ghi"], lacing=lacing))
        blocks.append(block_group(1, 9, [b"abc", b"def"], lacing=lacing, duration=80))
    blocks.append(simple_block(300, -5, b"track above 127", track_width=4))
    entries = tracks(track_entry(1, DefaultDuration=20_000_000), track_entry(300))
    data = ebml_header() + segment(info(), entries, cluster(100, *blocks))
    agree(data)
    frames = [frame for fragment in feed_fragments(data) for frame in fragment.frames]
    assert frames[0].duration_ns == 40_000_000
    assert frames[0].block_additions == ((1, b"more"), (4, b"still"))
    assert not frames[0].is_keyframe
    assert frames[-1].media_time_ns == 95_000_000
    assert frames[-1].track is not None
    assert frames[-1].track.number == 300
    assert [frame.media_time_ns for frame in frames[1:4]] == [109_000_000, 129_000_000, 149_000_000]
