"""Frames and kept fragments: what they show, whose memory they look into, and how long it lives."""

from __future__ import annotations

import gc
import io
import operator
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import kvsfast
from kvsfast import Fragment, FragmentParser, Frame, UsageError
from kvsfast._native import chunked
from kvsfast._native.scanner import ElementReader
from kvsfast.model import Limits
from tests.feed import frame_value
from tests.ffmpeg_tools import Packet, has_encoder, make_media, needs_ffmpeg, packets
from tests.mkv_writer import (
    Block,
    block_group,
    cluster,
    compression,
    content_encodings,
    ebml_header,
    fragment_number,
    head_tags,
    info,
    segment,
    service_fragment,
    simple_block,
    track_entry,
    tracks,
    trailer_tags,
)

SIZES = [0, 1, 20, 2048, 2049, 30_000]
PAYLOADS = [random.Random(size).randbytes(size) for size in SIZES]
SERVICE = service_fragment(
    number=fragment_number(1),
    frames=[Block(payload, 40 * i, keyframe=i == 0) for i, payload in enumerate(PAYLOADS)],
    before_tags=[("place", "hall")],
    after_tags=[("late", "1")],
)


def fragments(data: bytes | bytearray) -> list[Fragment]:
    return list(kvsfast.parse(data).fragments())


@pytest.fixture
def fragment() -> Fragment:
    return fragments(SERVICE)[0]


# -- the sequence ------------------------------------------------------------------------------------------


def test_frames_are_a_sequence(fragment: Fragment) -> None:
    frames, count = fragment.frames, len(PAYLOADS)
    assert len(frames) == fragment.frame_count == count
    assert [bytes(frame) for frame in frames] == PAYLOADS
    assert [bytes(frame) for frame in reversed(frames)] == PAYLOADS[::-1]
    assert [bytes(frames[i]) for i in range(-count, count)] == PAYLOADS * 2
    for i in (count, -count - 1, 10**9):
        with pytest.raises(IndexError, match=f"frame {i} of {count}"):
            frames[i]
    with pytest.raises(TypeError):
        frames["0"]  # type: ignore[call-overload]


def test_slices_are_those_of_a_list(fragment: Fragment) -> None:
    bounds = [None, 0, 1, 2, 5, 6, 99, -1, -3, -99]
    for start in bounds:
        for stop in bounds:
            for step in (None, 1, 2, 3, -1, -2, 99):
                sliced = fragment.frames[start:stop:step]
                expected = PAYLOADS[start:stop:step]
                assert len(sliced) == len(expected)
                assert [bytes(frame) for frame in sliced] == expected
                assert [bytes(frame) for frame in reversed(sliced)] == expected[::-1]
                assert [bytes(frame) for frame in sliced[::-2]] == expected[::-2]
                assert [bytes(sliced[i]) for i in range(len(sliced))] == expected
    with pytest.raises(IndexError, match="frame 2 of 2"):
        fragment.frames[1:3][2]


def test_an_iterator_tells_what_is_left(fragment: Fragment) -> None:
    iterator = iter(fragment.frames)
    for left in range(len(PAYLOADS), 0, -1):
        assert operator.length_hint(iterator) == left
        next(iterator)
    for _ in range(2):
        assert next(iterator, None) is None


def test_each_access_makes_a_frame(fragment: Fragment) -> None:
    assert fragment.frames[0] is not fragment.frames[0]
    assert fragment.frames is not fragment.frames
    assert frame_value(fragment.frames[2]) == frame_value(fragment.frames[2])


# -- one frame ---------------------------------------------------------------------------------------------


def streamed(data: bytes | bytearray) -> list[Frame]:
    return list(kvsfast.parse(data).frames())


