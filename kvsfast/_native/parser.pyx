# cython: wraparound=True
"""FragmentParser: from bytes to fragments and frames, and the compiled iterators that users loop over.

The parser does no I/O. Bytes come in by `receive_data`, or straight into `buffer` by a receive; events go out one at
a time. Order of things in one walk (`walk`): the hot loop in C makes a row for each plain SimpleBlock that is
there; everything else comes token by token from the scanner and is handled by one method each. Rows and queued
events are handed out before the walk goes on, so nothing that a row points to moves in between.

Where a fragment begins and ends:

* A document with a FRAGMENT_NUMBER tag is the service's: it is one fragment, from the EBML header to the end of the
  Tags that hold CONTINUATION_TOKEN. That end is known without waiting for the next header.
* In any other document each Cluster is a fragment.

The sections Info, Tracks and Tags repeat in every fragment, mostly unchanged: a section whose bytes equal the last
one's is not walked again, and shares the object that was made of them.
"""

from collections import deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport fabs, rint
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memset

from kvsfast._native.chunked cimport ReceiveBuffer, Slab
from kvsfast._native.frames cimport (
    KVS_FRAME_DISCARDABLE, KVS_FRAME_ESTIMATED, KVS_FRAME_INVISIBLE, KVS_FRAME_KEY, KVS_FRAME_LACED, KVS_FRAME_SIDE,
    KVS_FRAME_STORED, Fragment, FragmentEnd, FragmentStart, Frame, LateTags, frame_of_bytes, frame_of_slab, kvs_row,
)
from kvsfast._native.scanner cimport *

from kvsfast._native import headers
from kvsfast.errors import (
    InStreamError, KvsFastError, LimitExceeded, MediaError, StreamClosed, TransportTimeout, TruncatedMedia, UsageError,
)
from kvsfast.model import Limits, SegmentInfo, Tracks
from kvsfast.tags import SERVICE_TAGS, Tag, Tags, in_stream_error

cdef extern from "block.h" nogil:
    ctypedef struct kvs_prefix:
        uint64_t track
        size_t length
        int time
        uint8_t flags
    ctypedef struct kvs_track:
        int64_t delay_ns
        uint32_t flags
    ctypedef struct kvs_cluster:
        int64_t cluster_ns
        int64_t scale
        int64_t wall_ns
        uint64_t max_block
        kvs_track tracks[128]
    enum:
        KVS_TRACK_CAREFUL
        KVS_MAX_LACE
    int kvs_read_prefix(const uint8_t *p, size_t n, kvs_prefix *out)
    int kvs_read_lace(unsigned lacing, const uint8_t *p, size_t n, uint32_t *sizes, size_t *used)
    size_t kvs_scan_blocks(const uint8_t *base, size_t pos, size_t end, const kvs_cluster *c,
                           kvs_row *rows, size_t room, size_t *made)

cdef enum Status:
    READY       # something can be handed out
    WAIT        # more bytes are needed
    DONE        # the media is over

cdef enum:
    STREAM_ROWS = 768           # rows between two hand-outs when frames are not kept ...
    CACHED_TAGS = 8             # distinct Tags sections remembered
    LARGEST_CACHED = 65536

# Times are int64 ns. These bounds keep every sum of the hot loop inside it.
cdef int64_t MOST_CLUSTER_NS = <int64_t>1 << 62
cdef int64_t MOST_WALL_NS = (<int64_t>1 << 62) + (<int64_t>1 << 61)
cdef int64_t MOST_SHIFT_NS = <int64_t>1 << 60

cdef object NO_TAGS = Tags()
cdef object NO_TRACKS = Tracks()
cdef object DEFAULT_INFO = SegmentInfo()

# Elements whose default is not zero: of size 0 they mean the default, which is what their absence means too.
cdef frozenset NONZERO_DEFAULTS = frozenset((
    "TimestampScale", "FlagEnabled", "FlagDefault", "FlagLacing", "TrackTimestampScale", "Language", "FieldOrder",
    "MatrixCoefficients", "TransferCharacteristics", "Primaries", "SamplingFrequency", "OutputSamplingFrequency",
    "Channels", "ContentEncodingScope", "DisplayWidth", "DisplayHeight",
))


@cython.final
cdef class TrackState:
    """What the long way needs to know of a track."""

    cdef int64_t delay_ns, default_duration_ns
    cdef double scale
    cdef list steps             # content encodings to undo: (algo, settings), in this order
    cdef bint stored


@cython.final
cdef class SimpleTagNode:
    cdef str name, value, language, language_bcp47
    cdef bytes binary
    cdef bint is_default
    cdef list children


