"""Hypothesis strategies of media: :func:`media` is legal whatever it holds, :func:`broken_media` was so once.

They give bytes made by :mod:`tests.mkv_writer`; what must come of them, :mod:`tests.reference` knows.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.matroska_elements import BY_ID
from tests.mkv_writer import (
    VIDEO_TRACKS,
    Value,
    block_group,
    cluster,
    compression,
    content_encodings,
    crc32,
    ebml_header,
    element,
    encryption,
    error_document,
    fragment_number,
    head_tags,
    info,
    leaf,
    master,
    segment,
    service_tags,
    simple_block,
    simple_tag,
    tag,
    tags,
    targets,
    track_entry,
    tracks,
    trailer_tags,
    unknown_size,
    vint,
    void,
)

#: Size fields that hold whatever these strategies write.
WIDTHS = st.sampled_from([0, 0, 0, 4, 8])
UNKNOWN_WIDTHS = st.sampled_from([0, 0, 1, 2, 5, 8])
UNKNOWN_IDS = [b"\x9e", b"\x4d\x4d", b"\x21\x21\x21", b"\x12\x34\x56\x78"]
assert not set(UNKNOWN_IDS) & set(BY_ID)

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAMES = st.sampled_from(["ContactId", "MimeType", "a", "AWS_KINESISVIDEO_END_OF_FRAGMENT", "é"])


def payloads() -> st.SearchStrategy[bytes]:
    """Frames: mostly small, some larger than what is copied, some with the bytes of a header in them."""
    small = st.binary(max_size=40)
    large = st.builds(lambda size, byte: bytes([byte]) * size, st.integers(1000, 70_000), st.integers(0, 255))
    fakes = st.sampled_from([ebml_header(), segment(), b"\x1f\x43\xb6\x75\xff", trailer_tags("1")])
    return st.one_of(small, small, small, small, fakes, large)


def noise() -> st.SearchStrategy[bytes]:
    """What may stand anywhere and means nothing: Void and elements of no known ID."""
    voids = st.builds(void, st.integers(0, 300), width=WIDTHS)
    unknown = st.builds(element, st.sampled_from(UNKNOWN_IDS), st.binary(max_size=20), width=WIDTHS)
    return st.one_of(st.just(b""), st.just(b""), st.just(b""), voids, unknown)


def with_noise(draw: st.DrawFn, children: Sequence[bytes]) -> list[bytes]:
    return [part for child in children for part in (draw(noise()), child)]


@dataclass(frozen=True)
class Recipe:
    """A track as the blocks need to know it: its number, and how its frames are stored."""

    number: int
    store: Callable[[bytes], bytes] = bytes


ENCODINGS: list[tuple[list[bytes], Callable[[bytes], bytes]]] = [
    ([], bytes),
    ([], bytes),
    ([], bytes),
    ([compression(0)], zlib.compress),
    ([compression()], zlib.compress),
    ([compression(3, b"head")], bytes),
    ([compression(3, b"p", ContentEncodingScope=2)], bytes),
    (
        [compression(0), compression(3, b"\x78", ContentEncodingOrder=1)],
        lambda frame: zlib.compress(frame)[1:],
    ),
    ([encryption()], bytes),
    ([compression(1)], bytes),
]


@st.composite
def track_entries(draw: st.DrawFn, number: int) -> tuple[bytes, Recipe]:
    """A TrackEntry with any of what a Track tells."""
    leaves: dict[str, Value] = {}
    optional: dict[str, st.SearchStrategy[Value]] = {
        "Name": WORDS,
        "Language": st.sampled_from(["fre", ""]),
        "LanguageBCP47": st.just("de-CH"),
        "CodecPrivate": st.binary(max_size=20),
        "CodecName": WORDS,
        "DefaultDuration": st.integers(1, 10**9),
        "CodecDelay": st.integers(0, 10**9),
        "SeekPreRoll": st.integers(0, 10**9),
        "TrackTimestampScale": st.sampled_from([1.0, 2.0, 0.25, 1.001]),
        "FlagLacing": st.integers(0, 1),
        "FlagForced": st.integers(0, 1),
        "FlagOriginal": st.integers(0, 1),
        "MaxBlockAdditionID": st.integers(0, 4),
    }
    for name, values in optional.items():
        if draw(st.integers(0, 3)) == 0:
            leaves[name] = draw(values)
    children = []
    if draw(st.booleans()):
        colour = master("Colour", master("MasteringMetadata", LuminanceMax=1000.0), Range=1, MaxCLL=900)
        inside = [colour, master("Projection", ProjectionType=1, ProjectionPoseYaw=-90.0)]
        children.append(master("Video", *inside[: draw(st.integers(0, 2))], PixelWidth=640, StereoMode=1))
        leaves |= {"TrackType": 1, "CodecID": "V_VP9"}
    else:
        children.append(master("Audio", Channels=2, BitDepth=16, SamplingFrequency=draw(st.floats(1, 1e6))))
        leaves |= {"TrackType": 2, "CodecID": "A_OPUS\0\0"}
    steps, store = draw(st.sampled_from(ENCODINGS))
    if steps:
        children.append(content_encodings(*steps))
    written = track_entry(number, *with_noise(draw, children), width=draw(WIDTHS), **leaves)  # type: ignore[arg-type]
    return written, Recipe(number, store)


@st.composite
def all_tracks(draw: st.DrawFn) -> tuple[bytes, list[Recipe]]:
    """Tracks of one to three, or the usual one."""
    if draw(st.booleans()):
        return VIDEO_TRACKS, [Recipe(1)]
    numbers = draw(
        st.lists(st.sampled_from([1, 2, 3, 126, 127, 128, 70_000]), min_size=1, max_size=3, unique=True)
    )
    made = [draw(track_entries(number)) for number in numbers]
    written = tracks(
        *with_noise(draw, [entry for entry, _ in made]),
        width=draw(WIDTHS),
        unknown=draw(UNKNOWN_WIDTHS),
        crc=draw(st.booleans()),
    )
    return written, [recipe for _, recipe in made]


@st.composite
def blocks(draw: st.DrawFn, recipes: Sequence[Recipe]) -> bytes:
    """A SimpleBlock or a BlockGroup, laced or not, of a track that may be unknown."""
    recipe = draw(st.sampled_from([*recipes, *recipes, Recipe(9)]))
    time = draw(st.one_of(st.integers(0, 2000), st.integers(-(2**15), 2**15 - 1)))
    lacing = draw(st.sampled_from([None, None, None, "xiph", "ebml", "fixed"]))
    frames: bytes | list[bytes]
    if lacing is None:
        frames = recipe.store(draw(payloads()))
    else:
        frames = list(map(recipe.store, draw(st.lists(st.binary(max_size=300), min_size=1, max_size=5))))
        if lacing == "fixed":
            frames = frames[:1] * len(frames)
    if draw(st.booleans()):
        return simple_block(
            recipe.number,
            time,
            frames,
            keyframe=draw(st.booleans()),
            invisible=draw(st.booleans()),
            discardable=draw(st.booleans()),
            lacing=lacing,
            width=draw(WIDTHS),
        )
    return block_group(
        recipe.number,
        time,
        frames,
        draw(noise()),
        lacing=lacing,
        invisible=draw(st.booleans()),
        duration=draw(st.none() | st.integers(0, 10**6)),
        references=draw(st.lists(st.integers(-1000, 1000), max_size=2)),
        additions=draw(st.lists(st.tuples(st.none() | st.integers(1, 9), st.binary(max_size=9)), max_size=2)),
        discard_padding=draw(st.none() | st.integers(-(10**6), 10**6)),
        width=draw(WIDTHS),
    )


@st.composite
def clusters(draw: st.DrawFn, recipes: Sequence[Recipe]) -> bytes:
    """A Cluster of known or unknown size, with Position, PrevSize and noise among its blocks."""
    children = draw(st.lists(blocks(recipes), max_size=5))
    children.insert(draw(st.integers(0, len(children))), leaf("Position", 77))
    timestamp = draw(st.one_of(st.integers(0, 10**5), st.just(1_646_229_468_350)))
    before = [leaf("PrevSize", 12)] if draw(st.booleans()) else []
    inside = [*before, leaf("Timestamp", timestamp, length=draw(st.sampled_from([None, 8]))), *children]
    return cluster(
        None,
        *with_noise(draw, inside),
        width=draw(WIDTHS),
        unknown=draw(UNKNOWN_WIDTHS),
        crc=draw(st.booleans()),
    )


@st.composite
def simple_tags(draw: st.DrawFn, depth: int = 0) -> bytes:
    children = draw(st.lists(simple_tags(depth + 1), max_size=2)) if depth < 2 else []
    leaves: dict[str, Value] = {}
    if draw(st.integers(0, 3)) == 0:
        leaves = draw(
            st.sampled_from([{"TagLanguage": "ger"}, {"TagLanguageBCP47": "en-GB"}, {"TagDefault": 0}])
        )
    return simple_tag(
        draw(st.none() | NAMES),
        draw(st.none() | WORDS),
        *children,
        binary=draw(st.none() | st.none() | st.binary(max_size=9)),
        width=draw(WIDTHS),
        **leaves,
    )


@st.composite
def producer_tags(draw: st.DrawFn) -> bytes:
    """A Tags of the producer, of none to two Tag elements, nested and repeated."""
    each = []
    for _ in range(draw(st.integers(0, 2))):
        inside = draw(st.lists(simple_tags(), max_size=3))
        if draw(st.booleans()):
            inside.insert(draw(st.integers(0, len(inside))), targets(1, 2, target_type_value=30))
        each.append(tag(*with_noise(draw, inside), width=draw(WIDTHS)))
    return element("Tags", *with_noise(draw, each), width=draw(WIDTHS), unknown=draw(UNKNOWN_WIDTHS))


ASIDE = [
    master("SeekHead", master("Seek", SeekID=b"\x15\x49\xa9\x66", SeekPosition=99)),
    master(
        "Cues", master("CuePoint", master("CueTrackPositions", CueTrack=1, CueClusterPosition=5), CueTime=0)
    ),
    master(
        "Chapters", master("EditionEntry", master("ChapterAtom", master("ChapterDisplay", ChapString="x")))
    ),
    master("Attachments", master("AttachedFile", FileName="a", FileMediaType="b", FileData=b"c" * 99)),
]


@st.composite
def heads(draw: st.DrawFn) -> tuple[bytes, list[bytes], list[Recipe]]:
    """An EBML header, the Segment's children ahead of the media, the tracks."""
    header = ebml_header(
        draw(st.sampled_from(["matroska", "matroska\0", "webm"])),
        draw(noise()),
        width=draw(WIDTHS),
        unknown=draw(UNKNOWN_WIDTHS),
        crc=draw(st.booleans()),
        DocTypeVersion=draw(st.sampled_from([1, 4, 99])),
        DocTypeReadVersion=draw(st.sampled_from([1, 2, 99])),
    )
    leaves: dict[str, Value] = {"TimestampScale": draw(st.sampled_from([1_000_000, 1, 100_000, 999_983]))}
    if draw(st.booleans()):
        leaves |= {"Duration": draw(st.floats()), "Title": draw(WORDS), "SegmentUUID": bytes(16)}
    crc, unknown = draw(st.booleans()), draw(UNKNOWN_WIDTHS)
    about = info(width=draw(WIDTHS), unknown=unknown, crc=crc, **leaves)
    written, recipes = draw(all_tracks())
    children = [about, written]
    if draw(st.booleans()):
        children.insert(draw(st.integers(0, 2)), draw(st.sampled_from(ASIDE)))
    return header, children, recipes


