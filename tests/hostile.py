"""Twenty-seven small inputs at which parsers of this format have fallen over, and what must come of each.

Most are broken media; some are legal and only rare. They hold one to three frames, so that the number of
frames tells how far a parser came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from tests.mkv_writer import (
    block,
    cluster,
    crc32,
    ebml_header,
    element,
    info,
    leaf,
    master,
    segment,
    simple_block,
    tag,
    tags,
    track_entry,
    tracks,
    vint,
    void,
)

HEAD = ebml_header()
TRACKS = tracks(track_entry(1))
BLOCKS = [simple_block(1, 40 * i, bytes([i]) * 20, keyframe=i == 0) for i in range(3)]
CLUSTER = cluster(0, *BLOCKS)


def document(*children: bytes, header: bytes = HEAD) -> bytes:
    """A document of these children after its Info and Tracks, in a Segment of unknown size."""
    return header + segment(info(), TRACKS, *children)


GOOD = document(CLUSTER)


def header_of(name: str, size: int, width: int = 8) -> bytes:
    """Only the header of an element, with a size that nothing follows up."""
    return element(name, b"")[:-1] + vint(size, width)


def laced(lacing: str, payload: bytes) -> bytes:
    """A block with ``payload`` as its lace, and a good block behind it."""
    broken = element(
        "SimpleBlock", block(1, 0, b"", flags={"xiph": 2, "fixed": 4, "ebml": 6}[lacing]), payload
    )
    return document(cluster(0, broken, BLOCKS[1]))


def deep_simple_tags(levels: int) -> bytes:
    """SimpleTags in each other, from the innermost out."""
    heads, size = list[bytes](), 0
    for _ in range(levels):
        name = leaf("TagName", "deep")
        head = header_of("SimpleTag", size + len(name), width=4) + name
        heads.append(head)
        size += len(head)
    return document(element("Tags", element("Tag", *reversed(heads))), CLUSTER)


def broken_leaf(payload: bytes) -> bytes:
    """A document with ``payload`` where its Cluster should be, and the Cluster behind it."""
    return document(payload, CLUSTER)


def cut_tracks(codec_private_size: int) -> bytes:
    entry = track_entry(1, header_of("CodecPrivate", codec_private_size))
    return HEAD + segment(info(), tracks(entry), CLUSTER)


def big_string(size: int) -> bytes:
    title = header_of("Title", size, width=8)
    return HEAD + segment() + header_of("Info", size + len(title)) + title + b"x" * 1000


def known_segment(*children: bytes) -> bytes:
    return HEAD + segment(info(), TRACKS, *children, unknown=0)


def chapters() -> bytes:
    display = master("ChapterDisplay", ChapString="one", ChapLanguage="eng")
    atom = master("ChapterAtom", element("ChapterTimeStart"), display, ChapterUID=1)
    return document(master("Chapters", master("EditionEntry", atom)), CLUSTER)


@dataclass(frozen=True)
class Case:
    """``frames``: how many must be delivered; ``error``: the name of the error that ends it, or None."""

    make: Callable[[], bytes]
    frames: int
    error: str | None = None

    @cached_property
    def data(self) -> bytes:
        return self.make()


CASES = {
    "00_good": Case(lambda: GOOD, 3),
    "01_concat20k": Case(lambda: GOOD * 20_000, 60_000),
    "02_huge_leaf_8byte": Case(
        lambda: document(cluster(0, header_of("SimpleBlock", 2**56 - 2), *BLOCKS, unknown=8)),
        0,
        "LimitExceeded",
    ),
    "03_huge_codecpriv": Case(lambda: cut_tracks(2**40), 0, "MediaError"),
    "04_huge_string_2G": Case(lambda: big_string(2**31), 0, "LimitExceeded"),
    "05_deep_simpletag20k": Case(lambda: deep_simple_tags(20_000), 3),
    "06_zero_id_byte": Case(lambda: broken_leaf(b"\0"), 0, "MediaError"),
    "07_size_first_byte_zero": Case(lambda: broken_leaf(b"\xec\0"), 0, "MediaError"),
    "08_unknown_size_leaf": Case(
        lambda: document(cluster(0, BLOCKS[0], b"\xa3\xff" + BLOCKS[1][2:], BLOCKS[2])), 1, "MediaError"
    ),
    "09_empty_simpleblock": Case(
        lambda: document(cluster(0, element("SimpleBlock"), *BLOCKS)), 0, "MediaError"
    ),
    # Two sizes: 2, then 2 - 10.
    "10_ebml_lace_negative": Case(lambda: laced("ebml", b"\x02\x82\xb5" + b"x" * 20), 0, "MediaError"),
    "11_xiph_lace_overrun": Case(lambda: laced("xiph", b"\x01\xff\xff\x10" + b"x" * 20), 0, "MediaError"),
    "12_fixed_lace_notdivisible": Case(lambda: laced("fixed", b"\x02" + b"x" * 20), 0, "MediaError"),
    "13_unknown_elem_in_unksize_cluster": Case(
        lambda: document(cluster(0, BLOCKS[0], element(b"\x4d\x4d", b"what?"), BLOCKS[1], unknown=8)), 2
    ),
    "14_child_beyond_parent": Case(
        lambda: document(cluster(0, BLOCKS[0], header_of("SimpleBlock", 500, 2) + b"x" * 20), CLUSTER),
        1,
        "MediaError",
    ),
    "15_void_1M": Case(lambda: document(void(0) * 2**19, cluster(0, BLOCKS[0])), 1),
    "16_crc_wrong": Case(
        lambda: document(element("Cluster", crc32(b"else"), leaf("Timestamp", 0), BLOCKS[0])), 1
    ),
    "17_track_8byte": Case(
        lambda: document(cluster(0, *(simple_block(1, i, b"frame", track_width=8) for i in range(2)))), 2
    ),
    "18_unk_size_widths": Case(
        lambda: b"".join(
            HEAD + segment(info(unknown=i), TRACKS, cluster(0, BLOCKS[0], unknown=9 - i), unknown=i)
            for i in (2, 7)
        ),
        2,
    ),
    "19_known_segment_too_small": Case(
        lambda: HEAD + header_of("Segment", len(info() + TRACKS)) + info() + TRACKS + CLUSTER, 0, "MediaError"
    ),
    "20_garbage_between": Case(lambda: GOOD + b"\0\x07garbage\xff" + GOOD, 3, "MediaError"),
    "21_no_ebml_head_start_cluster": Case(lambda: CLUSTER, 0, "MediaError"),
    "22_trunc_mid_block": Case(lambda: GOOD[:-10], 2),
    "23_void_toplevel_between_docs": Case(
        lambda: known_segment(CLUSTER) + void(300) + known_segment(CLUSTER), 6
    ),
    "24_crc_in_segment_tags_after": Case(
        lambda: document(crc32(b""), CLUSTER, tags(("after", "1")), element("Tags", tag())) * 2, 6
    ),
    "25_chapterdisplay_0x80": Case(chapters, 3),
    "26_doctypereadversion_99": Case(
        lambda: document(CLUSTER, header=ebml_header(DocTypeReadVersion=99, DocTypeVersion=99)), 3
    ),
}
