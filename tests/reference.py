"""The oracle: a second parser of the same media, slow and obvious, over the whole bytes at once.

It is written from RFC 8794, RFC 9559 and the rules of the project, not from the compiled parser, and shares
with it only the nouns of kvsfast.model, kvsfast.tags and kvsfast.errors. :func:`parse` walks an explicit
stack of open masters; ``_Document`` and ``_Fragment`` hold what the events are made of.

Where the rules leave a choice, this is what was chosen:

- Errors that a header shows (IDs, sizes, limits) count as soon as the header is there. What a block holds
  counts when the whole SimpleBlock or BlockGroup is there: a cut block is only cut.
- Masters of known size that nobody reads (Cues, say) are stepped over with all that they hold.
- An element that has no place where it stands (a known ID at root level, say) closes nothing before it is
  refused.
- Offsets of errors are those of the header of the offending element; a value that must not be is told of
  the Info, Tracks or Tag around it; TruncatedMedia has the end of the media.
- Tags, Info, Tracks and BlockGroup count when they have ended, and that includes being closed early.
- A block is delivered whole or not at all: one broken frame of a lace takes the others with it.
- A plain Cluster that is cut before its Timestamp was no fragment yet.
- A fragment of a service document reaches from the document's header (or from the end of the fragment
  before it in the same document) to the end of its trailer, the header that closes it, the broken element
  or the EOF.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kvsfast.errors import LimitExceeded, MediaError
from kvsfast.model import Limits, Tracks
from kvsfast.tags import Tags, in_stream_error
from tests.event_values import End, Error, Event, Frame, Late, Raised, Start, comparable
from tests.matroska_elements import BY_ID, Element, may_contain
from tests.reference_values import (
    INT64_MAX,
    KEPT_BINARY,
    READ_MASTERS,
    Node,
    check_leaf_size,
    leaf_value,
    read_info,
    read_tag,
    read_tracks,
    split_lace,
    undo_encodings,
    vint,
)


def parse(
    data: bytes,
    *,
    strict: bool = False,
    trailer: bool | None = None,
    limits: Limits | None = None,
    eof: bool = True,
) -> list[Event]:
    """The events of ``data``, which is all the media (``eof=False``: what has arrived of it)."""
    walk = _Walk(data, strict, trailer, limits or Limits())
    try:
        try:
            walk.run()
            walk.is_inside = False
        except _Cut:
            walk.is_inside = True
        if eof:
            walk.end_of_media()
    except MediaError as error:
        walk.break_fragment(error.offset)
        walk.events.append(Raised(type(error).__name__, error.offset, getattr(error, "name", "")))
    return walk.events


class _Cut(Exception):
    """The bytes end inside an element."""


@dataclass
class _Fragment:
    """An open fragment. ``base``: the first Cluster timestamp, None until one was read."""

    start: Start
    base: int | None
    tags: Tags = field(default_factory=Tags)
    frame_count: int = 0


@dataclass
class _Document:
    """One EBML document. ``early``: producer tags ahead of the first Cluster, by Tags element."""

    offset: int
    doc_type: str = "matroska"
    has_segment: bool = False
    info: Node | None = None
    tracks: Tracks = field(default_factory=Tracks)
    has_info: bool = False
    has_tracks: bool = False
    tag_count: int = 0
    tag_size: int = 0
    track_count: int = 0
    early: list[Tags] = field(default_factory=list)
    service: dict[str, Any] = field(default_factory=dict)
    fragment: _Fragment | None = None
    had_fragment: bool = False
    ended_number: str | None = None

    @property
    def number(self) -> str | None:
        return self.service.get("number")

    @property
    def scale(self) -> int:
        return 1_000_000 if self.info is None else int(self.info.first("TimestampScale", 1_000_000))


class _Walk:
    def __init__(self, data: bytes, strict: bool, trailer: bool | None, limits: Limits) -> None:
        self.data, self.strict, self.trailer, self.limits = data, strict, trailer, limits
        self.pos = 0
        self.stack: list[Node] = []
        self.events: list[Event] = []
        self.document: _Document | None = None
        self.is_inside = False
        self.barren = 0
        self.saw_token = False
        self.saw_fragment_without_token = False

    # --- the walk: RFC 8794 ---

    @property
    def limit(self) -> float:
        """Where the innermost master of known size ends."""
        return next((node.end for node in reversed(self.stack) if node.end is not None), float("inf"))

    def run(self) -> None:
        while True:
            while self.stack and self.pos == self.limit:
                self.close(self.pos)
            if self.pos == len(self.data):
                return
            self.step()

    def step(self) -> None:
        """One header, and its element too unless that is a master to be entered."""
        offset = self.pos
        header = self.read_header()
        if header is None:  # too few bytes for a header at the end of a master: no element
            self.skip_to(int(self.limit))
            return
        element, size, self.pos = header
        name = element.name if element else "an unknown element"
        self.barren += 1
        if self.barren > self.limits.max_barren_elements:
            self.exceed("max_barren_elements", self.barren, self.limits.max_barren_elements, offset)
        is_master = element is not None and element.type == "m"
        in_group = any(node.name == "BlockGroup" for node in self.stack)
        if size is None and (not is_master or name == "BlockGroup" or in_group):
            raise MediaError(f"{name} of unknown size", offset=offset)
        is_misplaced = not self.make_room(element, offset)
        end = None if size is None else self.pos + size
        if end is not None and end > self.limit:
            raise MediaError(f"{name} is larger than what is left of its parent", offset=offset)
        if is_master and len(self.stack) >= self.limits.max_depth and not is_misplaced:
            if end is None:
                self.exceed("max_depth", len(self.stack) + 1, self.limits.max_depth, offset)
            is_misplaced = True
        if is_misplaced and end is None:
            raise MediaError(f"{name} of unknown size in {self.stack[-1].name}", offset=offset)
        if element is None or is_misplaced or self.is_unread(element, end):
            assert end is not None
            self.skip_to(end)
        elif is_master:
            self.open(element.name, Node(element.name, offset, end))
        else:
            assert end is not None
            self.leaf(element, offset, end)

    def is_unread(self, element: Element, end: int | None) -> bool:
        """Whether the element is stepped over."""
        return element.parent == "*" or (
            element.type == "m" and element.name not in READ_MASTERS and end is not None
        )

    def read_header(self) -> tuple[Element | None, int | None, int] | None:
        """Element, size and where its data begins. None: the parent ends before a header can.

        Each byte is looked at in its turn, so that a broken header that is also cut is still found broken.
        """
        offset, room = self.pos, self.limit - self.pos
        if room < 2:
            return None
        first = self.byte(offset)
        if first < 0x10:
            raise MediaError(f"no element ID begins with byte {first:#04x}", offset=offset)
        id_width = 9 - first.bit_length()
        if room < id_width + 1:
            return None
        self.byte(offset + id_width - 1)
        identifier = self.data[offset : offset + id_width]
        if int.from_bytes(identifier, "big") == (1 << (7 * id_width + 1)) - 1:
            raise MediaError("element ID of only ones", offset=offset)
        first = self.byte(offset + id_width)
        if first == 0:
            raise MediaError("element size of more than 8 bytes", offset=offset)
        size_width = 9 - first.bit_length()
        if room < id_width + size_width:
            return None
        begin = offset + id_width + size_width
        self.byte(begin - 1)
        size = int.from_bytes(self.data[begin - size_width : begin], "big") ^ (1 << (7 * size_width))
        is_unknown = size == (1 << (7 * size_width)) - 1
        return BY_ID.get(identifier), None if is_unknown else size, begin

    def byte(self, pos: int) -> int:
        if pos >= len(self.data):
            raise _Cut
        return self.data[pos]

    def skip_to(self, end: int) -> None:
        if end > len(self.data):
            raise _Cut
        self.pos = end

    def make_room(self, element: Element | None, offset: int) -> bool:
        """Close what ends before ``element``. False: it has no place here and must be skipped."""
        levels = len(self.stack)
        if element is not None:
            while not may_contain(self.stack[levels - 1].name if levels else "", element):
                if levels == 0:
                    raise MediaError(f"{element.name} at root level", offset=offset)
                if self.stack[levels - 1].end is not None:
                    # A BlockGroup is read whole: what stands in it closes nothing.
                    in_group = any(node.name == "BlockGroup" for node in self.stack[:levels])
                    if element.parent not in ("", "Segment") or in_group:
                        break
                    if self.strict:
                        raise MediaError(f"{element.name} in {self.stack[levels - 1].name}", offset=offset)
                levels -= 1
        elif levels == 0:
            raise MediaError("an unknown element at root level", offset=offset)
        if levels == 0 and element is not None and element.name == "Segment" and self.document is None:
            raise MediaError("the media does not begin with an EBML header", offset=offset)
        while len(self.stack) > levels:
            self.close(offset)
        return element is None or may_contain(self.stack[-1].name if self.stack else "", element)

    def exceed(self, name: str, declared: int, limit: int, offset: int) -> None:
        raise LimitExceeded("too much", name=name, declared=declared, limit=limit, offset=offset)

    def open(self, name: str, node: Node) -> None:
        document, limits = self.document, self.limits
        if name == "EBML":
            self.end_document(node.offset)
            self.document = _Document(node.offset)
        elif name == "Segment":
            assert document is not None
            if document.has_segment:
                self.end_document(node.offset)
                self.document = document = _Document(node.offset, document.doc_type)
            document.has_segment = True
        elif name in ("Info", "Tracks"):
            assert document is not None
            if document.has_info if name == "Info" else document.has_tracks:
                if node.end is not None:
                    self.skip_to(node.end)
                    return
                node.is_ignored = True
            document.has_info |= name == "Info"
            document.has_tracks |= name == "Tracks"
        elif name == "BlockGroup":
            assert node.end is not None
            if node.end - self.pos > limits.max_block_size:
                self.exceed("max_block_size", node.end - self.pos, limits.max_block_size, node.offset)
        elif name == "SimpleTag":
            assert document is not None
            document.tag_count += 1
            if document.tag_count > limits.max_tags:
                self.exceed("max_tags", document.tag_count, limits.max_tags, node.offset)
        elif name == "TrackEntry" and not self.stack[-1].is_ignored:
            assert document is not None
            document.track_count += 1
            if document.track_count > limits.max_tracks:
                self.exceed("max_tracks", document.track_count, limits.max_tracks, node.offset)
        if name == "BlockGroup" and node.end is not None and node.end > len(self.data):
            raise _Cut
        node.is_ignored |= bool(self.stack) and self.stack[-1].is_ignored
        self.stack.append(node)

    def leaf(self, element: Element, offset: int, end: int) -> None:
        name, size, parent, limits = element.name, end - self.pos, self.stack[-1], self.limits
        document = self.document
        assert document is not None
        if parent.is_ignored:
            self.skip_to(end)
            return
        if name == "SimpleBlock" and size > limits.max_block_size:
            self.exceed("max_block_size", size, limits.max_block_size, offset)
        if element.type in "s8" and size > limits.max_string_size:
            self.exceed("max_string_size", size, limits.max_string_size, offset)
        if name in KEPT_BINARY and size > limits.max_binary_size:
            self.exceed("max_binary_size", size, limits.max_binary_size, offset)
        if name in ("TagName", "TagString", "TagBinary"):
            document.tag_size += size
            if document.tag_size > limits.max_tags_size:
                self.exceed("max_tags_size", document.tag_size, limits.max_tags_size, offset)
        check_leaf_size(element, size, offset)
        begin = self.pos
        self.skip_to(end)
        if element.type == "b" and name not in KEPT_BINARY | {"SimpleBlock", "Block"}:
            return
        value = leaf_value(element, self.data[begin:end])
        if name == "DocType" and value not in ("matroska", "webm"):
            raise MediaError(f"DocType is {value!r}", offset=offset)
        most = {"EBMLReadVersion": 1, "EBMLMaxIDLength": 4, "EBMLMaxSizeLength": 8}.get(name)
        if most is not None and value > most:
            raise MediaError(f"{name} is {value}", offset=offset)
        if name == "Timestamp":
            if value * (self.document.scale if self.document else 1) > 2**62:
                raise MediaError("a Cluster time beyond 64 bits", offset=offset)
            producer = self.document.service.get("producer_timestamp") if self.document else None
            if producer is not None and abs(producer) >= 2**62 // 10**6:
                raise MediaError("a producer timestamp beyond 64 bits of ns", offset=offset)
            if parent.first("Timestamp") is None:
                parent.items.append((name, value))
                self.cluster_has_time(value, parent)
            return
        if name == "SimpleBlock":
            self.block(value, offset, parent.first("Timestamp"), None)
            return
        if name == "Block":
            value = (offset, value)
        parent.items.append((name, value))

    def close(self, offset: int) -> None:
        """The innermost master ends at ``offset``."""
        node, document = self.stack.pop(), self.document
        assert document is not None
        value: Any = node
        if node.name == "EBML":
            document.doc_type = node.first("DocType", "matroska")
        elif node.name == "Segment":
            self.end_document(offset)
        elif node.name == "Tag":
            value = read_tag(node)
        elif node.name == "Tags":
            self.tags(node, offset)
        elif node.name == "Cluster":
            self.end_cluster(node, offset, node.end is None or node.end == offset)
        elif node.name == "BlockGroup":
            block = node.first("Block")
            if self.stack[-1].first("Timestamp") is None:
                raise MediaError("a block before the Timestamp of its Cluster", offset=node.offset)
            if block is not None:
                self.block(block[1], block[0], self.stack[-1].first("Timestamp"), node)
        elif node.name == "Info" and not node.is_ignored:
            if node.first("TimestampScale") == 0:
                raise MediaError("TimestampScale is 0", offset=node.offset)
            document.info = node
        elif node.name == "Tracks" and not node.is_ignored:
            document.tracks = read_tracks(node, self.limits)
        if self.stack and node.name not in ("BlockGroup", "Cluster", "Cues", "Tags"):
            self.stack[-1].items.append((node.name, value))

    # --- fragments ---

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.barren = 0

    def start_fragment(self, cluster: Node | None) -> None:
        document = self.document
        assert document is not None
        timestamp = None if cluster is None else cluster.first("Timestamp")
        start = Start(
            number=document.number,
            server_timestamp_ms=document.service.get("server_timestamp"),
            producer_timestamp_ms=document.service.get("producer_timestamp"),
            tracks=comparable(document.tracks),
            tags=Tags(tag for tags in document.early for tag in tags),
            info=read_info(document.info, document.doc_type),
            cluster_timestamp=timestamp,
            offset=document.offset if document.number is not None or cluster is None else cluster.offset,
        )
        document.fragment = _Fragment(start, timestamp)
        document.had_fragment = True
        self.emit(start)

    def end_fragment(self, offset: int, is_complete: bool, token: str | None = None) -> None:
        document = self.document
        assert document is not None and document.fragment is not None
        fragment, document.fragment = document.fragment, None
        start = fragment.start
        behind = document.service.get("millis_behind_now") if start.number is not None else None
        document.ended_number = start.number
        if start.number is not None:
            document.service.clear()
        self.emit(
            End(
                number=start.number,
                is_complete=is_complete,
                continuation_token=token,
                millis_behind_now=behind,
                tags=fragment.tags,
                frame_count=fragment.frame_count,
                size=offset - start.offset,
                start_offset=start.offset,
            )
        )

    def break_fragment(self, offset: int) -> None:
        """The element at ``offset`` is broken; the fragment before it is not complete."""
        if self.document is not None and self.document.fragment is not None:
            self.end_fragment(offset, False)

    def cluster_has_time(self, timestamp: int, cluster: Node) -> None:
        document = self.document
        assert document is not None
        if document.fragment is None:
            self.start_fragment(cluster)
        elif document.fragment.base is None:
            document.fragment.base = timestamp

    def end_cluster(self, cluster: Node, offset: int, is_whole: bool) -> None:
        document = self.document
        assert document is not None
        if document.fragment is None:
            self.start_fragment(cluster)
        assert document.fragment is not None
        if document.fragment.start.number is None:
            self.end_fragment(offset, is_whole)

    def tags(self, node: Node, offset: int) -> None:
        document = self.document
        assert document is not None
        tags, service = Tags(), dict[str, Any]()
        for producer, told in node.all("Tag"):
            tags += producer
            service |= told
        if document.ended_number is not None and document.fragment is None and service.get("number"):
            document.offset = node.offset  # another fragment of the service in the same document
        document.service |= service
        fragment = document.fragment
        if fragment is not None:
            fragment.tags += tags
        elif tags and document.had_fragment:
            self.emit(Late(document.ended_number, tags))
        elif tags:
            document.early.append(tags)
        token, number = service.get("continuation_token"), document.number
        error_id, error_code, message = (service.get(f"error_{what}") for what in ("id", "code", "message"))
        if (error_id, error_code, message) != (None, None, None):
            if fragment is not None:
                self.end_fragment(offset, False, token)
            document.service.clear()
            error = in_stream_error(error_id, error_code, message, number)
            values = error.error_id, error.error_code, error.fragment_number, error.retryable, error.message
            self.emit(Error(*values))
            self.release_early_tags(document)
            document.had_fragment = True  # what follows is late
        elif token is not None and number is not None:
            if fragment is None:
                self.start_fragment(None)
            self.end_fragment(offset, True, token)
        self.saw_token |= token is not None and number is not None

    def end_document(self, offset: int) -> None:
        """The document is closed by structure: the next header, or the end of its Segment."""
        document = self.document
        if document is None:
            return
        if document.number is not None and document.fragment is None:
            self.start_fragment(None)
        if document.fragment is not None:
            without_token_by_nature = self.trailer is False or (self.trailer is None and not self.saw_token)
            self.saw_fragment_without_token = True
            self.end_fragment(offset, without_token_by_nature)
        self.release_early_tags(document)

    def release_early_tags(self, document: _Document) -> None:
        if not document.had_fragment:
            for tags in document.early:
                self.emit(Late(None, tags))
        document.early = []

    def end_of_media(self) -> None:
        document, end = self.document, len(self.data)
        inside = [node.name for node in self.stack if node.end is not None]
        is_cut = self.is_inside or any(name != "Segment" for name in inside)
        if document is not None:
            if not is_cut:
                while self.stack and self.stack[-1].name not in ("EBML", "Segment"):
                    self.close(end)
            if document.fragment is not None and document.fragment.start.number is None:
                self.end_fragment(end, False)
            if document.number is not None and document.fragment is None:
                self.start_fragment(None)
            if document.fragment is not None:
                tokens_expected = self.trailer is True or self.saw_token
                if self.trailer is None and not self.saw_fragment_without_token:
                    tokens_expected = True
                self.end_fragment(end, not tokens_expected and not is_cut)
            self.release_early_tags(document)
        if self.strict and (self.is_inside or inside):
            self.emit(Raised("TruncatedMedia", end))

    # --- blocks: RFC 9559, section 10 ---

    def block(self, data: bytes, offset: int, cluster_time: int | None, group: Node | None) -> None:
        document = self.document
        assert document is not None
        if cluster_time is None or document.fragment is None:
            raise MediaError("a block before the Timestamp of its Cluster", offset=offset)
        prefix = vint(data, 0)
        if prefix is None or len(data) < prefix[1] + 3:
            raise MediaError(f"a block of {len(data)} bytes is shorter than its prefix", offset=offset)
        number, pos = prefix
        if number > 2**32 - 1:
            raise MediaError(f"track number {number}", offset=offset)
        relative, flags = int.from_bytes(data[pos : pos + 2], "big", signed=True), data[pos + 2]
        lacing, payload = flags >> 1 & 3, data[pos + 3 :]
        frames = split_lace(payload, lacing) if lacing else [payload]
        if frames is None:
            raise MediaError("impossible lace", offset=offset)
        track = document.tracks.by_number(number)

        def in_time(ticks: int) -> int:
            """TimestampScale units of a time that is counted in ticks of the track."""
            if track is None or track.timestamp_scale == 1.0:
                return ticks
            scaled = ticks * track.timestamp_scale
            if not abs(scaled) <= INT64_MAX:
                raise MediaError("time beyond 64 bits", offset=offset)
            return round(scaled)

        start, base = document.fragment.start, document.fragment.base
        assert base is not None
        time = (cluster_time + in_time(relative)) * document.scale - (track.codec_delay_ns if track else 0)
        shift = 0
        if start.producer_timestamp_ms is not None:
            shift = start.producer_timestamp_ms * 1_000_000 - base * document.scale
        if group is None:
            is_keyframe, is_discardable, group = bool(flags & 0x80), bool(flags & 0x01), Node("", 0, 0)
        else:
            is_keyframe, is_discardable = not group.all("ReferenceBlock"), False
        ticks = None if lacing else group.first("BlockDuration")
        duration = None if ticks is None else in_time(ticks) * document.scale
        more = group.first("BlockAdditions", Node("", 0, 0)).all("BlockMore")
        additions = tuple((m.first("BlockAddID", 1), m.first("BlockAdditional", b"")) for m in more)
        step = (track.default_duration_ns or None) if track else None
        block: list[Frame] = []  # delivered whole or not at all
        for i, frame in enumerate(frames):
            encodings = track.content_encodings if track else ()
            decoded = undo_encodings(frame, encodings, 1, self.limits.max_block_size, offset)
            payload = frame if decoded is None else decoded
            frame_time = time + i * (step or 0)
            for value in (frame_time, frame_time + shift, duration or 0):
                if not -INT64_MAX - 1 <= value <= INT64_MAX:
                    raise MediaError("time beyond 64 bits", offset=offset)
            block.append(
                Frame(
                    track_number=number,
                    timestamp_ns=frame_time + shift,
                    media_time_ns=frame_time,
                    data=payload,
                    size=len(payload),
                    is_keyframe=is_keyframe,
                    is_invisible=bool(flags & 0x08),
                    is_discardable=is_discardable,
                    is_laced=lacing != 0,
                    is_estimated=i > 0 and step is None,
                    is_stored=decoded is None,
                    duration_ns=duration,
                    discard_padding_ns=group.first("DiscardPadding"),
                    block_additions=additions,
                    fragment_offset=start.offset,
                )
            )
        document.fragment.frame_count += len(block)
        for each in block:
            self.emit(each)