@st.composite
def plain_documents(draw: st.DrawFn) -> bytes:
    """A document without service tags: Clusters, and Tags and other elements between them."""
    header, children, recipes = draw(heads())
    body = st.one_of(clusters(recipes), clusters(recipes), producer_tags(), st.sampled_from(ASIDE))
    children += draw(st.lists(body, max_size=4))
    unknown = draw(st.sampled_from([0, 1, 8]))
    after = [draw(noise())] if unknown else [void(draw(st.integers(0, 20)))]
    return header + segment(*with_noise(draw, children), unknown=unknown) + b"".join(after)


@st.composite
def service_documents(draw: st.DrawFn, sequence: int, *, has_trailer: bool | None = None) -> bytes:
    """A fragment of the service: tags anywhere, mostly one Cluster and a trailer, maybe tags behind that."""
    header, children, recipes = draw(heads())
    number = fragment_number(sequence)
    time = draw(st.sampled_from(["1511852109.126", "0.000", "5.0007", "12", "-3.5"]))
    head = head_tags(number, "1511852109.126", time)
    if draw(st.integers(0, 9)) == 0:
        head = service_tags(FRAGMENT_NUMBER=number)
    children.insert(draw(st.integers(0, len(children))), head)
    if draw(st.booleans()):
        children.insert(draw(st.integers(0, len(children))), draw(producer_tags()))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2]))):
        children.append(draw(clusters(recipes)))
        children += draw(st.lists(producer_tags(), max_size=2))
    if draw(st.sampled_from([True, True, True, False])) if has_trailer is None else has_trailer:
        behind = draw(st.sampled_from(["0", "15858", "-20"]))
        children.append(trailer_tags(draw(st.sampled_from([number, "opaque-token.1"])), behind))
        children += draw(st.lists(producer_tags(), max_size=1))
    return header + segment(*with_noise(draw, children), unknown=draw(st.sampled_from([8, 8, 8, 1, 0])))


