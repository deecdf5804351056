"""Media, legal or wounded, through FragmentParser in both ways of keeping, against the reference parser."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kvsfast.model import Limits
from tests import reference
from tests.event_values import End, Raised
from tests.feed import Cut, assert_same, at, flatten, raw_events, value_of
from tests.mkv_writer import (
    Block,
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
    simple_tag,
    tags,
    targets,
    track_entry,
    tracks,
    unknown_size,
    vint,
    void,
)
from tests.strategies import ASIDE, HEADERS, INTERESTING, sizes_in

#: Small enough to be met by small media. Limits on what stands in Tags or a BlockGroup are left out: the
#: parser takes those whole and tells of another place than the reference.
TIGHT = (
    Limits(max_block_size=30),
    Limits(max_string_size=12),
    Limits(max_tracks=1),
)

#: Only kept fragments have these; the reference does not keep.
KEEPING = ("max_fragment_size", "max_frames")


@dataclass(frozen=True)
class MediaCase:
    """``cuts``: offsets at which the media is cut into the pieces that arrive."""

    data: bytes
    cuts: tuple[int, ...] = ()
    strict: bool = False
    trailer: bool | None = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen

    def check(self) -> None:
        """The reference's events, frame by frame, while streaming and out of kept fragments."""
        expected = reference.parse(self.data, strict=self.strict, trailer=self.trailer, limits=self.limits)
        options: dict[str, Any] = {"strict": self.strict, "trailer": self.trailer, "limits": self.limits}
        cut: Cut = at(self.cuts)
        events = [value_of(event) for event in raw_events(self.data, cut, **options)]
        assert_same(events, expected, "streaming against the reference")
        objects = raw_events(self.data, cut, keep_fragments=True, **options)
        kept = list(flatten(objects, self.data))
        if kept and isinstance(kept[-1], Raised) and kept[-1].limit in KEEPING:
            kept.pop()
            if kept and isinstance(kept[-1], End) and not kept[-1].is_complete:
                kept.pop()
            expected = expected[: len(kept)]
        assert_same(kept, expected, "fragments against the reference")


def make(dice: random.Random) -> MediaCase:
    data = b"".join(document(dice, sequence) for sequence in range(1, 1 + dice.randint(1, 3)))
    for _ in range(dice.choice([0, 1, 1, 2, 3, 6])):
        data = wound(dice, data)
    limits = dice.choice(TIGHT) if dice.random() < 0.15 else Limits()
    many = dice.choice([0, 1, 3, 30, len(data)])
    cuts = sorted({dice.randint(0, len(data)) for _ in range(many)})
    return MediaCase(data, tuple(cuts), dice.random() < 0.3, dice.choice([None, True, False]), limits)


# -- legal media -------------------------------------------------------------------------------------------


def document(dice: random.Random, sequence: int) -> bytes:
    number = fragment_number(sequence)
    kind = dice.randrange(8)
    if kind == 0:
        return error_document(
            number=dice.choice([None, number]), error_id=dice.choice([3000, 4500, "x", None])
        )
    if kind == 1:
        return connect_fragment(number, frames=[Block(b"pcm" * 9, 64 * i, 1 + i % 2) for i in range(4)])
    entries, blocks = media(dice)
    if kind <= 4:
        return service_fragment(
            number,
            frames=blocks,
            tracks=entries,
            timestamp=dice.choice([0, 0, 7, 1_646_229_468_350, None]),
            token=dice.choice(["", "", "", None, "opaque"]),
            before_tags=some_tags(dice),
            after_tags=some_tags(dice),
            cluster_unknown=dice.random() < 0.5,
            cluster_crc=dice.random() < 0.2,
            wide=dice.random() < 0.3,
            segment_unknown=dice.choice([8, 1, 0]),
        )
    children = [info(TimestampScale=dice.choice([1_000_000, 1, 999_983])), entries]
    for _ in range(dice.randint(0, 3)):
        children.append(cluster(dice.randint(0, 10**5), *blocks, unknown=dice.choice([0, 1, 8])))
        children += [tags(each) for each in some_tags(dice)] + dice.choice(
            [[], [void(9)], [dice.choice(ASIDE)]]
        )
    doc_type = dice.choice(["matroska", "webm", "matroska\0"])
    return ebml_header(doc_type) + segment(*children, unknown=dice.choice([8, 1, 0]))


