# cython: wraparound=True
"""FragmentParser: from bytes to fragments and frames.

The parser does no I/O. Bytes come in by `receive_data`, or straight into `buffer` by a receive; events go out one at
a time. Order of things in one walk: the hot loop (`BlockReader.scan`) makes a row for each plain SimpleBlock that is
there; everything else comes token by token from the scanner. Rows and queued events are handed out before the walk
goes on, so nothing that a row points to moves in between.

Where a fragment begins and ends:

* A document with a FRAGMENT_NUMBER tag is the service's: it is one fragment, from the EBML header to the end of the
  Tags that hold CONTINUATION_TOKEN. That end is known without waiting for the next header.
* In any other document each Cluster is a fragment.
"""

from collections import deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from kvsfast._native.blocks cimport KVS_MAX_LACE, STREAM_ROWS, BlockReader, kvs_cluster
from kvsfast._native.chunked cimport ReceiveBuffer
from kvsfast._native.frames cimport (
    KVS_FRAME_SIDE, Fragment, FragmentEnd, FragmentStart, Frame, LateTags, frame_of_bytes, kvs_row, new_frame_of_slab,
)
from kvsfast._native.scanner cimport *
from kvsfast._native.sections cimport SectionReader, ServiceTags

from kvsfast.errors import MediaError, TruncatedMedia, UsageError
from kvsfast.model import Limits, SegmentInfo, Tracks
from kvsfast.tags import Tags, in_stream_error

# Times are int64 ns. These bounds keep every sum of the hot loop inside it.
cdef int64_t MOST_CLUSTER_NS = <int64_t>1 << 62
cdef int64_t MOST_WALL_NS = <int64_t>1 << 62
cdef int64_t MOST_PRODUCER_MS = (<int64_t>1 << 62) // 1000000

cdef object NO_TAGS = Tags()
cdef object NO_TRACKS = Tracks()
cdef object DEFAULT_INFO = SegmentInfo()