@st.composite
def media(draw: st.DrawFn) -> bytes:
    """Legal media: up to four documents, of the service, plain, or telling an error."""
    documents = []
    # A fragment list has no trailers at all; a live stream has them, but for a cut one.
    has_trailer = draw(st.sampled_from([None, None, True, False]))
    for sequence in range(1, 1 + draw(st.integers(1, 4))):
        error = st.builds(
            error_document,
            st.sampled_from(["FRAGMENT_NOT_FOUND", "NEW", None]),
            st.sampled_from([3000, 4500, 99, "x"]),
            st.sampled_from([None, fragment_number(sequence)]),
        )
        service = service_documents(sequence, has_trailer=has_trailer)
        documents.append(draw(st.one_of(service, service, service, plain_documents(), error)))
    return b"".join(documents)


INTERESTING = [b"\0", b"\x01", b"\x7f", b"\x80", b"\x81", b"\xff", b"\xec", b"\xec\x80", crc32(b"")]
HEADERS = [row.id + size for row in BY_ID.values() for size in (b"\x80", b"\x84", b"\xff")] + [
    ebml_header(),
    segment(),
    cluster(7),
    info(),
    VIDEO_TRACKS,
    trailer_tags("1"),
    head_tags("2"),
    tags(("late", "1")),
]


