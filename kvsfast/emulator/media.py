"""A Matroska file as the service stores it: cut into fragments, the producer's bytes untouched.

One Cluster makes one fragment. In front of it goes the file's EBML header and all that stood in the Segment
before the first Cluster; whatever stood between this Cluster and the next stays behind it (which is where the
producer's tags for the *next* Cluster end up on the real service too). Only the Segment header is rewritten.

A document that carries the service's own tags is a recorded GetMedia response. Those tags are taken out, and
the document is one fragment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import cast

from kvsfast.emulator import ebml
from kvsfast.emulator.ebml import Element
from kvsfast.emulator.templates import SEGMENT_HEADER
from kvsfast.errors import MediaError, TruncatedMedia
from kvsfast.tags import SERVICE_TAGS

__all__ = ["Media", "Source", "StoredFragment"]

logger = logging.getLogger(__name__)

Source = str | os.PathLike[str] | bytes | bytearray | memoryview

#: A fragment's length when nothing in it tells: one block, and no fragment after it.
DEFAULT_DURATION_MS = 1000


@dataclass(frozen=True, slots=True)
class StoredFragment:
    """One fragment without the service's tags.

    ``head``: EBML header to the last element before the Cluster (the same object in all fragments of a
    document). ``body``: the Cluster and what followed it; empty if the document had none. ``blocks``: for
    each block where it ends in ``body`` and its time against the Cluster's in ms. ``offset_ms``: the
    fragment's place on the media's time line, which starts at 0 and never goes back.
    """

    head: bytes
    body: memoryview
    blocks: tuple[tuple[int, int], ...]
    timestamp_ms: int
    offset_ms: int
    duration_ms: int


class Media:
    """The fragments of one or several files, one after the other.

    ``source``: a path, the bytes of a file, or a list of those. MediaError if one is no Matroska or has no
    Cluster; an empty list is a stream into which nothing was ever put. A fragment that is cut off by the end
    of its file is left out, and a warning is logged.

    ``fragments``; ``sessions``: for each file where its first fragment stands among them.
    """

    def __init__(self, source: Source | Sequence[Source]) -> None:
        is_one = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)
        self.fragments: list[StoredFragment] = []
        self.sessions: list[int] = []
        for one in cast("list[Source]", [source] if is_one else source):
            drafts = list(_drafts(one))
            if not drafts:
                raise MediaError(f"{_name(one)} has no whole Cluster, so there is nothing to serve")
            self.sessions.append(len(self.fragments))
            self._lay_out(drafts)

    @property
    def duration_ms(self) -> int:
        """From the start of the first fragment to the end of the last."""
        return self.fragments[-1].offset_ms + self.fragments[-1].duration_ms if self.fragments else 0

    def _lay_out(self, drafts: list[_Draft]) -> None:
        """Put fragments on the time line: Cluster times where they rise, else one after the other."""
        for draft, following in zip(drafts, [*drafts[1:], None], strict=True):
            step = following.timestamp_ms - draft.timestamp_ms if following and following.continues else 0
            self.fragments.append(
                StoredFragment(
                    draft.head,
                    draft.body,
                    draft.blocks,
                    draft.timestamp_ms,
                    self.duration_ms,
                    step if step > 0 else _own_duration(draft.blocks),
                )
            )


@dataclass(slots=True)
class _Draft:
    head: bytes
    body: memoryview
    blocks: tuple[tuple[int, int], ...]
    timestamp_ms: int
    #: The same document goes on, so that the distance to the fragment before is that one's duration.
    continues: bool


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else f"the given {len(source)} bytes"


def _drafts(source: Source) -> Iterator[_Draft]:
    content = Path(source).read_bytes() if isinstance(source, str | os.PathLike) else bytes(source)
    buffer = memoryview(content)
    header = b""
    try:
        for element in ebml.children(buffer, 0, len(buffer)):
            if element.id == ebml.EBML:
                header = bytes(buffer[element.start : element.end])
            elif element.id == ebml.SEGMENT and header:
                yield from _fragments_of(buffer, element, header)
            elif element.id not in (ebml.VOID, ebml.CRC_32):
                raise MediaError(
                    f"{_name(source)} is no Matroska: {ebml.name_of(element.id)} at the top",
                    offset=element.start,
                )
    except TruncatedMedia as cut:
        logger.warning("%s is cut, its last fragment is left out: %s", _name(source), cut)


def _fragments_of(buffer: memoryview, segment: Element, header: bytes) -> Iterator[_Draft]:
    parts: list[Element] = []
    cut: TruncatedMedia | None = None
    try:
        for part in ebml.children(buffer, segment.data, segment.end):
            parts.append(part)  # one by one, so that what was whole before a cut is kept
    except TruncatedMedia as error:
        cut = error
    kept = [part for part in parts if not _is_service_tags(buffer, part)]
    is_recorded = len(kept) < len(parts)
    clusters = [position for position, part in enumerate(kept) if part.id == ebml.CLUSTER]
    first = clusters[0] if clusters else len(kept)
    head = header + SEGMENT_HEADER + _join(buffer, kept[:first])
    scale = _timestamp_scale(buffer, kept[:first])
    if is_recorded:
        groups = [kept[first:]] if cut is None else []
    else:
        groups = [kept[begin:end] for begin, end in pairwise([*clusters, len(kept)])]
    for position, group in enumerate(groups):
        yield _draft(buffer, head, group, scale, continues=position > 0)
    if cut is not None:
        raise cut


def _draft(
    buffer: memoryview, head: bytes, group: list[Element], scale_ns: int, *, continues: bool
) -> _Draft:
    """Put the elements of one fragment together, and find its blocks and their times."""
    lies_in_one = all(left.end == right.start for left, right in pairwise(group))
    body = (
        buffer[group[0].start : group[-1].end] if group and lies_in_one else memoryview(_join(buffer, group))
    )
    blocks: list[tuple[int, int]] = []
    origin: int | None = None
    at = 0
    for part in group:
        if part.id == ebml.CLUSTER:
            time = 0
            for child in ebml.children(buffer, part.data, part.end):
                if child.id == ebml.TIMESTAMP:
                    time = ebml.uint(buffer, child)
                    origin = time if origin is None else origin
                elif child.id in (ebml.SIMPLE_BLOCK, ebml.BLOCK_GROUP):
                    due = (time + _time_of(buffer, child) - (origin or 0)) * scale_ns // 1_000_000
                    blocks.append((at + child.end - part.start, due))
        at += part.end - part.start
    return _Draft(head, body, tuple(blocks), (origin or 0) * scale_ns // 1_000_000, continues)


def _time_of(buffer: memoryview, element: Element) -> int:
    if element.id == ebml.SIMPLE_BLOCK:
        return ebml.block_time(buffer, element)
    blocks = (child for child in ebml.children(buffer, element.data, element.end) if child.id == ebml.BLOCK)
    return next((ebml.block_time(buffer, block) for block in blocks), 0)


def _own_duration(blocks: tuple[tuple[int, int], ...]) -> int:
    """How long a fragment lasts by its blocks alone: to the last one, and as long as one usually takes."""
    times = sorted({time for _, time in blocks})
    if len(times) < 2:
        return DEFAULT_DURATION_MS
    return max(1, times[-1] + round(median(right - left for left, right in pairwise(times))))


def _timestamp_scale(buffer: memoryview, parts: list[Element]) -> int:
    """TimestampScale in nanoseconds, by default a millisecond (RFC 9559, section 5.1.2.9)."""
    for info in parts:
        if info.id == ebml.INFO:
            for child in ebml.children(buffer, info.data, info.end):
                if child.id == ebml.TIMESTAMP_SCALE:
                    return ebml.uint(buffer, child) or 1_000_000
    return 1_000_000


def _is_service_tags(buffer: memoryview, element: Element) -> bool:
    """Whether this is a Tags element that the service itself wrote."""
    if element.id != ebml.TAGS:
        return False
    return any(
        ebml.text(buffer, name) in SERVICE_TAGS
        for tag in ebml.children(buffer, element.data, element.end)
        if tag.id == ebml.TAG
        for simple in ebml.children(buffer, tag.data, tag.end)
        if simple.id == ebml.SIMPLE_TAG
        for name in ebml.children(buffer, simple.data, simple.end)
        if name.id == ebml.TAG_NAME
    )


def _join(buffer: memoryview, parts: list[Element]) -> bytes:
    return b"".join(buffer[part.start : part.end] for part in parts)