@cython.final
cdef class FragmentParser:
    """Turns the bytes of a GetMedia response, or of any Matroska or WebM document, into events. Does no I/O.

    ``receive_data`` takes bytes, ``receive_eof`` says that there are no more, ``next_event`` gives the next event or None.
    Events: `FragmentStart`, `Frame`, `FragmentEnd`, `LateTags`, and `InStreamError` as an object. With
    ``keep_fragments`` a whole `Fragment` comes in place of the first three.

    ``strict``: an end of the media inside an element is TruncatedMedia, and so is nothing else let pass that RFC 8794
    forbids. ``trailer``: whether the service ends each fragment with its own tags; None finds out from the media
    (GetMediaForFragmentList writes none). ``limits``: what the media may make the parser hold.

    MediaError and its subclasses are raised by ``next_event`` after everything before the damage was given;
    from then on it raises the same again.
    """

    cdef readonly ReceiveBuffer buffer
    cdef readonly bint keep_fragments
    cdef Scanner scanner
    cdef bint strict
    cdef object trailer
    cdef uint64_t max_fragment, max_frames, max_tags, max_tags_size, max_tracks, max_block, max_binary
    # input
    cdef object pending         # bytes objects received and not yet copied into the buffer
    cdef size_t pending_at
    cdef bint eof
    cdef bint filling           # a receive is under way
    # output
    cdef kvs_row *rows
    cdef size_t row_room, row_count, row_next
    cdef list sides             # payloads that are not verbatim in the media
    cdef uint64_t side_size
    cdef list extras
    cdef list queue
    cdef object failure
    cdef public object on_broken        # called without arguments when the grammar is broken: no more bytes are needed
    cdef bint finished
    # what the stream has shown so far
    cdef bint saw_token, saw_bare
    # the document
    cdef bint in_document, in_segment, had_header
    cdef uint64_t document_at
    cdef str doc_type
    cdef uint64_t read_version, max_id_length, max_size_length
    cdef object info, tracks, header_tags
    cdef bint had_info, had_tracks, had_cluster, errored
    cdef dict states
    cdef kvs_cluster cluster
    cdef str number
    cdef object server_ms, producer_ms
    # the fragment
    cdef FragmentStart start
    cdef bint open              # FragmentStart was given
    cdef bint ended             # FragmentEnd was given, and no Cluster came since
    cdef bint cluster_ready     # its Timestamp is known
    cdef object cluster_timestamp
    cdef uint64_t fragment_at
    cdef int64_t first_ns
    cdef uint64_t frames
    cdef list end_tags
    cdef str token
    cdef object behind
    # keeping
    cdef bint hold              # the bytes from fragment_at on must stay
    cdef size_t whole           # end of the last whole element
    cdef size_t segment_at, segment_body, cluster_at, cluster_body
    cdef bytes ebml_bytes, info_bytes, tracks_bytes, head
    # sections
    cdef int section            # Info, Tracks or Tags while inside
    cdef bytes section_bytes    # of the section being walked, if it may be remembered
    cdef list nodes
    cdef bytes last_info_bytes, last_tracks_bytes
    cdef object last_info, last_tracks
    cdef list known_tags        # (bytes, Tags, count, size)
    cdef list tag_list, tag_stack, simple_tags, track_uids
    cdef dict service_tags
    cdef uint64_t target_type, tag_count, tag_size, section_tag_count, section_tag_size, track_count

    def __cinit__(self):
        self.row_room = STREAM_ROWS
        self.rows = <kvs_row *>malloc(self.row_room * sizeof(kvs_row))
        if self.rows == NULL:
            raise MemoryError

    def __init__(self, *, bint keep_fragments=False, bint strict=False, trailer=None, limits=None):
        if limits is None:
            limits = Limits()
        elif not isinstance(limits, Limits):
            raise UsageError(f"limits is {limits!r}, expected kvsfast.Limits")
        if trailer is not None and not isinstance(trailer, bool):
            raise UsageError(f"trailer is {trailer!r}, expected True, False or None")
        self.buffer = ReceiveBuffer()
        self.buffer.keeping = keep_fragments
        self.scanner = Scanner(self.buffer, limits, strict, False)
        self.keep_fragments = keep_fragments
        self.strict = strict
        self.trailer = trailer
        self.max_fragment = limits.max_fragment_size
        self.max_frames = limits.max_frames
        self.max_tags = limits.max_tags
        self.max_tags_size = limits.max_tags_size
        self.max_tracks = limits.max_tracks
        self.max_block = limits.max_block_size
        self.max_binary = limits.max_binary_size
        self.pending = deque()
        self.sides = []
        self.extras = []
        self.queue = []
        self.known_tags = []
        self.ebml_bytes = b""
        self.cluster.max_block = limits.max_block_size
        self.forget_document()

    def __dealloc__(self):
        free(self.rows)

    # -- in ---------------------------------------------------------------------------------------------------

    def receive_data(self, data):
        """Take the next bytes of the media. ``bytes`` are held, not copied, until the parser comes to them."""
        if self.eof:
            raise UsageError("receive_data after receive_eof")
        if not isinstance(data, bytes):
            data = bytes(data)
        if data:
            self.pending.append(data)

    def receive_eof(self):
        """There are no more bytes."""
        self.eof = True

    cdef bint pump(self) except -1:
        """Copy a window's worth of what was given to receive_data into the buffer."""
        if not self.pending:
            return False
        cdef bytes data = self.pending[0]
        cdef ReceiveBuffer b = self.buffer
        cdef size_t left = <size_t>PyBytes_GET_SIZE(data) - self.pending_at
        cdef size_t n
        b.reserve()
        n = b.room()
        if n > left:
            n = left
        b.write(<const uint8_t *>PyBytes_AS_STRING(data) + self.pending_at, n)
        if n == left:
            self.pending.popleft()
            self.pending_at = 0
        else:
            self.pending_at += n
        return True

    # -- out --------------------------------------------------------------------------------------------------

    def next_event(self):
        """The next event, or None: more bytes are needed, or after ``receive_eof`` the media is over."""
        while True:
            event = self.take()
            if event is not None:
                return event
            if self.advance() != READY:
                return None

    def fail(self, error):
        """The bytes end here for a reason of the transport's: what was complete is given, then ``error`` is raised."""
        if self.failure is None and not self.finished:
            self.failure = error
            if self.open:
                self.finish_fragment(False, self.buffer.end)

    cdef inline Frame take_frame(self):
        cdef kvs_row *row = &self.rows[self.row_next]
        cdef object extra = None if row.extra == 0 else self.extras[row.extra - 1]
        self.row_next += 1
        if row.flags & KVS_FRAME_SIDE:
            return frame_of_bytes(row, self.sides[row.offset], self.start, extra)
        return frame_of_slab(row, self.buffer.slab, self.start, extra)

    cdef inline bint has_rows(self) noexcept:
        return self.row_next < self.row_count and not self.keep_fragments

    cdef object take(self):
        if self.has_rows():
            return self.take_frame()
        if self.queue:
            return self.queue.pop(0)
        return None

    cdef int advance(self) except -1:
        """Walk on until something can be handed out."""
        if self.has_rows() or self.queue:
            return READY
        if not self.keep_fragments:
            self.row_count = self.row_next = 0
            if self.sides:
                self.sides.clear()
            if self.extras:
                self.extras.clear()
        if self.failure is None and not self.finished:
            try:
                return self.walk()
            except MediaError as error:
                self.failure = error
                if self.on_broken is not None:
                    self.on_broken()
                if self.open:
                    self.finish_fragment(False, self.buffer.pos)
                if self.has_rows() or self.queue:
                    return READY
        if self.failure is not None:
            raise self.failure
        return DONE

    cdef int walk(self) except -1:
        cdef Scanner s = self.scanner
        cdef ReceiveBuffer b = self.buffer
        cdef int token
        while True:
            if self.cluster_ready and s.skip == 0 and s.stack[s.depth].element == KVS_Cluster:
                self.scan_blocks()
            if not self.keep_fragments and self.row_count > STREAM_ROWS - KVS_MAX_LACE:
                return READY
            token = s.next()
            if self.hold:
                self.check_held(token)
            if token == NEED:
                if self.has_rows():
                    return READY
                if not self.hold:
                    b.drop_before(b.pos)
                if self.pump():
                    continue
                if not self.eof:
                    return WAIT
                self.end_of_input()
                if self.queue:
                    return READY
                if self.failure is not None:
                    raise self.failure
                return DONE
            if token == LEAF:
                self.leaf()
            elif token == START:
                self.open_master()
            else:
                self.close_master()
            if self.queue:
                s.barren = 0
                return READY

    cdef int scan_blocks(self) except -1:
        cdef Scanner s = self.scanner
        cdef ReceiveBuffer b = self.buffer
        cdef uint64_t left = s.stack[s.depth].end - b.origin
        cdef size_t end = b.end if b.end < left else <size_t>left
        cdef size_t room, made
        if self.hold and end > self.max_fragment:
            end = <size_t>self.max_fragment
        while end > b.pos:
            if self.keep_fragments:
                self.make_room()
                room = self.row_room if self.row_room < self.max_frames else <size_t>self.max_frames
                if room <= self.row_count:
                    return 0
                room -= self.row_count
            else:
                room = STREAM_ROWS - self.row_count
            b.pos = kvs_scan_blocks(b.mem, b.pos, end, &self.cluster, self.rows + self.row_count, room, &made)
            if made == 0:
                return 0
            s.barren = 0
            self.row_count += made
            self.frames += made
            self.whole = b.pos
            if made < room or not self.keep_fragments:
                return 0
        return 0

    cdef int make_room(self) except -1:
        """When keeping: room for the frames of one more lace at least."""
        cdef kvs_row *rows
        if self.row_room - self.row_count >= KVS_MAX_LACE:
            return 0
        rows = <kvs_row *>realloc(self.rows, 2 * self.row_room * sizeof(kvs_row))
        if rows == NULL:
            raise MemoryError
        self.rows = rows
        self.row_room *= 2
        return 0

    cdef int check_held(self, int token) except -1:
        """When keeping: what is held, and what is being waited for, is at most max_fragment_size."""
        cdef ReceiveBuffer b = self.buffer
        cdef Scanner s = self.scanner
        cdef uint64_t upto = b.pos + s.skip
        if token == NEED and b.want > upto:
            upto = b.want
        elif token == START and s.element == KVS_Cluster and s.declared != KVS_UNKNOWN_SIZE:
            upto += s.declared
        if upto > self.max_fragment and (self.number is not None or self.open or token != START):
            raise s.limit("the fragment is too large to keep", "max_fragment_size", upto, self.max_fragment)
        return 0

    # -- the tokens -------------------------------------------------------------------------------------------

    cdef int open_master(self) except -1:
        cdef int element = self.scanner.element
        if element == KVS_Cluster:
            self.begin_cluster()
        elif element == KVS_EBML:
            self.begin_document()
        elif element == KVS_Segment:
            self.begin_segment()
        elif element == KVS_Info or element == KVS_Tracks or element == KVS_Tags:
            self.begin_section(element, None)
        elif self.section == KVS_Tags:
            self.open_tag(element)
        elif self.section:
            self.open_node(element)
        return 0

    cdef int close_master(self) except -1:
        cdef int element = self.scanner.element
        if element == KVS_Cluster:
            self.end_cluster()
        elif element == KVS_EBML:
            self.end_header()
        elif element == KVS_Segment:
            self.end_document(self.buffer.pos)
        elif element == self.section:
            self.end_section()
        elif self.section == KVS_Tags:
            self.close_tag(element)
        elif self.section:
            self.nodes.pop()
        self.whole = self.buffer.pos
        return 0

    cdef int leaf(self) except -1:
        cdef Scanner s = self.scanner
        cdef int element = s.element
        if element == KVS_SimpleBlock:
            self.need_timestamp()
            self.add_block(s.data, s.size, False, False, 0)
        elif element == KVS_BlockGroup:
            self.need_timestamp()
            self.add_group()
        elif element == KVS_Timestamp:
            self.take_timestamp()
        elif element == KVS_Info or element == KVS_Tracks or element == KVS_Tags:
            self.take_section(element)
        elif self.section == KVS_Tags:
            self.take_tag_value(element)
        elif self.section:
            self.take_node_value()
        else:
            self.take_header_value(element)
        self.whole = self.buffer.pos
        return 0

    # -- documents --------------------------------------------------------------------------------------------

    cdef int forget_document(self) except -1:
        self.info = DEFAULT_INFO
        self.tracks = NO_TRACKS
        self.header_tags = NO_TAGS
        self.had_info = self.had_tracks = self.had_cluster = self.errored = False
        self.number = None
        self.server_ms = self.producer_ms = None
        self.ended = False
        self.section = 0
        self.tag_count = self.tag_size = 0
        self.head = None
        self.info_bytes = self.tracks_bytes = b""
        self.cluster.scale = 1000000
        self.use_tracks()
        return 0

    cdef int begin_document(self) except -1:
        self.end_document(<size_t>(self.scanner.at - self.buffer.origin))
        self.forget_document()
        self.had_header = True
        self.doc_type = None
        self.read_version = 1
        self.max_id_length = 4
        self.max_size_length = 8
        self.start_holding()
        return 0

    cdef int start_holding(self) except -1:
        """A document begins at the element just opened; whether it is one fragment shows later."""
        self.in_document = True
        self.in_segment = False
        self.document_at = self.scanner.at
        self.segment_at = self.segment_body = self.cluster_at = self.cluster_body = 0
        if self.keep_fragments:
            self.buffer.drop_before(<size_t>(self.scanner.at - self.buffer.origin))
            self.hold = True
        return 0

    cdef int take_header_value(self, int element) except -1:
        cdef Scanner s = self.scanner
        if element == KVS_EBMLReadVersion:
            self.read_version = s.uint_value(1)
        elif element == KVS_EBMLMaxIDLength:
            self.max_id_length = s.uint_value(4)
        elif element == KVS_EBMLMaxSizeLength:
            self.max_size_length = s.uint_value(8)
        elif element == KVS_DocType:
            self.doc_type = s.text_value()
        return 0

    cdef int end_header(self) except -1:
        cdef Scanner s = self.scanner
        if self.read_version > 1:
            raise s.error(f"EBMLReadVersion is {self.read_version}, 1 is understood", s.at)
        if self.max_id_length > 4:
            raise s.error(f"EBMLMaxIDLength is {self.max_id_length}, 4 is understood", s.at)
        if self.max_size_length > 8:
            raise s.error(f"EBMLMaxSizeLength is {self.max_size_length}, 8 is understood", s.at)
        if self.doc_type is None:
            self.doc_type = "matroska"
        elif self.doc_type not in ("matroska", "webm"):
            raise s.error(f"DocType is {self.doc_type!r}, expected 'matroska' or 'webm'", s.at)
        if self.keep_fragments:
            self.ebml_bytes = self.bytes_from(s.at)
        if self.doc_type != "matroska":
            self.info = SegmentInfo(doc_type=self.doc_type)
        return 0

    cdef bytes bytes_from(self, uint64_t at):
        cdef ReceiveBuffer b = self.buffer
        cdef size_t first = <size_t>(at - b.origin)
        return b.mem[first:b.pos]

    cdef int begin_segment(self) except -1:
        cdef Scanner s = self.scanner
        if not self.had_header:
            raise s.error("expected an EBML header, found Segment", s.at)
        if self.in_segment or not self.in_document:     # a Segment after a Segment: a document without a header
            self.end_document(<size_t>(s.at - self.buffer.origin))
            self.forget_document()
            if self.doc_type != "matroska":
                self.info = SegmentInfo(doc_type=self.doc_type)
            self.start_holding()
        self.in_segment = True
        if self.keep_fragments and s.declared != KVS_UNKNOWN_SIZE:
            self.segment_at = <size_t>(s.at - self.buffer.origin)
            self.segment_body = self.segment_at + s.header
        return 0

    cdef int end_document(self, size_t upto) except -1:
        """By structure: the next header, the next Segment, or the end of a Segment of known size."""
        if not self.in_document:
            return 0
        if self.is_bare():
            self.saw_bare = True
            self.close_document(self.trailer is False or (self.trailer is None and not self.saw_token), upto)
        else:
            self.close_document(True, upto)
        return 0

    cdef bint is_bare(self) noexcept:
        """Is this a document of the service whose trailer has not come?"""
        return self.number is not None and not self.ended and not self.errored

    cdef int close_document(self, bint complete, size_t upto) except -1:
        if self.open:
            self.finish_fragment(complete, upto)
        elif self.is_bare() and not self.had_cluster:
            self.start_fragment()
            self.finish_fragment(complete, upto)
        elif self.number is None and not self.had_cluster and self.header_tags:
            self.give_late_tags(None, self.header_tags)
        self.in_document = False
        self.hold = False
        self.cluster_ready = False
        return 0

    cdef int end_of_input(self) except -1:
        cdef Scanner s = self.scanner
        cdef bint clean = s.is_clean()
        cdef bint whole = s.skip == 0 and self.buffer.pos == self.buffer.end    # no element of a master is cut
        cdef int level
        for level in range(2, s.depth + 1):
            whole = whole and s.stack[level].unknown
        if self.in_document:
            if self.is_bare() and (
                self.trailer is True or self.saw_token or (self.trailer is None and not self.saw_bare)
            ):
                whole = False
            self.close_document(whole, self.buffer.end)
        self.finished = True
        if self.strict and not clean:
            self.failure = TruncatedMedia(
                "the media ends inside an element", offset=self.buffer.origin + self.buffer.end, path=s.path()
            )
        return 0

    # -- fragments --------------------------------------------------------------------------------------------

    cdef int begin_cluster(self) except -1:
        cdef Scanner s = self.scanner
        self.cluster_ready = False
        self.cluster_timestamp = None
        if not self.open:
            if self.ended:          # a Cluster behind the end of a fragment is a fragment of its own
                self.number = None
                self.server_ms = self.producer_ms = None
                self.ended = False
            self.fragment_at = self.document_at if self.number is not None else s.at
            if self.keep_fragments and self.number is None:
                self.hold_cluster()
        self.had_cluster = True
        if self.keep_fragments:
            self.cluster_at = <size_t>(s.at - self.buffer.origin)
            self.cluster_body = 0 if s.declared == KVS_UNKNOWN_SIZE else self.cluster_at + s.header
        return 0

    cdef int hold_cluster(self) except -1:
        """A plain document: only the Cluster is kept, and once what makes it playable."""
        if self.head is None:
            self.head = self.ebml_bytes + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" \
                + self.info_bytes + self.tracks_bytes
        self.segment_at = self.segment_body = 0
        self.buffer.drop_before(<size_t>(self.scanner.at - self.buffer.origin))
        self.hold = True
        return 0

    cdef int end_cluster(self) except -1:
        if not self.open:
            self.start_fragment()
        self.cluster_ready = False
        if self.number is None:
            self.finish_fragment(True, self.buffer.pos)
        return 0

    cdef int need_timestamp(self) except -1:
        if not self.cluster_ready:
            raise self.scanner.error("a block stands before the Timestamp of its Cluster", self.scanner.at)
        return 0

    cdef int take_timestamp(self) except -1:
        cdef Scanner s = self.scanner
        cdef uint64_t value
        cdef int64_t ns
        if self.cluster_ready:
            return 0
        value = s.uint_value(0)
        if value > <uint64_t>(MOST_CLUSTER_NS // self.cluster.scale):
            raise s.error(f"Cluster time {value} x {self.cluster.scale} ns is beyond 64 bits", s.at)
        ns = <int64_t>value * self.cluster.scale
        self.cluster_timestamp = value
        if not self.open:
            self.first_ns = ns
            wall = 0 if self.producer_ms is None else self.producer_ms * 1000000 - ns
            if not -MOST_WALL_NS < wall + ns < MOST_WALL_NS:
                raise s.error(f"producer timestamp {self.producer_ms} ms is beyond 64 bits of ns", s.at)
            self.cluster.wall_ns = wall
            self.start_fragment()
        elif not -MOST_WALL_NS < <object>self.cluster.wall_ns + ns < MOST_WALL_NS:
            raise s.error(f"Cluster time {value} x {self.cluster.scale} ns is beyond 64 bits", s.at)
        self.cluster.cluster_ns = ns
        self.cluster_ready = True
        return 0

    cdef int start_fragment(self) except -1:
        cdef FragmentStart start = FragmentStart.__new__(FragmentStart)
        start.number = self.number
        start.server_timestamp_ms = self.server_ms
        start.producer_timestamp_ms = self.producer_ms
        start.tracks = self.tracks
        start.tags = self.header_tags
        start.info = self.info
        start.cluster_timestamp = self.cluster_timestamp
        if not self.had_cluster:
            self.fragment_at = self.document_at
        start.offset = self.fragment_at
        self.start = start
        self.open = True
        self.frames = 0
        self.end_tags = []
        if self.keep_fragments:
            self.row_count = 0
            self.side_size = 0
            self.sides = []
            self.extras = []
        else:
            self.queue.append(start)
        return 0

    cdef int finish_fragment(self, bint complete, size_t upto) except -1:
        """The fragment is the bytes of the buffer before index `upto`."""
        cdef FragmentEnd end = FragmentEnd.__new__(FragmentEnd)
        end.start = self.start
        end.is_complete = complete
        end.continuation_token = self.token
        end.millis_behind_now = self.behind
        end.tags = Tags(self.end_tags) if self.end_tags else NO_TAGS
        end.frame_count = self.frames
        end.size = self.buffer.origin + upto - self.fragment_at
        self.open = False
        self.ended = True
        self.cluster_ready = False
        self.token = None
        self.behind = None
        self.queue.append(self.keep_fragment(end, upto) if self.keep_fragments else end)
        return 0

    cdef Fragment keep_fragment(self, FragmentEnd end, size_t upto):
        cdef Fragment fragment = Fragment.__new__(Fragment)
        fragment.start = self.start
        fragment.end = end
        fragment.head = self.head if self.number is None else b""
        fragment.media_end = self.whole if self.whole < upto else upto
        fragment.segment_at = self.segment_at
        fragment.segment_body = self.segment_body
        fragment.cluster_at = self.cluster_at
        fragment.cluster_body = self.cluster_body
        fragment.extras = self.extras
        fragment.side_bytes = b"".join(self.sides)
        fragment.slab = self.buffer.hand_over(upto)
        fragment.raw_size = upto
        fragment.rows = self.rows
        fragment.row_count = self.row_count
        self.row_room = STREAM_ROWS
        while self.row_room < self.row_count + KVS_MAX_LACE:      # the next fragment is likely to be alike
            self.row_room *= 2
        self.rows = <kvs_row *>malloc(self.row_room * sizeof(kvs_row))
        if self.rows == NULL:
            raise MemoryError
        self.row_count = 0
        self.hold = False
        return fragment

    cdef int give_late_tags(self, str number, object tags) except -1:
        cdef LateTags late = LateTags.__new__(LateTags)
        late.number = number
        late.tags = tags
        self.queue.append(late)
        return 0

    # -- blocks -----------------------------------------------------------------------------------------------

    cdef int add_block(self, const uint8_t *data, size_t size, bint group, bint key, uint32_t extra) except -1:
        """The long way: lacing, content encodings, large track numbers, time scales. All frames of the block, or none."""
        cdef size_t rows = self.row_count
        cdef uint64_t frames = self.frames
        try:
            self.add_frames(data, size, group, key, extra)
        except KvsFastError:
            self.row_count = rows
            self.frames = frames
            raise
        self.scanner.barren = 0
        return 0

    cdef int add_frames(self, const uint8_t *data, size_t size, bint group, bint key, uint32_t extra) except -1:
        cdef Scanner s = self.scanner
        cdef kvs_prefix prefix
        cdef TrackState state
        cdef uint32_t sizes[KVS_MAX_LACE]
        cdef uint32_t flags
        cdef size_t used = 0
        cdef int count = 1, i, lacing
        cdef int64_t time, step = 0
        cdef double shift
        if kvs_read_prefix(data, size, &prefix) < 0:
            raise s.error(f"a block of {size} bytes is too short for its own header", s.at)
        if prefix.track > 0xFFFFFFFF:
            raise s.error(f"block of track number {prefix.track}, at most {0xFFFFFFFF} is understood", s.at)
        data += prefix.length
        size -= prefix.length
        if not group:
            key = (prefix.flags & 0x80) != 0
        flags = (KVS_FRAME_KEY if key else 0) | (KVS_FRAME_INVISIBLE if prefix.flags & 0x08 else 0)
        if not group and prefix.flags & 0x01:
            flags |= KVS_FRAME_DISCARDABLE
        lacing = prefix.flags >> 1 & 3
        if lacing:
            flags |= KVS_FRAME_LACED
            count = kvs_read_lace(lacing, data, size, sizes, &used)
            if count < 0:
                raise s.error(f"the lace sizes of a block of {size} bytes do not add up", s.at)
            data += used
        else:
            sizes[0] = <uint32_t>size

        state = self.states.get(prefix.track)
        if state is None:
            time = self.cluster.cluster_ns + prefix.time * self.cluster.scale
        else:
            shift = rint(prefix.time * state.scale)
            if fabs(shift) * self.cluster.scale >= MOST_SHIFT_NS:
                raise s.error(f"block time {prefix.time} x TrackTimestampScale {state.scale} is beyond 64 bits of ns", s.at)
            time = self.cluster.cluster_ns + <int64_t>shift * self.cluster.scale - state.delay_ns
            step = state.default_duration_ns
            if state.stored:
                flags |= KVS_FRAME_STORED
        for i in range(count):
            if i and not step:
                flags |= KVS_FRAME_ESTIMATED
            self.add_frame(data, sizes[i], time + i * step, <uint32_t>prefix.track, flags, extra, state)
            data += sizes[i]
        return 0

    cdef int add_frame(
        self, const uint8_t *data, uint32_t size, int64_t time, uint32_t track, uint32_t flags, uint32_t extra,
        TrackState state,
    ) except -1:
        cdef kvs_row *row
        cdef bytes payload
        if self.keep_fragments:
            if self.row_count >= self.max_frames:
                raise self.scanner.limit(
                    "too many frames in a fragment to keep", "max_frames", self.row_count + 1, self.max_frames
                )
            self.make_room()
        row = &self.rows[self.row_count]
        row.media_time_ns = time
        row.timestamp_ns = time + self.cluster.wall_ns
        row.track = track
        row.flags = flags
        row.extra = extra
        row.length = size
        row.offset = <uint64_t>(data - self.buffer.mem)
        if state is not None and state.steps is not None:
            payload = self.undo_encodings(data[:size], state.steps)
            row.length = <uint32_t>PyBytes_GET_SIZE(payload)
            row.flags |= KVS_FRAME_SIDE
            row.offset = self.side_size if self.keep_fragments else <uint64_t>len(self.sides)
            self.side_size += row.length
            if self.keep_fragments and self.side_size > self.max_fragment:
                raise self.scanner.limit(
                    "the fragment's decoded payload is too large to keep", "max_fragment_size", self.side_size,
                    self.max_fragment,
                )
            self.sides.append(payload)
        self.row_count += 1
        self.frames += 1
        return 0

    cdef bytes undo_encodings(self, bytes payload, list steps):
        cdef Scanner s = self.scanner
        try:
            for algo, settings in steps:
                payload = headers.undo(algo, settings, payload, self.max_block)
        except OverflowError as error:
            raise s.limit("a frame is too large once decoded", "max_block_size", error.args[0], self.max_block) from None
        except ValueError as error:
            raise s.error(f"the content encoding of a frame can't be undone: {error}", s.at) from None
        return payload

    cdef int add_group(self) except -1:
        """A BlockGroup (RFC 9559, section 5.1.3.5), whole: what stands around the Block may follow it."""
        cdef Scanner s = self.scanner
        cdef const uint8_t *p = s.data
        cdef size_t left = s.size, block_size = 0
        cdef const uint8_t *block = NULL
        cdef kvs_header h
        cdef int element
        cdef bint key = True
        cdef object duration = None, padding = None
        cdef list additions = []
        cdef uint32_t extra = 0
        cdef kvs_prefix prefix
        while self.take_child(&p, &left, &h, KVS_BlockGroup, &element):
            if element == KVS_Block and block == NULL:
                block = p
                block_size = <size_t>h.size
            elif element == KVS_BlockDuration and duration is None:
                duration = self.child_uint(p, &h) * self.cluster.scale
            elif element == KVS_ReferenceBlock:
                key = False
            elif element == KVS_DiscardPadding and padding is None:
                self.child_uint(p, &h)
                padding = kvs_int(p, <size_t>h.size)
            elif element == KVS_BlockAdditions:
                self.take_additions(p, <size_t>h.size, additions)
            p += h.size
            left -= <size_t>h.size
        if block == NULL:
            return 0
        if duration is not None or padding is not None or additions:
            if kvs_read_prefix(block, block_size, &prefix) > 0 and prefix.flags & 0x06:
                duration = None         # of the block, not of one of its frames
            self.extras.append((duration, padding, tuple(additions)))
            extra = <uint32_t>len(self.extras)
        self.add_block(block, block_size, True, key, extra)
        return 0

    cdef int take_additions(self, const uint8_t *p, size_t left, list additions) except -1:
        cdef kvs_header h, inner
        cdef int element
        cdef const uint8_t *q
        cdef size_t inside
        while self.take_child(&p, &left, &h, KVS_BlockAdditions, &element):
            if element == KVS_BlockMore:
                addition_id, data = 1, None
                q = p
                inside = <size_t>h.size
                while self.take_child(&q, &inside, &inner, KVS_BlockMore, &element):
                    if element == KVS_BlockAddID and inner.size:
                        addition_id = self.child_uint(q, &inner)
                    elif element == KVS_BlockAdditional and data is None:
                        if inner.size > self.max_binary:
                            raise self.scanner.limit(
                                "BlockAdditional is too large", "max_binary_size", inner.size, self.max_binary
                            )
                        data = <bytes>q[:<size_t>inner.size]
                    q += inner.size
                    inside -= <size_t>inner.size
                if data is not None:
                    additions.append((addition_id, data))
            p += h.size
            left -= <size_t>h.size
        return 0

    cdef bint take_child(
        self, const uint8_t **p, size_t *left, kvs_header *h, int parent, int *element
    ) except -1:
        """The next child inside a BlockGroup: p and left come to stand on its payload. False at the end."""
        cdef Scanner s = self.scanner
        cdef int status = kvs_read_header(p[0], left[0], h)
        cdef uint64_t at = s.at + s.header + <uint64_t>(p[0] - s.data)
        if status == KVS_NEED_MORE:
            return False
        if status < 0:
            raise s.error("a BlockGroup holds something that is no element", at)
        if h.size > left[0] - h.length:
            raise s.error(
                f"element {h.id:X} in a BlockGroup declares "
                f"{'an unknown size' if h.size == KVS_UNKNOWN_SIZE else f'{h.size} bytes'}, "
                f"{left[0] - h.length} are left", at
            )
        p[0] += h.length
        left[0] -= h.length
        element[0] = kvs_find_element(h.id)
        if not kvs_is_child(element[0], parent):
            element[0] = KVS_UNKNOWN
        return True

    cdef uint64_t child_uint(self, const uint8_t *p, kvs_header *h) except? 12345:
        if h.size > 8:
            raise self.scanner.error(f"element {h.id:X} has {h.size} bytes, at most 8 are allowed", self.scanner.at)
        return kvs_uint(p, <size_t>h.size)

    # -- sections ---------------------------------------------------------------------------------------------

    cdef int take_section(self, int element) except -1:
        """A whole section. If its bytes were seen before, so was what they mean."""
        cdef Scanner s = self.scanner
        if element == KVS_Info and self.last_info is not None and same_bytes(self.last_info_bytes, s.data, s.size):
            if not self.had_info and (<object>self.last_info).doc_type == self.doc_type:
                self.keep_section_bytes(element)
                self.use_info(self.last_info)
                return 0
        elif element == KVS_Tracks and self.last_tracks is not None \
                and same_bytes(self.last_tracks_bytes, s.data, s.size):
            if not self.had_tracks:
                self.keep_section_bytes(element)
                self.had_tracks = True
                self.tracks = self.last_tracks
                self.use_tracks()
                return 0
        elif element == KVS_Tags:
            for raw, tags, count, size in self.known_tags:
                if same_bytes(raw, s.data, s.size):
                    self.count_tags(count, size)
                    self.apply_tags(tags, None)
                    return 0
        cdef bytes raw_bytes = None
        if s.size <= LARGEST_CACHED or element != KVS_Tags:
            raw_bytes = PyBytes_FromStringAndSize(<const char *>s.data, <Py_ssize_t>s.size)
        self.keep_section_bytes(element)
        s.enter()
        self.begin_section(element, raw_bytes)
        return 0

    cdef int keep_section_bytes(self, int element) except -1:
        if self.keep_fragments and not self.had_cluster:
            if element == KVS_Info and not self.had_info:
                self.info_bytes = self.bytes_from(self.scanner.at)
            elif element == KVS_Tracks and not self.had_tracks:
                self.tracks_bytes = self.bytes_from(self.scanner.at)
        return 0

    cdef int begin_section(self, int element, bytes raw) except -1:
        self.section = element
        self.section_bytes = raw
        if element == KVS_Tags:
            self.tag_list = []
            self.tag_stack = []
            self.service_tags = None
            self.section_tag_count = self.section_tag_size = 0
        else:
            self.nodes = [{}]
            self.track_count = 0
        return 0

    cdef int end_section(self) except -1:
        cdef Scanner s = self.scanner
        cdef int section = self.section
        cdef bytes raw = self.section_bytes
        self.section = 0
        self.section_bytes = None
        if section == KVS_Tags:
            tags = Tags(self.tag_list) if self.tag_list else NO_TAGS
            if raw is not None and self.service_tags is None:
                if len(self.known_tags) >= CACHED_TAGS:
                    self.known_tags.pop(0)
                self.known_tags.append((raw, tags, self.section_tag_count, self.section_tag_size))
            self.apply_tags(tags, self.service_tags)
            return 0
        try:
            if section == KVS_Info and not self.had_info:
                self.keep_large_section(section)
                info = headers.make_info(self.nodes[0], self.doc_type)
                self.last_info, self.last_info_bytes = info, raw
                if raw is None:
                    self.last_info = None
                self.use_info(info)
            elif section == KVS_Tracks and not self.had_tracks:
                self.keep_large_section(section)
                self.tracks = headers.make_tracks(self.nodes[0])
                self.last_tracks, self.last_tracks_bytes = self.tracks if raw is not None else None, raw
                self.had_tracks = True
                self.use_tracks()
        except OverflowError as error:
            raise s.limit("CodecPrivate is too large once decoded", "max_binary_size", error.args[0], self.max_binary) \
                from None
        except ValueError as error:
            raise s.error(str(error), s.at) from None
        return 0

    cdef int keep_large_section(self, int section) except -1:
        """A section that was walked without having come whole before: its bytes are still held."""
        if self.section_bytes is None and self.hold:
            if section == KVS_Info and not self.info_bytes:
                self.info_bytes = self.bytes_from(self.scanner.at)
            elif section == KVS_Tracks and not self.tracks_bytes:
                self.tracks_bytes = self.bytes_from(self.scanner.at)
        return 0

    cdef int use_info(self, object info) except -1:
        self.had_info = True
        self.info = info
        self.cluster.scale = info.timestamp_scale_ns
        return 0

    cdef int use_tracks(self) except -1:
        """Set the table of the hot loop, and the states of the long way."""
        cdef TrackState state
        self.states = {}
        memset(self.cluster.tracks, 0, sizeof(self.cluster.tracks))
        for track in self.tracks:
            if track.number in self.states:
                continue
            state = TrackState.__new__(TrackState)
            state.delay_ns = track.codec_delay_ns
            state.scale = track.timestamp_scale
            # More than 52 days a frame: nothing to reckon with
            duration = track.default_duration_ns or 0
            state.default_duration_ns = duration if duration < (1 << 52) else 0
            encodings = [step for step in track.content_encodings if step.scope & 1]
            if encodings and track.is_decoded:
                state.steps = [(step.comp_algo, step.comp_settings) for step in encodings]
            state.stored = bool(encodings) and not track.is_decoded
            self.states[track.number] = state
            if track.number < 128:
                self.cluster.tracks[<int>track.number].delay_ns = state.delay_ns
                if encodings or state.scale != 1.0:
                    self.cluster.tracks[<int>track.number].flags = KVS_TRACK_CAREFUL
        return 0

    cdef int open_node(self, int element) except -1:
        cdef Scanner s = self.scanner
        if element == KVS_TrackEntry:
            self.track_count += 1
            if self.track_count > self.max_tracks:
                raise s.limit("too many tracks", "max_tracks", self.track_count, self.max_tracks)
        cdef dict node = {}
        (<dict>self.nodes[-1]).setdefault(s.name(), []).append(node)
        self.nodes.append(node)
        return 0

    cdef int take_node_value(self) except -1:
        cdef Scanner s = self.scanner
        cdef dict node = self.nodes[-1]
        cdef str name = s.name()
        cdef int kind = kvs_elements[s.element].type
        if name in node or (s.size == 0 and name in NONZERO_DEFAULTS):
            return 0
        if kind == KVS_UINT:
            node[name] = s.uint_value(0)
        elif kind == KVS_FLOAT:
            node[name] = s.float_value(0.0)
        elif kind == KVS_STRING or kind == KVS_UTF8:
            node[name] = s.text_value()
        elif kind == KVS_BINARY:
            node[name] = <bytes>s.data[:s.size]
        else:
            if kind == KVS_DATE and s.size != 0 and s.size != 8:
                raise s.error(f"{name} has {s.size} bytes, a date has 0 or 8", s.at)
            node[name] = s.int_value()
        return 0

    # -- tags -------------------------------------------------------------------------------------------------

    cdef int open_tag(self, int element) except -1:
        cdef SimpleTagNode node
        if element == KVS_Tag:
            self.simple_tags = []
            self.tag_stack = []
            self.track_uids = []
            self.target_type = 50
        elif element == KVS_SimpleTag:
            self.count_tags(1, 0)
            node = SimpleTagNode.__new__(SimpleTagNode)
            node.name = ""
            node.is_default = True
            if self.tag_stack:
                parent = <SimpleTagNode>self.tag_stack[-1]
                if parent.children is None:
                    parent.children = []
                parent.children.append(node)
            else:
                self.simple_tags.append(node)
            self.tag_stack.append(node)
        return 0

    cdef int take_tag_value(self, int element) except -1:
        cdef Scanner s = self.scanner
        cdef SimpleTagNode node
        if element == KVS_TargetTypeValue:
            self.target_type = s.uint_value(50)
        elif element == KVS_TagTrackUID:
            self.track_uids.append(s.uint_value(0))
        elif self.tag_stack and s.stack[s.depth].element == KVS_SimpleTag:
            node = <SimpleTagNode>self.tag_stack[-1]
            if element == KVS_TagName:
                self.count_tags(0, s.size)
                node.name = s.text_value()
            elif element == KVS_TagString:
                self.count_tags(0, s.size)
                node.value = s.text_value()
            elif element == KVS_TagBinary:
                self.count_tags(0, s.size)
                node.binary = s.data[:s.size]
            elif element == KVS_TagLanguage:
                node.language = s.text_value() if s.size else None
            elif element == KVS_TagLanguageBCP47:
                node.language_bcp47 = s.text_value()
            elif element == KVS_TagDefault:
                node.is_default = s.uint_value(1) != 0
        return 0

    cdef int close_tag(self, int element) except -1:
        if element == KVS_SimpleTag:
            self.tag_stack.pop()
        elif element == KVS_Tag:
            uids = tuple(self.track_uids)
            for node in self.simple_tags:
                self.place_tag(<SimpleTagNode>node, uids)
        return 0

    cdef int place_tag(self, SimpleTagNode node, tuple uids) except -1:
        field = SERVICE_TAGS.get(node.name)
        if field is None:
            self.tag_list.append(make_tag(node, self.target_type, uids))
        else:
            if self.service_tags is None:
                self.service_tags = {}
            self.service_tags[field] = node.value or ""
        return 0

    cdef int count_tags(self, uint64_t count, uint64_t size) except -1:
        self.tag_count += count
        self.tag_size += size
        self.section_tag_count += count
        self.section_tag_size += size
        if self.tag_count > self.max_tags:
            raise self.scanner.limit("too many tags in a document", "max_tags", self.tag_count, self.max_tags)
        if self.tag_size > self.max_tags_size:
            raise self.scanner.limit(
                "the tags of a document are too large", "max_tags_size", self.tag_size, self.max_tags_size
            )
        return 0

    cdef int apply_tags(self, object tags, dict service) except -1:
        """A Tags element has ended: what it says of the fragment, and whether it ends it."""
        cdef str last = self.start.number if self.start is not None else None
        cdef bint before = not self.had_cluster and not self.ended
        cdef bint over = False
        if service is not None:
            if before:
                self.number = service.get("number") or self.number
                if "server_timestamp" in service:
                    self.server_ms = self.decimal_ms(service, "server_timestamp", 1000)
                if "producer_timestamp" in service:
                    self.producer_ms = self.decimal_ms(service, "producer_timestamp", 1000)
            if self.number is not None and (self.open or before):
                if "millis_behind_now" in service:
                    self.behind = self.decimal_ms(service, "millis_behind_now", 1)
                if service.get("continuation_token"):
                    self.token = service["continuation_token"]
                    over = True
        if tags:
            if self.ended:
                self.give_late_tags(last if self.in_document else None, tags)
            elif self.open:
                self.end_tags += tags
            else:
                self.header_tags = self.header_tags + tags
        if service is not None and ("error_id" in service or "error_code" in service or "error_message" in service):
            number = service.get("number") or self.number
            if self.open:
                self.finish_fragment(False, self.buffer.pos)
            self.token = None
            self.errored = True
            self.ended = True
            self.queue.append(in_stream_error(
                service.get("error_id"), service.get("error_code"), service.get("error_message"), number
            ))
        elif over:
            self.saw_token = True
            if not self.open:
                self.start_fragment()
            self.finish_fragment(True, self.buffer.pos)
        return 0

    cdef object decimal_ms(self, dict service, str field, int scale):
        """Decimal text to an integer: of seconds to milliseconds with scale 1000. Never through a float."""
        cdef str text = service[field].strip()
        digits, dot, fraction = text.partition(".")
        negative = digits.startswith("-")
        if negative:
            digits = digits[1:]
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18) \
                or (dot and not (fraction.isascii() and fraction.isdigit())) or (dot and scale == 1):
            raise self.scanner.error(f"the service's {field} is {text[:40]!r}, expected a decimal number",
                                     self.scanner.at)
        value = int(digits) * scale
        if scale == 1000:
            value += int((fraction + "000")[:3])
        return -value if negative else value