@pytest.mark.parametrize("keep", [False, True], ids=["streaming", "kept"])
def test_the_faces_of_a_frame(keep: bool) -> None:
    frames = list(fragments(SERVICE)[0].frames) if keep else streamed(SERVICE)
    for frame, payload in zip(frames, PAYLOADS, strict=True):
        assert frame.data == bytes(frame) == payload
        assert (len(frame), frame.size, bool(frame)) == (len(payload), len(payload), True)
        assert (frame.data.readonly, frame.data.format, frame.data.ndim) == (True, "B", 1)
        assert frame.track is not None
        assert frame.track.number == frame.track_number == 1
        assert frame.fragment.number == fragment_number(1)
        if payload:
            with pytest.raises(TypeError, match="read-only"):
                frame.data[0] = 0
        with pytest.raises((AttributeError, TypeError)):
            frame.is_keyframe = True  # type: ignore[misc]
    assert repr(frames[0]) == "<Frame track 1, 0 ns, 0 bytes, key>"


@pytest.mark.parametrize("keep", [False, True], ids=["streaming", "kept"])
def test_a_copy_holds_only_its_own_bytes(keep: bool) -> None:
    gc.collect()
    slabs = chunked.pool_stats()[1]
    received = bytearray(SERVICE)  # what could change is not read where it is
    frames = list(fragments(received)[0].frames) if keep else streamed(received)
    copies = [frame.copy() for frame in frames]
    assert list(map(frame_value, copies)) == list(map(frame_value, frames))
    assert chunked.pool_stats()[1] > slabs, "the frames themselves hold receive memory"
    del frames
    assert chunked.pool_stats()[1] == slabs, "their copies do not"
    assert [bytes(copy) for copy in copies] == PAYLOADS
    assert bytes(copies[-1]) is bytes(copies[-1]), "no further copy of a frame that owns its bytes"
    assert bytes(copies[-1].copy()) == PAYLOADS[-1]


def test_a_group_says_more() -> None:
    group = block_group(1, 5, b"group", duration=40, additions=[(4, b"more")], discard_padding=-7)
    data = ebml_header() + segment(
        info(), tracks(track_entry(1)), cluster(0, group, simple_block(1, 6, b"plain"))
    )
    (fragment,) = fragments(data)
    for frames in (fragment.frames, [frame.copy() for frame in fragment.frames], streamed(data)):
        more, plain = frames
        assert (more.duration_ns, more.discard_padding_ns) == (40_000_000, -7)
        assert more.block_additions == ((4, b"more"),)
        assert (plain.duration_ns, plain.discard_padding_ns, plain.block_additions) == (None, None, ())
    assert [extra > 0 for extra in fragment.columns.extra] == [True, False]


# -- memory while streaming --------------------------------------------------------------------------------


def stream(sizes: list[int], pieces: int) -> Iterator[tuple[Frame, bytes]]:
    """Frames of these sizes and their payloads, out of a parser that gets ``pieces`` bytes at a time."""
    dice = random.Random(sum(sizes))
    payloads = [dice.randbytes(size) for size in sizes]
    blocks = [simple_block(1, i % 30_000, payload) for i, payload in enumerate(payloads)]
    data = service_fragment(number=fragment_number(1), frames=blocks, token=None)
    parser = FragmentParser()
    expected = iter(payloads)
    for pos in range(0, len(data), pieces):
        parser.receive_data(data[pos : pos + pieces])
        while (event := parser.next_event()) is not None:
            if isinstance(event, Frame):
                yield event, next(expected)
    assert next(expected, None) is None


MANY = [size for i in range(150) for size in (100, 2048, 2049, 60_000, 0, 40_000 + i)]  # 16 MB


@pytest.mark.parametrize("pieces", [1000, 65_536, 10**9])
def test_what_is_kept_stays_as_it_was(pieces: int) -> None:
    """Views, frames, and views of frames that are let go, all of it while slabs are recycled."""
    dice = random.Random(pieces)
    kept: list[tuple[Frame | memoryview, bytes]] = []
    for frame, payload in stream(MANY, pieces):
        assert bytes(frame) == payload
        way = dice.randrange(6)
        if way == 0:
            kept.append((frame, payload))
        elif way == 1:
            kept.append((frame.data, payload))
        elif way == 2 and kept:
            kept.pop(dice.randrange(len(kept)))
    assert len(kept) > 100
    for each, payload in kept:
        assert bytes(each) == payload