def sizes_in(data: bytes) -> list[int]:
    """Offsets that look like the size field of a known element."""
    found = []
    for offset in range(len(data)):
        width = next((n for n in range(1, 5) if data[offset : offset + n] in BY_ID), 0)
        if width and offset + width < len(data) and data[offset + width]:
            found.append(offset + width)
    return found


@st.composite
def broken_media(draw: st.DrawFn) -> bytes:
    """Media with one to three wounds: flipped bytes, cuts, insertions, repetitions, edited sizes."""
    data = draw(media())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(1, 40)))
        kind = draw(st.sampled_from(["flip", "set", "cut", "drop", "insert", "repeat", "size", "size"]))
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif kind == "set":
            value = draw(st.sampled_from(INTERESTING))
            data = data[:at] + value + data[at + len(value) :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[to:]
        elif kind == "insert":
            data = (
                data[:at] + draw(st.sampled_from(INTERESTING + HEADERS) | st.binary(max_size=9)) + data[at:]
            )
        elif kind == "repeat":
            data = data[:to] + data[at:to] + data[to:]
        elif kind == "size":
            offsets = sizes_in(data)
            if offsets:
                offset = draw(st.sampled_from(offsets))
                width = 9 - data[offset].bit_length()
                size = int.from_bytes(data[offset : offset + width], "big") & (1 << 7 * width) - 1
                change = draw(st.sampled_from([-size, -2, -1, 1, 2, 100]))
                field = vint(min(max(0, size + change), (1 << 7 * width) - 2), width)
                field = draw(st.sampled_from([field, field, field, unknown_size(width)]))
                data = data[:offset] + field + data[offset + width :]
    return data