cdef object make_tag(SimpleTagNode node, uint64_t target_type, tuple uids):
    children = () if node.children is None else tuple(
        [make_tag(<SimpleTagNode>child, target_type, uids) for child in node.children]
    )
    return Tag(
        node.name, node.value, node.binary, node.language_bcp47 or node.language or "und", node.is_default,
        target_type, uids, children,
    )


cdef inline bint same_bytes(bytes known, const uint8_t *data, size_t size) noexcept:
    return <size_t>PyBytes_GET_SIZE(known) == size and memcmp(PyBytes_AS_STRING(known), data, size) == 0


# -- iterators ------------------------------------------------------------------------------------------------

cdef bint fill_more(FragmentParser parser, object fill) except -1:
    """One receive. Errors that end the media are kept back until what came before them was given."""
    if parser.filling:
        raise UsageError("the stream is being read by another thread; one reader at a time")
    parser.filling = True
    try:
        if not fill():
            parser.eof = True
    except (TransportTimeout, StreamClosed):
        raise                       # nothing was lost, and reading may go on; or nobody wants the rest
    except KvsFastError as error:
        parser.fail(error)
    finally:
        parser.filling = False
    return True


@cython.final
cdef class EventIterator:
    """Every event of the media; ``fill()`` receives more and returns False at its end."""

    cdef FragmentParser parser
    cdef object fill

    def __init__(self, FragmentParser parser not None, fill):
        self.parser = parser
        self.fill = fill

    def __iter__(self):
        return self

    def __next__(self):
        cdef int status
        while True:
            event = self.parser.take()
            if event is not None:
                return event
            status = self.parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(self.parser, self.fill)