def test_every_view_of_a_stream_may_be_kept() -> None:
    kept = [(frame.data, payload) for frame, payload in stream(MANY, 65_536)]
    assert all(view == payload for view, payload in kept)
    assert sum(view.nbytes for view, _ in kept) == sum(MANY)


def test_small_frames_do_not_pin_slabs() -> None:
    gc.collect()
    slabs = chunked.pool_stats()[1]
    frames: list[tuple[Frame, bytes]] = []
    views: list[tuple[memoryview, bytes]] = []
    most = 0
    for i, (frame, payload) in enumerate(stream([2048, 17, 50_000] * 300, 65_536)):
        if frame.size <= 2048:
            frames.append((frame, payload))
            if i % 2:
                views.append((frame.data, payload))
        del frame
        most = max(most, chunked.pool_stats()[1] - slabs)
    assert 1 <= most <= 2, "15 MB went through one slab, or two when it was replaced"
    assert chunked.pool_stats()[1] == slabs
    assert all(bytes(frame) == payload for frame, payload in frames)
    assert all(view == payload for view, payload in views)


def test_a_large_frame_holds_its_slab_until_it_is_let_go() -> None:
    gc.collect()
    slabs = chunked.pool_stats()[1]
    kept = [(frame, payload) for frame, payload in stream([200_000] * 40, 65_536)]
    assert chunked.pool_stats()[1] >= slabs + 3
    view, payload = kept[0][0].data, kept[0][1]
    kept.clear()
    assert chunked.pool_stats()[1] == slabs + 1, "the view's own"
    assert view == payload
    view.release()
    assert chunked.pool_stats()[1] == slabs


# -- memory of kept fragments ------------------------------------------------------------------------------


def test_raw_is_a_view_that_outlives_all_around_it() -> None:
    gc.collect()
    _, slabs, used = chunked.pool_stats()
    parser = FragmentParser(keep_fragments=True)
    parser.receive_data(SERVICE * 3)
    first = parser.next_event()
    assert isinstance(first, Fragment)
    raw = first.raw
    assert raw == SERVICE == bytes(first)
    assert (raw.readonly, raw.nbytes, len(first), first.size) == (
        True,
        len(SERVICE),
        len(SERVICE),
        len(SERVICE),
    )
    address = numpy.asarray(raw).__array_interface__["data"][0]
    assert numpy.asarray(first.raw).__array_interface__["data"][0] == address, "no copy"
    frame = first.frames[-1]
    inside = numpy.asarray(frame.data).__array_interface__["data"][0] - address
    assert SERVICE[inside : inside + frame.size] == PAYLOADS[-1], "nor of a frame"
    rest = [parser.next_event() for _ in range(2)]
    del first, parser, rest
    assert raw == SERVICE
    assert bytes(frame) == PAYLOADS[-1]
    raw.release()
    assert chunked.pool_stats()[1] == slabs + 1, "the frame holds it still"
    del frame
    assert chunked.pool_stats()[1:] == (slabs, used)


def test_buffers_of_fragments_are_used_again() -> None:
    """Ten fragments, one at a time, need no more memory than the first two."""
    gc.collect()
    chunked.set_pool_limit(0)
    chunked.set_pool_limit(64 << 20)
    before = sum(chunked.pool_stats()[::2])
    large = service_fragment(
        number=fragment_number(1), frames=[Block(bytes([i]) * 40_000, i) for i in range(50)]
    )
    media = kvsfast.parse(bytearray(large * 10)).fragments()
    totals = []
    for fragment in media:
        assert fragment.raw == large
        del fragment
        free, _, used = chunked.pool_stats()
        totals.append(free + used - before)
    assert len(totals) == 10
    assert max(totals[2:]) <= totals[1]
    assert totals[-1] < 6 * len(large)


