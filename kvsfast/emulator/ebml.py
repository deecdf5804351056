"""A walk over EBML elements of a whole file in memory (RFC 8794), as much as a service needs to store media.

The service does not look into frames: it cuts the producer's bytes at Clusters and sends them on as they are.
So this walker knows the borders of elements and nothing of their meaning, and it does not mind the cost: it
runs once, when a file is loaded. The client's scanner, which must be fast and resumable, is not used here, so
that the two can be tested against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvsfast.errors import MediaError, TruncatedMedia

EBML = 0x1A45DFA3
SEGMENT = 0x18538067
INFO = 0x1549A966
TIMESTAMP_SCALE = 0x2AD7B1
CLUSTER = 0x1F43B675
TIMESTAMP = 0xE7
SIMPLE_BLOCK = 0xA3
BLOCK_GROUP = 0xA0
BLOCK = 0xA1
TAGS = 0x1254C367
TAG = 0x7373
SIMPLE_TAG = 0x67C8
TAG_NAME = 0x45A3
TAG_STRING = 0x4487
VOID = 0xEC
CRC_32 = 0xBF

#: IDs that end a Cluster of unknown size: what stands beside it in a Segment, and what stands above.
_BESIDE_CLUSTER = {
    EBML,
    SEGMENT,
    INFO,
    CLUSTER,
    TAGS,
    0x114D9B74,  # SeekHead
    0x1654AE6B,  # Tracks
    0x1C53BB6B,  # Cues
    0x1941A469,  # Attachments
    0x1043A770,  # Chapters
}

#: Masters whose children the service writes one by one (beside Segment, Cluster and Block, which are
#: special).
MASTERS = _BESIDE_CLUSTER - {EBML, SEGMENT, CLUSTER} | {
    0x4DBB,  # Seek
    0xAE,  # TrackEntry
    0xE0,  # Video
    0x55B0,  # Colour
    0x55D0,  # MasteringMetadata
    0xE1,  # Audio
    0x6D80,  # ContentEncodings
    0x6240,  # ContentEncoding
    0x5034,  # ContentCompression
    BLOCK_GROUP,
    0x75A1,  # BlockAdditions
    0xA6,  # BlockMore
    0xBB,  # CuePoint
    0xB7,  # CueTrackPositions
    TAG,
    0x63C0,  # Targets
    SIMPLE_TAG,
}

_NAMES = {EBML: "EBML", SEGMENT: "Segment", CLUSTER: "Cluster", TAGS: "Tags", INFO: "Info"}


class Element(NamedTuple):
    """Where an element lies: its header begins at ``start``, its data at ``data`` and ends before ``end``."""

    id: int
    start: int
    data: int
    end: int


def name_of(element_id: int) -> str:
    """For messages: the element's name if it is one that matters here, else its ID."""
    return _NAMES.get(element_id, f"0x{element_id:X}")


def element_at(buffer: memoryview, start: int, limit: int) -> Element:
    """The element that begins at ``start`` and lies before ``limit``.

    An unknown size is resolved for Segment (to the next EBML header, Segment, or ``limit``) and for Cluster
    (to the next element that cannot be its child). TruncatedMedia if the element does not end before
    ``limit``.
    """
    element_id, size, data = _header(buffer, start, limit)
    if size is None:
        if element_id == CLUSTER:
            return Element(element_id, start, data, _end_of_cluster(buffer, data, limit))
        if element_id == SEGMENT:
            return Element(element_id, start, data, _end_of_segment(buffer, data, limit))
        raise MediaError(
            f"{name_of(element_id)} has an unknown size, which only Segment and Cluster may have",
            offset=start,
        )
    if data + size > limit:
        if element_id == SEGMENT:
            # The last of its children is cut too, and more is to be said about that one.
            return Element(element_id, start, data, limit)
        raise TruncatedMedia(
            f"{name_of(element_id)} declares {size} bytes of which {limit - data} are there", offset=start
        )
    return Element(element_id, start, data, data + size)


def children(buffer: memoryview, start: int, limit: int) -> Iterator[Element]:
    """The elements that lie side by side between ``start`` and ``limit``."""
    while start < limit:
        element = element_at(buffer, start, limit)
        yield element
        start = element.end


def uint(buffer: memoryview, element: Element) -> int:
    """The value of an unsigned integer element."""
    size = element.end - element.data
    if size > 8:
        raise MediaError(f"{name_of(element.id)} is an integer of {size} bytes", offset=element.start)
    return int.from_bytes(buffer[element.data : element.end])


def text(buffer: memoryview, element: Element) -> str:
    """The value of a string element, without the NULs that some producers pad it with."""
    return bytes(buffer[element.data : element.end]).partition(b"\0")[0].decode("utf-8", "replace")


def block_prefix(buffer: memoryview, block: Element) -> int:
    """How many bytes of a Block or SimpleBlock come before its frames: track number, time and flags."""
    size = block.end - block.data
    width = 9 - buffer[block.data].bit_length() if size else 9
    if width > 8 or size < width + 3:
        raise MediaError(
            f"a block of {size} bytes is shorter than its own header", offset=block.start, path=("Cluster",)
        )
    return width + 3


def block_time(buffer: memoryview, block: Element) -> int:
    """The block's time against its Cluster's, in TimestampScale units: a signed 16-bit number."""
    at = block.data + block_prefix(buffer, block) - 3
    return int.from_bytes(buffer[at : at + 2], signed=True)


def _header(buffer: memoryview, start: int, limit: int) -> tuple[int, int | None, int]:
    """(ID, size or None for unknown, position of the data)."""
    first = buffer[start]
    id_width = 9 - first.bit_length()
    if id_width > 4:
        raise MediaError(f"0x{first:02X} begins no element ID", offset=start)
    at = start + id_width
    if at >= limit:
        raise TruncatedMedia("the header of an element is cut", offset=start)
    element_id = int.from_bytes(buffer[start:at])
    first = buffer[at]
    if first == 0:
        raise MediaError(f"the size of {name_of(element_id)} is wider than 8 bytes", offset=start)
    width = 9 - first.bit_length()
    if at + width > limit:
        raise TruncatedMedia(f"the size of {name_of(element_id)} is cut", offset=start)
    all_ones = (1 << 7 * width) - 1
    size = int.from_bytes(buffer[at : at + width]) & all_ones
    return element_id, None if size == all_ones else size, at + width


def _end_of_cluster(buffer: memoryview, at: int, limit: int) -> int:
    while at < limit:
        element_id, size, data = _header(buffer, at, limit)
        if element_id in _BESIDE_CLUSTER:
            break
        if size is None:
            raise MediaError(
                f"{name_of(element_id)} in a Cluster has an unknown size",
                offset=at,
                path=("Segment", "Cluster"),
            )
        if data + size > limit:
            raise TruncatedMedia(
                f"{name_of(element_id)} declares {size} bytes of which {limit - data} are there", offset=at
            )
        at = data + size
    return at


def _end_of_segment(buffer: memoryview, at: int, limit: int) -> int:
    while at < limit:
        element_id, size, data = _header(buffer, at, limit)
        if element_id in (EBML, SEGMENT):
            break
        if size is None:
            try:
                at = element_at(buffer, at, limit).end
            except TruncatedMedia:
                return limit  # whoever walks the children meets the cut there
        else:
            at = min(data + size, limit)
    return at