@cython.final
cdef class FrameIterator:
    """Every frame of the media. An `InStreamError` is raised when its turn comes."""

    cdef FragmentParser parser
    cdef object fill

    def __init__(self, FragmentParser parser not None, fill):
        self.parser = parser
        self.fill = fill

    def __iter__(self):
        return self

    def __next__(self):
        cdef FragmentParser parser = self.parser
        cdef int status
        while True:
            if parser.has_rows():
                return parser.take_frame()
            while parser.queue:
                event = parser.queue.pop(0)
                if isinstance(event, InStreamError):
                    raise event
            status = parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(parser, self.fill)


@cython.final
cdef class FragmentIterator:
    """Every fragment of the media, whole. An `InStreamError` is raised when its turn comes."""

    cdef FragmentParser parser
    cdef object fill

    def __init__(self, FragmentParser parser not None, fill):
        if not parser.keep_fragments:
            raise UsageError("fragments need a parser with keep_fragments=True")
        self.parser = parser
        self.fill = fill

    def __iter__(self):
        return self

    def __next__(self):
        cdef FragmentParser parser = self.parser
        cdef int status
        while True:
            while parser.queue:
                event = parser.queue.pop(0)
                if isinstance(event, Fragment):
                    return event
                if isinstance(event, InStreamError):
                    raise event
            status = parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(parser, self.fill)