def test_the_pool_gets_back_what_the_last_view_held() -> None:
    gc.collect()
    (fragment,) = kvsfast.parse(bytearray(SERVICE)).fragments()
    raw = fragment.raw
    del fragment
    free, slabs, used = chunked.pool_stats()
    raw.release()
    after_free, after_slabs, after_used = chunked.pool_stats()
    assert after_slabs == slabs - 1
    assert after_free - free == used - after_used >= len(SERVICE)


# -- columns -----------------------------------------------------------------------------------------------

FIELDS = ("timestamp_ns", "media_time_ns", "offset", "length", "track", "flags", "extra")
FLAGS = {
    1: "is_keyframe",
    2: "is_invisible",
    4: "is_discardable",
    8: "is_laced",
    16: "is_estimated",
    64: "is_stored",
}

#: Every flag, every track, and payload of both kinds.
ASSORTED = service_fragment(
    number=fragment_number(1),
    tracks=tracks(
        track_entry(1),
        track_entry(2, content_encodings(compression(3, b"\0\0\1"))),
        track_entry(3, content_encodings(compression(0))),
        track_entry(4, content_encodings(compression(1))),
        track_entry(300, DefaultDuration=20_000_000),
    ),
    timestamp=1000,
    frames=[
        simple_block(1, 0, b"key", keyframe=True),
        simple_block(1, -5, b"invisible", invisible=True),
        simple_block(1, 10, b"discardable", discardable=True),
        simple_block(1, 20, [b"estimated", b"times"], lacing="xiph"),
        simple_block(300, 20, [b"told", b"times!"], lacing="ebml"),
        simple_block(2, 30, b"stripped"),
        simple_block(2, 30, [b"one", b"two"], lacing="fixed"),
        simple_block(3, 40, zlib.compress(b"deflated " * 500)),
        simple_block(4, 50, b"BZh stored"),
        block_group(1, 60, b"group", duration=9, references=[-1]),
        simple_block(9, 70, b"a track that is not told of"),
        simple_block(1, 80, b""),
    ],
)


def test_columns_say_what_the_frames_say() -> None:
    (fragment,) = fragments(ASSORTED)
    columns, raw, side = fragment.columns, bytes(fragment.raw), bytes(fragment.side)
    assert len(columns) == len(fragment.frames) == 15
    seen = 0
    for i, frame in enumerate(fragment.frames):
        assert columns.timestamp_ns[i] == frame.timestamp_ns
        assert columns.media_time_ns[i] == frame.media_time_ns
        assert columns.length[i] == frame.size
        assert columns.track[i] == frame.track_number
        flags = columns.flags[i]
        for bit, name in FLAGS.items():
            assert bool(flags & bit) == getattr(frame, name), name
        assert flags & ~(sum(FLAGS) | 32) == 0
        source = side if flags & 32 else raw
        assert source[columns.offset[i] : columns.offset[i] + columns.length[i]] == frame.data
        assert (columns.extra[i] != 0) == (frame.duration_ns is not None)
        seen |= flags
    assert seen == 127, "the fragment has a frame of every flag"
    assert [columns.track[i] for i in range(15) if columns.flags[i] & 32] == [2, 2, 2, 3]


def test_side_holds_what_is_not_in_the_document() -> None:
    (fragment,) = fragments(ASSORTED)
    assert fragment.side == b"\0\0\1stripped" + b"\0\0\1one" + b"\0\0\1two" + b"deflated " * 500
    assert fragment.side.readonly
    assert [bytes(frame) for frame in fragment.frames[7:11]] == [
        b"\0\0\1stripped",
        b"\0\0\1one",
        b"\0\0\1two",
        b"deflated " * 500,
    ]
    assert bytes(fragments(SERVICE)[0].side) == b""