ENCODINGS: list[tuple[list[bytes], Callable[[bytes], bytes]]] = [
    ([], bytes),
    ([], bytes),
    ([compression(0)], zlib.compress),
    ([compression(3, b"head")], bytes),
    ([compression(1)], bytes),
]
TIMES: list[dict[str, Any]] = [
    {},
    {"DefaultDuration": 20_000_000},
    {"CodecDelay": 6_500_000},
    {"TrackTimestampScale": 0.5},
]
ADDITIONS: list[list[tuple[int | None, bytes]]] = [[], [(1, b"more")], [(None, b""), (4, b"x")]]


def media(dice: random.Random) -> tuple[bytes, list[bytes]]:
    """Tracks, and blocks of them: plain, laced, in groups, encoded."""
    numbers = dice.sample([1, 2, 127, 128, 70_000], dice.randint(1, 3))
    entries = []
    stores: dict[int, Callable[[bytes], bytes]] = {}
    for number in numbers:
        steps, stores[number] = dice.choice(ENCODINGS)
        children = [content_encodings(*steps)] if steps else []
        entries.append(track_entry(number, *children, **dice.choice(TIMES)))
    blocks = []
    for _ in range(dice.choice([0, 1, 3, 9])):
        number = dice.choice(numbers)
        store = stores[number]
        lacing = dice.choice([None, None, None, "xiph", "ebml", "fixed"])
        size = dice.choice([0, 1, 30, 300, 2049])
        frames = [store(dice.randbytes(size)) for _ in range(dice.randint(1, 4))]
        frames = frames[:1] * len(frames) if lacing == "fixed" else frames
        payload: bytes | list[bytes] = frames if lacing else frames[0]
        time = dice.randint(-100, 2000)
        if dice.random() < 0.6:
            blocks.append(simple_block(number, time, payload, keyframe=dice.random() < 0.5, lacing=lacing))
        else:
            additions = dice.choice(ADDITIONS)
            duration = dice.choice([None, 40])
            blocks.append(
                block_group(number, time, payload, lacing=lacing, duration=duration, additions=additions)
            )
        if dice.random() < 0.1:
            blocks.append(void(dice.choice([0, 5, 300])))
    return tracks(*entries), blocks


def some_tags(dice: random.Random) -> list[bytes]:
    nested = simple_tag("outer", "1", simple_tag("inner", binary=b"\0\1"))
    each = [simple_tag("place", "hall"), nested, targets(1), simple_tag(None, "no name"), simple_tag("é", "")]
    return dice.sample(each, dice.choice([0, 0, 1, 3]))


# -- wounds -------------------------------------------------------------------------------------------


def wound(dice: random.Random, data: bytes) -> bytes:
    start = dice.randint(0, len(data))
    end = min(len(data), start + dice.randint(1, 40))
    match dice.choice(["flip", "set", "cut", "drop", "insert", "insert", "repeat", "size", "size", "size"]):
        case "flip" if start < len(data):
            return data[:start] + bytes([data[start] ^ 1 << dice.randrange(8)]) + data[start + 1 :]
        case "set":
            value = dice.choice(INTERESTING)
            return data[:start] + value + data[start + len(value) :]
        case "cut":
            return data[:start]
        case "drop":
            return data[:start] + data[end:]
        case "insert":
            return data[:start] + dice.choice(INTERESTING + HEADERS) + data[start:]
        case "repeat":
            return data[:end] + data[start:end] + data[end:]
        case "size" if offsets := sizes_in(data):
            at = dice.choice(offsets)
            width = 9 - data[at].bit_length()
            size = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
            size = dice.choice([0, size - 2, size - 1, size + 1, size + 2, size + 100, 1 << 6 * width])
            field = vint(min(max(0, size), (1 << 7 * width) - 2), width)
            return data[:at] + dice.choice([field, field, unknown_size(width)]) + data[at + width :]
    return data
