"""The way in for every test of the parser: the same bytes, cut in every way, must give the same events.

:func:`feed` is for streaming, :func:`feed_fragments` for ``keep_fragments=True``. Both give values of
:mod:`tests.event_values`, so that they can be compared with those of :func:`tests.reference.parse`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Any

from kvsfast.errors import InStreamError, MediaError
from tests.event_values import End, Error, Event, Frame, Late, Raised, Start, comparable

#: A way to cut the media into the pieces in which it arrives.
Cut = Callable[[bytes], Iterator[bytes]]

#: Longer data is not fed byte by byte, which takes a call for each of them.
BYTE_BY_BYTE = 100_000

# --- cuts ---


def whole(data: bytes) -> Iterator[bytes]:
    """All at once."""
    yield data


def single_bytes(data: bytes) -> Iterator[bytes]:
    """Byte by byte."""
    return (data[i : i + 1] for i in range(len(data)))


def random_cuts(seed: int, most: int) -> Cut:
    """Pieces of 0 to ``most`` bytes."""

    def cut(data: bytes) -> Iterator[bytes]:
        dice, pos = random.Random(seed), 0
        while pos < len(data):
            size = dice.randint(0, most)
            yield data[pos : pos + size]
            pos += size

    return cut


def fibonacci_cuts(data: bytes) -> Iterator[bytes]:
    """Pieces of 1, 1, 2, 3, 5 ... bytes, and again from 1 after 10,946."""
    pos, size, following = 0, 1, 1
    while pos < len(data):
        yield data[pos : pos + size]
        pos += size
        size, following = (following, size + following) if size < 10_946 else (1, 1)


def at(cuts: Iterable[int]) -> Cut:
    """Pieces that end at these offsets."""

    def cut(data: bytes) -> Iterator[bytes]:
        inside = sorted({0, len(data), *(c for c in cuts if 0 < c < len(data))})
        return (data[a:b] for a, b in pairwise(inside))

    return cut


def pieces(sizes: Iterable[int]) -> Cut:
    """Pieces of these sizes, as a body came off the wire."""
    return at(accumulate(sizes))


def every_cut(data: bytes) -> dict[str, Cut]:
    """The ways in which :func:`feed` cuts ``data``, by name."""
    cuts = {
        "whole": whole,
        "fibonacci": fibonacci_cuts,
        "random up to 7": random_cuts(7, 7),
        "random up to 600": random_cuts(600, 600),
        "random up to 70000": random_cuts(70_000, 70_000),
    }
    if len(data) <= BYTE_BY_BYTE:
        cuts["byte by byte"] = single_bytes
    else:
        del cuts["random up to 7"]
    return cuts


# --- events to values: the one place that reads the attributes of the compiled events ---


def start_value(start: Any) -> Start:
    """FragmentStart (or Fragment, which has the same fields)."""
    return Start(
        number=start.number,
        server_timestamp_ms=start.server_timestamp_ms,
        producer_timestamp_ms=start.producer_timestamp_ms,
        tracks=comparable(start.tracks),
        tags=start.tags,
        info=start.info,
        cluster_timestamp=start.cluster_timestamp,
        offset=start.offset,
    )


def frame_value(frame: Any) -> Frame:
    """Frame, after a check that its faces agree: data, bytes(), len(), size, track."""
    data = bytes(frame)
    assert frame.data == data == memoryview(frame)
    assert memoryview(frame).readonly
    assert len(frame) == frame.size == len(data)
    track = frame.fragment.tracks.by_number(frame.track_number)
    assert comparable(frame.track) == comparable(track)
    return Frame(
        track_number=frame.track_number,
        timestamp_ns=frame.timestamp_ns,
        media_time_ns=frame.media_time_ns,
        data=data,
        size=frame.size,
        is_keyframe=frame.is_keyframe,
        is_invisible=frame.is_invisible,
        is_discardable=frame.is_discardable,
        is_laced=frame.is_laced,
        is_estimated=frame.is_estimated,
        is_stored=frame.is_stored,
        duration_ns=frame.duration_ns,
        discard_padding_ns=frame.discard_padding_ns,
        block_additions=frame.block_additions,
        fragment_offset=frame.fragment.offset,
    )


def end_value(end: Any, start: Any, tags: Any) -> End:
    """FragmentEnd. ``tags``: its own, or for a Fragment those that follow its start's."""
    assert end.number == start.number
    return End(
        number=end.number,
        is_complete=end.is_complete,
        continuation_token=end.continuation_token,
        millis_behind_now=end.millis_behind_now,
        tags=tags,
        frame_count=end.frame_count,
        size=end.size,
        start_offset=start.offset,
    )


def value_of(event: Any) -> Event:
    """Any event of streaming, or the MediaError that ended it."""
    import kvsfast

    if isinstance(event, MediaError):
        return Raised(type(event).__name__, event.offset, getattr(event, "name", ""))
    if isinstance(event, kvsfast.Frame):
        return frame_value(event)
    if isinstance(event, kvsfast.FragmentStart):
        return start_value(event)
    if isinstance(event, kvsfast.FragmentEnd):
        return end_value(event, event.start, event.tags)
    if isinstance(event, kvsfast.LateTags):
        return Late(event.number, event.tags)
    if isinstance(event, InStreamError):
        return Error(event.error_id, event.error_code, event.fragment_number, event.retryable, event.message)
    raise AssertionError(f"not an event: {event!r}")