def test_numpy_reads_columns_without_copying() -> None:
    (fragment,) = fragments(ASSORTED)
    table = numpy.asarray(fragment.columns)
    assert table.dtype.names == FIELDS
    assert [table.dtype[name].str for name in FIELDS] == ["<i8", "<i8", "<u8", "<u4", "<u4", "<u4", "<u4"]
    assert (table.shape, table.itemsize) == ((15,), 40)
    assert not table.flags.writeable
    again = numpy.asarray(fragment.columns)
    assert table.__array_interface__["data"][0] == again.__array_interface__["data"][0]
    for name in FIELDS:
        single = numpy.asarray(getattr(fragment.columns, name))
        assert single.tolist() == table[name].tolist() == [row[name] for row in table]
        assert single.__array_interface__["data"][0] == table[name].__array_interface__["data"][0], name
        assert not single.flags.writeable
    assert int(table["length"].sum()) == sum(frame.size for frame in fragment.frames)


def test_single_columns_are_strided_memoryviews() -> None:
    (fragment,) = fragments(ASSORTED)
    for name, code in zip(FIELDS, "qqQIIII", strict=True):
        column = getattr(fragment.columns, name)
        assert isinstance(column, memoryview)
        assert (column.format, column.strides, column.shape, column.readonly) == (code, (40,), (15,), True)
        assert column.tolist() == [column[i] for i in range(15)]
        assert column[::-1].tolist() == column.tolist()[::-1]
        with pytest.raises(TypeError, match="read-only"):
            column[0] = 0
    for columns in (fragment.columns, fragment.raw, fragment.frames[0]):
        with pytest.raises(TypeError, match="read-write bytes-like object"):
            io.BytesIO(b"x" * 1000).readinto(columns)


def test_columns_keep_their_fragment() -> None:
    (fragment,) = fragments(ASSORTED)
    times, table = fragment.columns.media_time_ns, numpy.asarray(fragment.columns)
    expected = [frame.media_time_ns for frame in fragment.frames]
    del fragment
    gc.collect()
    assert len(fragments(ASSORTED * 20)) == 20
    assert times.tolist() == table["media_time_ns"].tolist() == expected


def test_columns_of_no_frames() -> None:
    (fragment,) = fragments(service_fragment(number=fragment_number(1), frames=()))
    assert len(fragment.columns) == len(fragment.frames) == 0
    assert list(fragment.frames) == list(fragment.frames[::-1]) == []
    assert numpy.asarray(fragment.columns).shape == (0,)
    assert fragment.columns.length.tolist() == []
    with pytest.raises(IndexError, match="frame 0 of 0"):
        fragment.frames[0]


# -- to_mkv ------------------------------------------------------------------------------------------------


def written(fragment: Fragment) -> bytes:
    file = io.BytesIO()
    assert fragment.to_mkv(file) == len(file.getvalue())
    return file.getvalue()


def test_a_whole_fragment_is_written_as_it_came(tmp_path: Path) -> None:
    for data in (SERVICE, ASSORTED, service_fragment(cluster_unknown=False, cluster_crc=True, wide=True)):
        (fragment,) = fragments(data)
        assert written(fragment) == data
        path = tmp_path / "out.mkv"
        for name in (path, str(path)):
            assert fragment.to_mkv(name) == len(data)
            assert path.read_bytes() == data
            path.unlink()


def test_what_is_written_reads_as_the_same_frames() -> None:
    """Plain and service's, whole and cut at every byte."""
    plain = ebml_header() + segment(
        info(),
        tracks(track_entry(1)),
        *(cluster(i, simple_block(1, 0, b"ab", keyframe=True), simple_block(1, 9, b"cd")) for i in range(2)),
    )
    known = ebml_header() + segment(
        info(),
        tracks(track_entry(1)),
        head_tags(fragment_number(1)),
        cluster(5, simple_block(1, 0, b"ab"), block_group(1, 9, b"cd", duration=5), width=8),
        trailer_tags(fragment_number(1)),
        unknown=0,
    )
    for data in (plain, known, service_fragment(frames=[Block(b"ab"), Block(b"cd", 9)])):
        for end in range(len(data) + 1):
            for fragment in fragments(data[:end]):
                again = fragments(written(fragment))
                got = [(frame.media_time_ns, bytes(frame)) for each in again for frame in each.frames]
                assert got == [(frame.media_time_ns, bytes(frame)) for frame in fragment.frames], end