@cython.final
cdef class FragmentParser:
    """Turns the bytes of a GetMedia response, or of any Matroska or WebM document, into events. Does no I/O.

    ``receive_data`` takes bytes, ``receive_eof`` says that there are no more, ``next_event`` gives the next event or None.
    Events: `FragmentStart`, `Frame`, `FragmentEnd`, `LateTags`, and `InStreamError` as an object. With
    ``keep_fragments`` a whole `Fragment` comes in place of the first three.

    ``strict``: an end of the media inside an element is TruncatedMedia, and a master that another one must close is
    an error. ``trailer``: whether the service ends each fragment with tags of its own; None finds out from the media
    (GetMediaForFragmentList writes none). ``limits``: what the media may make the parser hold.

    MediaError and its subclasses are raised by ``next_event`` after everything before the damage was given;
    from then on it raises the same again. With ``resync`` they are events instead, and the parser goes on at the next
    EBML header or Cluster that looks like one (RFC 9559, section 6.2 reserves the header's ID for this).
    """

    def __init__(self, *, bint keep_fragments=False, bint strict=False, trailer=None, limits=None, bint resync=False):
        if limits is None:
            limits = Limits()
        elif not isinstance(limits, Limits):
            raise UsageError(f"limits is {limits!r}, expected kvsfast.Limits")
        if trailer is not None and not isinstance(trailer, bool):
            raise UsageError(f"trailer is {trailer!r}, expected True, False or None")
        self.buffer = ReceiveBuffer()
        self.buffer.keeping = keep_fragments
        self.scanner = Scanner(self.buffer, limits, strict, False)
        self.blocks = BlockReader(self.scanner, limits, keep_fragments)
        self.sections = SectionReader(self.scanner, limits)
        self.keep_fragments = keep_fragments
        self.strict = strict
        self.resync = resync
        self.trailer = trailer
        self.max_fragment = limits.max_fragment_size
        self.pending = deque()
        self.queue = []
        self.ebml_bytes = b""
        self.forget_document()

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

    def fail(self, error):
        """The bytes end here for a reason of the transport's: what was complete is given, then ``error`` is raised."""
        if self.failure is None and not self.finished:
            self.failure = error
            if self.open:
                self.finish_fragment(False, self.buffer.end)

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

    cdef object take(self):
        if self.has_rows():
            return self.take_frame()
        if self.queue:
            return self.queue.pop(0)
        return None

    cdef int advance(self) except -1:
        """Walk on until something can be handed out. Raises what ended the media, after all before it was given."""
        if self.has_rows() or self.queue:
            return READY
        if not self.keep_fragments:
            self.blocks.forget_rows()
        if self.failure is None and not self.finished:
            try:
                try:
                    return self.walk()
                finally:
                    self.offer_rows()
            except MediaError as error:
                if self.open:
                    self.finish_fragment(False, <size_t>(error.offset - self.buffer.origin))
                if self.resync:
                    self.queue.append(error)
                    self.lose_place(error.offset + 1)
                else:
                    self.failure = error
                    if self.on_broken is not None:
                        self.on_broken()
                if self.has_rows() or self.queue:
                    return READY
        if self.failure is not None:
            raise self.failure
        return DONE

    cdef int offer_rows(self) except -1:
        """The rows that a walk has made can be handed out."""
        if not self.keep_fragments:
            self.row = self.blocks.rows
            self.row_end = self.row + self.blocks.count
        return 0

    cdef Frame special_frame(self, const kvs_row *row):
        cdef BlockReader blocks = self.blocks
        cdef object extra = None if row.extra == 0 else blocks.extras[row.extra - 1]
        if row.flags & KVS_FRAME_SIDE:
            return frame_of_bytes(row, blocks.sides[row.offset], self.start, extra)
        return new_frame_of_slab(row, self.buffer.slab, self.start, extra)

    cdef int walk(self) except -1:
        cdef Scanner s = self.scanner
        cdef ReceiveBuffer b = self.buffer
        cdef int token
        while True:
            if self.is_lost and not self.find_place():
                b.drop_before(b.pos)
                if self.pump():
                    continue
                if not self.eof:
                    return WAIT
                self.finished = True
                return DONE
            if self.cluster_ready and s.skip == 0 and s.stack[s.depth].element == KVS_Cluster:
                self.scan_blocks()
            if not self.keep_fragments and self.blocks.count > STREAM_ROWS - KVS_MAX_LACE:
                return READY
            token = s.next()
            if self.hold:
                self.check_held(token)
            if token == LEAF:
                self.leaf()
            elif token == START:
                self.open_master()
            elif token == END:
                self.close_master()
            else:
                if not self.keep_fragments and self.blocks.count:
                    return READY
                if not self.hold:
                    b.drop_before(b.pos)
                if self.pump():
                    continue
                if not self.eof:
                    return WAIT
                if s.max_section:
                    s.max_section = 0               # a section that will not come whole: walk what there is of it
                    continue
                self.end_of_input()
                if not self.queue:
                    if self.failure is not None:
                        raise self.failure
                    return DONE
            if self.queue:
                s.barren = 0
                return READY

    cdef int scan_blocks(self) except -1:
        cdef Scanner s = self.scanner
        cdef ReceiveBuffer b = self.buffer
        cdef uint64_t left = s.stack[s.depth].end - b.origin
        cdef size_t end = b.end if b.end < left else <size_t>left
        if self.hold and end > self.max_fragment:
            end = <size_t>self.max_fragment         # the block that reaches beyond it is refused by check_held
        if self.blocks.scan(end):
            s.barren = 0
            self.whole = b.pos
        return 0

    cdef int check_held(self, int token) except -1:
        """When keeping: what is held, and what is waited for, is at most max_fragment_size."""
        cdef ReceiveBuffer b = self.buffer
        cdef Scanner s = self.scanner
        cdef uint64_t upto = b.pos + s.skip
        cdef bint is_plain = self.number is None and not self.open
        if token == NEED:
            if b.want > upto:
                upto = b.want
        elif token == START and s.element == KVS_Cluster:
            if is_plain:
                upto = s.header             # what lies before it is dropped now
            if s.declared != KVS_UNKNOWN_SIZE:
                upto += s.declared
            is_plain = False
        if upto <= self.max_fragment:
            return 0
        if is_plain:
            # Before the first Cluster, and not numbered by the service: attachments, say. No fragment will hold it.
            self.hold = False
            self.was_let_go = True
            return 0
        raise s.limit("the fragment is too large to keep", "max_fragment_size", upto, self.max_fragment)

    # -- after damage -----------------------------------------------------------------------------------------

    cdef int lose_place(self, uint64_t at) except -1:
        """Look for a place to go on from `at`. What was said of the document holds for further Clusters in it."""
        cdef Scanner s = self.scanner
        cdef ReceiveBuffer b = self.buffer
        b.pos = b.begin if at < b.origin + b.begin else <size_t>(at - b.origin)
        s.skip = 0
        s.depth = 1 if self.in_segment else 0
        s.stack[1].element = KVS_Segment
        s.stack[1].unknown = True
        s.stack[1].end = KVS_UNKNOWN_SIZE
        self.sections.inside = 0
        self.cluster_ready = False
        self.hold = False
        self.ended = True
        self.is_lost = True
        return 0

    cdef bint find_place(self) except -1:
        """Is there an EBML header or a Cluster, with a header and a first child as they must be? Else what was
        searched is passed over."""
        cdef ReceiveBuffer b = self.buffer
        cdef kvs_header h, child
        cdef int status, element
        while b.pos < b.end:
            if b.mem[b.pos] == 0x1A or (b.mem[b.pos] == 0x1F and self.in_segment):
                status = kvs_read_header(b.mem + b.pos, b.end - b.pos, KVS_UNKNOWN_SIZE, &h)
                if status == KVS_NEED_MORE:
                    return False
                element = kvs_find_element(h.id) if status > 0 else KVS_UNKNOWN
                if element == KVS_EBML or element == KVS_Cluster:
                    status = kvs_read_header(
                        b.mem + b.pos + h.length, b.end - b.pos - h.length, KVS_UNKNOWN_SIZE, &child
                    )
                    if status == KVS_NEED_MORE:
                        return False
                    if status > 0 and kvs_find_element(child.id) != KVS_UNKNOWN \
                            and kvs_is_child(kvs_find_element(child.id), element) \
                            and (h.size == KVS_UNKNOWN_SIZE or child.size <= h.size):
                        self.is_lost = False
                        return True
            b.pos += 1
        return False

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
            if not self.is_repeated(element) or not self.scanner.pass_over():
                self.sections.begin(element, None)
        elif self.sections.inside:
            self.sections.open_master(element)
        return 0

    cdef int close_master(self) except -1:
        cdef int element = self.scanner.element
        if element == KVS_Cluster:
            self.end_cluster()
        elif element == KVS_EBML:
            self.end_header()
        elif element == KVS_Segment:
            self.end_document(self.buffer.pos)
        elif element == self.sections.inside:
            self.sections.end()
            self.use_section(element)
        elif self.sections.inside:
            self.sections.close_master(element)
        self.whole = self.buffer.pos
        return 0

    cdef int leaf(self) except -1:
        cdef Scanner s = self.scanner
        cdef int element = s.element
        if element == KVS_SimpleBlock or element == KVS_BlockGroup:
            if not self.cluster_ready:
                raise s.error("a block stands before the Timestamp of its Cluster", s.at)
            if element == KVS_SimpleBlock:
                self.blocks.add_simple_block()
            else:
                self.blocks.add_group()
            s.barren = 0
        elif element == KVS_Timestamp:
            self.take_timestamp()
        elif element == KVS_Info or element == KVS_Tracks or element == KVS_Tags:
            if not self.is_repeated(element) and self.sections.take_whole():
                self.use_section(element)
        elif self.sections.inside:
            self.sections.take_leaf(element)
        else:
            self.take_header_value(element)
        self.whole = self.buffer.pos
        return 0

    # -- documents --------------------------------------------------------------------------------------------

    cdef int forget_document(self) except -1:
        self.info = DEFAULT_INFO
        self.tracks = NO_TRACKS
        self.header_tags = []
        self.had_info = self.had_tracks = self.had_cluster = self.had_fragment = self.errored = False
        self.was_let_go = False
        self.number = self.token = None
        self.has_server = self.has_producer = self.has_behind = False
        self.ended = self.is_continued = False
        self.head = None
        self.info_bytes = self.tracks_bytes = b""
        self.sections.forget_document()
        self.blocks.cluster.scale = 1000000
        return 0

    cdef int begin_document(self) except -1:
        self.end_document(<size_t>(self.scanner.at - self.buffer.origin))
        self.forget_document()
        self.had_header = True
        self.doc_type = None
        self.start_holding()
        return 0

    cdef int start_holding(self) except -1:
        """A document begins at the element just opened. Whether all of it is one fragment shows later."""
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
        cdef uint64_t value, most
        if element == KVS_DocType:
            self.doc_type = s.text_value()
            if self.doc_type not in ("matroska", "webm"):
                raise s.error(f"DocType is {self.doc_type!r}, expected 'matroska' or 'webm'", s.at)
        elif element in (KVS_EBMLReadVersion, KVS_EBMLMaxIDLength, KVS_EBMLMaxSizeLength):
            most = 1 if element == KVS_EBMLReadVersion else 4 if element == KVS_EBMLMaxIDLength else 8
            value = s.uint_value(most)
            if value > most:
                raise s.error(f"{s.name()} is {value}, up to {most} is understood", s.at)
        return 0

    cdef int end_header(self) except -1:
        if self.doc_type is None:
            self.doc_type = "matroska"
        if self.keep_fragments:
            self.ebml_bytes = self.bytes_from(self.scanner.at)
        self.begin_header_values()
        return 0

    cdef int begin_header_values(self) except -1:
        self.sections.doc_type = self.doc_type
        if self.doc_type != "matroska":
            self.info = SegmentInfo(doc_type=self.doc_type)
        return 0

    cdef bytes bytes_from(self, uint64_t at):
        cdef ReceiveBuffer b = self.buffer
        if at < b.origin:
            return b""              # let go already
        return b.mem[<size_t>(at - b.origin):b.pos]

    cdef int begin_segment(self) except -1:
        cdef Scanner s = self.scanner
        if not self.had_header:
            raise s.error("expected an EBML header, found Segment", s.at)
        if self.in_segment or not self.in_document:     # a Segment after a Segment: a document without a header
            self.end_document(<size_t>(s.at - self.buffer.origin))
            self.forget_document()
            self.begin_header_values()
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
        elif self.is_bare():
            self.start_fragment()
            self.finish_fragment(complete, upto)
        elif self.number is None and not self.had_fragment:
            self.give_header_tags()
        self.in_document = False
        self.hold = False
        self.cluster_ready = False
        return 0

    cdef int end_of_input(self) except -1:
        cdef Scanner s = self.scanner
        cdef bint clean = s.is_clean()
        cdef bint complete = s.skip == 0 and self.buffer.pos == self.buffer.end
        cdef int level
        for level in range(2, s.depth + 1):     # an open master below the Segment: of known size, it is cut
            complete = complete and s.stack[level].unknown
        if complete:                            # what is open ends here, as it would before the next document
            while s.depth > 0 and s.stack[s.depth].element != KVS_Segment and s.stack[s.depth].element != KVS_EBML:
                s.close_top()
                self.close_master()
        if self.in_document:
            if self.is_bare() and (
                self.trailer is True or self.saw_token or (self.trailer is None and not self.saw_bare)
            ):
                complete = False
            self.close_document(complete, self.buffer.end)
        self.finished = True
        if self.strict and not clean:
            self.failure = TruncatedMedia(
                "the media ends inside an element", offset=self.buffer.origin + self.buffer.end, path=s.path()
            )
        return 0

    # -- sections ---------------------------------------------------------------------------------------------

    cdef bint is_repeated(self, int element) noexcept:
        """Of Info and Tracks the first counts; another one is not looked into."""
        return (element == KVS_Info and self.had_info) or (element == KVS_Tracks and self.had_tracks)

    cdef int use_section(self, int element) except -1:
        """A section has ended. Of Info and Tracks the first counts; of Tags, each."""
        cdef SectionReader sections = self.sections
        if element == KVS_Tags:
            self.use_tags(sections.tags, sections.service)
        elif element == KVS_Info and not self.had_info:
            self.had_info = True
            self.info = sections.info
            self.blocks.cluster.scale = sections.info.timestamp_scale_ns
            if self.keep_fragments and not self.had_cluster:
                self.info_bytes = self.bytes_from(self.scanner.at)
        elif element == KVS_Tracks and not self.had_tracks:
            self.had_tracks = True
            self.tracks = sections.tracks
            if self.keep_fragments and not self.had_cluster:
                self.tracks_bytes = self.bytes_from(self.scanner.at)
        return 0

    cdef int use_tags(self, object tags, ServiceTags service) except -1:
        """A Tags element has ended: what it says of the fragment, and whether it ends it."""
        cdef bint before = not self.had_cluster and not self.ended
        cdef bint over = False
        cdef str number
        if service is not None:
            if service.number and self.ended and self.had_fragment and self.start.number is not None:
                self.begin_next_fragment()
                before = True
            if before:
                self.number = service.number or self.number
                if service.has_server:
                    self.has_server = True
                    self.server_ms = service.server_ms
                if service.has_producer:
                    self.has_producer = True
                    self.producer_ms = service.producer_ms
            if self.number is not None and (self.open or before):
                if service.has_behind:
                    self.has_behind = True
                    self.behind = service.behind
                if service.token:
                    self.token = service.token
                    over = True
        if tags:
            if self.ended:
                self.give_late_tags(self.start.number if self.had_fragment else None, tags)
            elif self.open:
                self.end_tags = self.end_tags + tags
            else:
                self.header_tags.append(tags)
        if service is not None and service.is_error:
            number = service.number or self.number
            if self.open:
                self.finish_fragment(False, self.buffer.pos)
            self.number = None
            self.errored = self.ended = True
            self.queue.append(in_stream_error(service.error_id, service.error_code, service.error_message, number))
            if not self.had_cluster:
                self.give_header_tags()
        elif over:
            self.saw_token = True
            if not self.open:
                self.start_fragment()
            self.finish_fragment(True, self.buffer.pos)
        return 0

    cdef int begin_next_fragment(self) except -1:
        """The service numbers another fragment in the same document. It begins with the Tags that say so."""
        self.number = self.token = None
        self.has_server = self.has_producer = self.has_behind = False
        self.ended = self.had_cluster = self.errored = False
        self.header_tags = []
        self.document_at = self.scanner.at
        self.segment_at = self.segment_body = 0
        if self.keep_fragments:
            self.make_head()
            self.is_continued = True
            self.buffer.drop_before(<size_t>(self.scanner.at - self.buffer.origin))
            self.hold = True
        return 0

    cdef int give_header_tags(self) except -1:
        """The tags of a document in which no fragment began."""
        for tags in self.header_tags:
            self.give_late_tags(None, tags)
        self.header_tags = []
        return 0

    cdef int give_late_tags(self, str number, object tags) except -1:
        cdef LateTags late = LateTags.__new__(LateTags)
        late.number = number
        late.tags = tags
        self.queue.append(late)
        return 0

    # -- fragments --------------------------------------------------------------------------------------------

    cdef int begin_cluster(self) except -1:
        cdef Scanner s = self.scanner
        self.cluster_ready = False
        self.cluster_timestamp = None
        if not self.open:
            if self.ended:          # a Cluster behind the end of a fragment is a fragment of its own
                self.number = self.token = None
                self.has_server = self.has_producer = self.has_behind = False
                self.ended = False
            self.fragment_at = self.document_at if self.number is not None else s.at
            if self.keep_fragments and self.number is None:
                self.hold_cluster()
        self.had_cluster = True
        self.blocks.use_tracks(self.tracks)
        if self.keep_fragments:
            self.cluster_at = <size_t>(s.at - self.buffer.origin)
            self.cluster_body = 0 if s.declared == KVS_UNKNOWN_SIZE else self.cluster_at + s.header
        return 0

    cdef int make_head(self) except -1:
        """What makes a part of the document playable, made once."""
        if self.head is None:
            self.head = self.ebml_bytes + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" \
                + self.info_bytes + self.tracks_bytes
        return 0

    cdef int hold_cluster(self) except -1:
        """A plain document: only the Cluster is kept."""
        self.make_head()
        self.segment_at = self.segment_body = 0
        self.buffer.drop_before(<size_t>(self.scanner.at - self.buffer.origin))
        self.hold = True
        return 0

    cdef int end_cluster(self) except -1:
        cdef Level *closed = &self.scanner.stack[self.scanner.depth + 1]
        if not self.open:
            self.start_fragment()
        self.cluster_ready = False
        if self.number is None:
            # Closed by something else than its own size, it lacks bytes that it declared.
            self.finish_fragment(closed.unknown or self.scanner.offset() >= closed.end, self.buffer.pos)
        return 0

    cdef int take_timestamp(self) except -1:
        cdef Scanner s = self.scanner
        cdef kvs_cluster *cluster = &self.blocks.cluster
        cdef uint64_t value = s.uint_value(0)
        cdef int64_t ns, wall
        if self.cluster_ready:
            return 0
        if value > <uint64_t>(MOST_CLUSTER_NS // cluster.scale):
            raise s.error(f"Cluster time {value} x {cluster.scale} ns is beyond 64 bits", s.at)
        ns = <int64_t>value * cluster.scale
        self.cluster_timestamp = value
        if not self.open:
            wall = 0
            if self.has_producer:
                if not -MOST_PRODUCER_MS < self.producer_ms < MOST_PRODUCER_MS:
                    raise s.error(f"producer timestamp {self.producer_ms} ms is beyond 64 bits of ns", s.at)
                wall = self.producer_ms * 1000000 - ns
            cluster.wall_ns = wall
        if not -MOST_WALL_NS < cluster.wall_ns + ns < MOST_WALL_NS:
            raise s.error(f"the wall clock time of a Cluster, {cluster.wall_ns + ns} ns, is beyond 64 bits", s.at)
        cluster.cluster_ns = ns
        if not self.open:
            self.start_fragment()
        self.cluster_ready = True
        return 0

    cdef int start_fragment(self) except -1:
        cdef FragmentStart start = FragmentStart.__new__(FragmentStart)
        if self.was_let_go and self.number is not None:
            raise self.scanner.limit(
                "the fragment is too large to keep", "max_fragment_size",
                self.scanner.offset() - self.document_at, self.max_fragment,
            )
        self.had_fragment = True
        if not self.had_cluster:
            self.fragment_at = self.document_at
        start.number = self.number
        start.server_timestamp_ms = self.server_ms if self.has_server else None
        start.producer_timestamp_ms = self.producer_ms if self.has_producer else None
        start.tracks = self.tracks
        start.tags = NO_TAGS
        for tags in self.header_tags:
            start.tags = start.tags + tags if start.tags else tags
        start.info = self.info
        start.cluster_timestamp = self.cluster_timestamp if self.had_cluster else None
        start.offset = self.fragment_at
        self.start = start
        self.open = True
        self.end_tags = NO_TAGS
        self.blocks.begin_fragment()
        if not self.keep_fragments:
            self.queue.append(start)
        return 0

    cdef int finish_fragment(self, bint complete, size_t upto) except -1:
        """The fragment is what the buffer holds before index `upto`."""
        cdef FragmentEnd end = FragmentEnd.__new__(FragmentEnd)
        end.start = self.start
        end.is_complete = complete
        end.continuation_token = self.token
        end.millis_behind_now = self.behind if self.has_behind else None
        end.tags = self.end_tags
        end.frame_count = self.blocks.frames
        end.size = self.buffer.origin + upto - self.fragment_at
        self.open = False
        self.ended = True
        self.cluster_ready = False
        self.queue.append(self.keep_fragment(end, upto) if self.keep_fragments else end)
        return 0

    cdef Fragment keep_fragment(self, FragmentEnd end, size_t upto):
        cdef BlockReader blocks = self.blocks
        cdef Fragment fragment = Fragment.__new__(Fragment)
        fragment.start = self.start
        fragment.end = end
        fragment.head = self.head if self.number is None or self.is_continued else b""
        fragment.media_end = self.whole if self.whole < upto else upto
        fragment.segment_at = self.segment_at
        fragment.segment_body = self.segment_body
        fragment.cluster_at = self.cluster_at
        fragment.cluster_body = self.cluster_body
        fragment.extras = blocks.extras
        fragment.side_bytes = b"".join(blocks.sides)
        fragment.row_count = blocks.count
        fragment.rows = blocks.give_rows()
        fragment.slab = self.buffer.hand_over(upto, &fragment.raw_at)
        fragment.raw_size = upto
        self.hold = False
        return fragment