# --- feeding ---


def take(parser: Any) -> Any:
    """The next event, None, or the MediaError that was raised."""
    try:
        return parser.next_event()
    except MediaError as error:
        return error


def drain(parser: Any) -> Iterator[Any]:
    """The events that are ready. A MediaError comes last, and the dead parser must raise it again."""
    while (event := take(parser)) is not None:
        yield event
        if isinstance(event, MediaError):
            again = take(parser)
            assert type(again) is type(event) and again.args == event.args, "a dead parser changes its mind"
            return


def raw_events(data: bytes, cut: Cut, *, eof: bool = True, **options: Any) -> Iterator[Any]:
    """The parser's own events (the last may be a MediaError), drained after every piece."""
    import kvsfast

    parser = kvsfast.FragmentParser(**options)
    for piece in cut(data):
        parser.receive_data(piece)
        for event in drain(parser):
            yield event
            if isinstance(event, MediaError):
                return
    if eof:
        parser.receive_eof()
        yield from drain(parser)


def feed(data: bytes, *, trailing: bytes = b"", eof: bool = True, **options: Any) -> list[Event]:
    """The events of ``data`` as values, after a check that no cut of it changes any of them.

    ``trailing``: bytes after the end that must change nothing of what came before it: the events with them
    must begin with those that ``data`` has without its EOF. Further options are those of FragmentParser.
    """
    results = {}
    for name, cut in every_cut(data).items():
        results[name] = [value_of(event) for event in raw_events(data, cut, eof=eof, **options)]
    expected = results["whole"]
    for name, events in results.items():
        assert_same(events, expected, f"{name} against whole")
    if trailing:
        arrived = feed(data, eof=False, **options)
        longer = feed(data + trailing, eof=eof, **options)
        assert_same(longer[: len(arrived)], arrived, "with trailing bytes against without")
    return expected


def feed_fragments(data: bytes, **options: Any) -> list[Any]:
    """The Fragment objects (and LateTags, InStreamErrors, the MediaError) of ``keep_fragments=True``.

    They are checked against the events of streaming, for every cut: same starts, frames, ends and order;
    ``raw`` is the bytes of ``data`` that they came from, ``columns`` has a row for each frame.
    """
    events = feed(data, **options)
    results: dict[str, list[Any]] = {}
    for name, cut in every_cut(data).items():
        objects = list(raw_events(data, cut, keep_fragments=True, **options))
        assert_same(list(flatten(objects, data)), events, f"fragments, {name}, against events")
        results[name] = objects
    return results["whole"]


def flatten(objects: Iterable[Any], data: bytes) -> Iterator[Event]:
    """The events that kept fragments stand for, after a check that their fields, columns and raw agree."""
    import kvsfast

    for each in objects:
        if isinstance(each, kvsfast.Fragment):
            start = each.start
            yield start_value(start)
            assert start_value(start).tags == each.tags[: len(start.tags)]
            for name in ("number", "server_timestamp_ms", "producer_timestamp_ms", "server_timestamp"):
                assert getattr(each, name) == getattr(start, name), name
            for name in ("producer_timestamp", "tracks", "info", "cluster_timestamp", "offset"):
                assert comparable(getattr(each, name)) == comparable(getattr(start, name)), name
            frames = list(each.frames)
            check_columns(each, frames)
            yield from map(frame_value, frames)
            assert len(each.frames) == each.frame_count == len(frames)
            assert each.raw == data[each.offset : each.offset + each.size], "raw is not what arrived"
            yield end_value(each, start, each.tags[len(start.tags) :])
        else:
            yield value_of(each)


def check_columns(fragment: Any, frames: list[Any]) -> None:
    """One row for each frame, and the same frames by index and by slice as by iteration."""
    columns = memoryview(fragment.columns)
    assert len(columns) == len(frames)
    assert columns.readonly
    for i, frame in enumerate(frames):
        assert frame_value(fragment.frames[i]) == frame_value(frame), f"frames[{i}]"
    if frames:
        assert frame_value(fragment.frames[-1]) == frame_value(frames[-1])
        assert list(map(frame_value, fragment.frames[::2])) == list(map(frame_value, frames[::2]))


def assert_same(events: list[Event], expected: list[Event], what: str) -> None:
    """Equal, or an error that shows the first difference and not thousands of frames."""
    for i, (event, other) in enumerate(zip(events, expected, strict=False)):
        assert event == other, f"{what}: event {i} is\n  {event}\ninstead of\n  {other}"
    assert len(events) == len(expected), (
        f"{what}: {len(events)} events instead of {len(expected)}; the first too many or missing is "
        f"{(events + expected[len(events) :])[min(len(events), len(expected))]}"
    )