def test_to_mkv_tells_of_a_file_it_cannot_write(tmp_path: Path) -> None:
    (fragment,) = fragments(SERVICE)
    with pytest.raises(FileNotFoundError):
        fragment.to_mkv(tmp_path / "nowhere" / "out.mkv")
    with pytest.raises(TypeError):
        fragment.to_mkv(io.StringIO())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Real video and audio in Clusters that begin with key frames."""
    if not has_encoder("libx264"):
        pytest.skip("this ffmpeg has no libx264")
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    make_media(
        path,
        *("-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=3"),
        *("-f", "lavfi", "-i", "sine=frequency=440:duration=3"),
        *("-c:v", "libx264", "-g", "15", "-bf", "2", "-c:a", "aac"),
        *("-f", "matroska"),
    )
    return path.read_bytes()


def section(data: bytes, name: str) -> bytes:
    """The first element of this name, header and all."""
    reader = ElementReader(Limits())
    for pos in range(0, len(data), 65_536):
        piece = data[pos : pos + 65_536]
        with memoryview(reader.buffer) as window:
            window[: len(piece)] = piece
        reader.buffer.commit(len(piece))
        while (element := reader.next_element()) is not None:
            if element.name == name:
                assert element.size is not None
                return data[element.offset : element.offset + element.header_size + element.size]
    raise AssertionError(f"no {name}")


def as_packets(fragment: Fragment) -> list[Packet]:
    numbers = [track.number for track in fragment.tracks]
    return [
        Packet(
            stream=numbers.index(frame.track_number),
            pts_ms=round(frame.media_time_ns / 1e6),
            size=frame.size,
            is_keyframe=frame.is_keyframe,
        )
        for frame in fragment.frames
    ]


def assert_playable(fragment: Fragment, path: Path) -> None:
    fragment.to_mkv(path)
    shown = [
        packet._replace(pts_ms=None if packet.pts_ms is None else round(packet.pts_ms))
        for packet in packets(path)
    ]
    assert shown == as_packets(fragment)


@needs_ffmpeg
def test_plain_clusters_are_playable(film: bytes, tmp_path: Path) -> None:
    import av

    made = fragments(film)
    assert len(made) >= 5
    for fragment in made:
        path = tmp_path / "cluster.mkv"
        assert_playable(fragment, path)
        with av.open(str(path)) as container:
            decoded = [type(frame).__name__ for frame in container.decode(video=0, audio=0)]
        # A Cluster begins with a key frame here, so every picture decodes.
        pictures = [frame for frame in fragment.frames if frame.track_number == 1]
        assert pictures[0].is_keyframe
        assert decoded.count("VideoFrame") == len(pictures) > 0
        assert "AudioFrame" in decoded


@needs_ffmpeg
@pytest.mark.parametrize(
    "style", ["unknown size", "known size", "known Segment", "plain known", "plain unknown"]
)
def test_cut_fragments_are_playable_with_their_whole_frames(film: bytes, tmp_path: Path, style: str) -> None:
    whole = fragments(film)[1]
    first = whole.cluster_timestamp
    assert first is not None
    blocks = [
        simple_block(
            frame.track_number,
            frame.media_time_ns // 1_000_000 - first,
            bytes(frame),
            keyframe=frame.is_keyframe,
            width=4,
        )
        for frame in whole.frames
    ]
    number = fragment_number(1)
    service = not style.startswith("plain")
    head = [section(film, "Info"), section(film, "Tracks"), *([head_tags(number)] if service else [])]
    unknown = 1 if style in ("unknown size", "plain unknown") else 0
    tail = [trailer_tags(number)] if service else []
    data = ebml_header() + segment(
        *head, cluster(first, *blocks, unknown=unknown), *tail, unknown=0 if style == "known Segment" else 8
    )
    starts = [data.index(block) for block in blocks]
    third = blocks.index(max(blocks[2:8], key=len))
    cuts = {
        "in a block": starts[third] + len(blocks[third]) // 2,
        "before the last byte of a block": starts[third + 1] - 1,
        "at the end of a block": starts[third + 1],
        "in a header": starts[third] + 2,
        "after a header": starts[third] + 5,
        "in the last block": starts[-1] + 10,
        "in the trailer": len(data) - 20 if service else len(data) - 1,
    }
    counts = {third, third + 1, len(blocks) - 1, len(blocks) if service else len(blocks) - 1}
    for name, end in cuts.items():
        (cut,) = fragments(data[:end])
        expected = sum(start + len(block) <= end for start, block in zip(starts, blocks, strict=True))
        assert cut.frame_count == expected > 0, name
        if name in ("in a block", "in a header", "in the last block"):
            assert not cut.is_complete
        assert_playable(cut, tmp_path / "cut.mkv")
        counts.discard(expected)
    assert not counts, "the cuts are not where their names say"
    (complete,) = fragments(data)
    assert complete.is_complete
    assert_playable(complete, tmp_path / "whole.mkv")


@needs_ffmpeg
def test_a_real_service_fragment_is_playable(film: bytes, tmp_path: Path) -> None:
    path = Path("../shared/data/getmedia/output_get_media.mkv")
    if not path.exists():
        pytest.skip("no captures at ../shared/data")
    data = path.read_bytes()
    made = fragments(data)
    assert len(made) == 5
    for fragment in made:
        assert fragment.is_complete
        assert written(fragment) == fragment.raw
        assert_playable(fragment, tmp_path / "fragment.mkv")


class Reluctant(io.RawIOBase):
    """A file that takes at most 1,000 bytes at a time."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: Any, /) -> int:
        self.taken += data[:1000]
        return min(len(data), 1000)


def test_to_mkv_writes_on_where_a_file_takes_less() -> None:
    data = service_fragment(frames=[Block(b"x" * 5000)])
    fragment = next(kvsfast.parse(data).fragments())
    file = Reluctant()
    assert fragment.to_mkv(file) == len(data)
    assert file.taken == data
    with pytest.raises(UsageError, match="expected a path or a binary file"):
        fragment.to_mkv(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [[50] * 400, [200_000] * 4, [50, 90_000, 50, 50, 700_000] * 3])
def test_kept_fragments_share_no_memory_whatever_came_with_them(sizes: list[int]) -> None:
    """Small ones of which one receive brings many, large ones that take many receives, and both in turn."""
    documents = [
        service_fragment(str(n), frames=[Block(bytes([n % 256]) * size)]) for n, size in enumerate(sizes)
    ]
    fragments = list(kvsfast.parse(b"".join(documents)).fragments())
    assert [bytes(fragment.raw) for fragment in fragments] == documents
    assert [fragment.frames[0].data for fragment in fragments] == [
        bytes([n % 256]) * size for n, size in enumerate(sizes)
    ]
    del fragments[::2]
    assert [bytes(fragment.raw) for fragment in fragments] == documents[1::2]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("size", [1, 200, 5000])
def test_a_frame_is_looked_into_without_a_view(keep: bool, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    reader = kvsfast.parse(service_fragment("1", frames=[Block(payload), Block(b"behind")]))
    frame = next(reader.fragments()).frames[0] if keep else next(reader.frames())
    assert len(frame) == size and list(iter(frame)) == list(payload)
    assert (frame[0], frame[-1], frame[-size]) == (payload[0], payload[-1], payload[0])
    assert frame[: size // 2] == payload[: size // 2] and frame[::-1] == payload[::-1]
    for index in (size, -size - 1, 1 << 70):
        with pytest.raises(IndexError, match=f"of {size}"):
            frame[index]
    with pytest.raises(TypeError):
        frame["first"]  # type: ignore[call-overload]
