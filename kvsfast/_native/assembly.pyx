"""From elements to fragments: what documents, sections and Clusters mean for those who wait for fragments.

Where a fragment begins and ends:

* A document with a FRAGMENT_NUMBER tag is the service's: it is one fragment, from the EBML header to the end of the
  Tags that hold CONTINUATION_TOKEN. That end is known without waiting for the next header.
* In any other document each Cluster is a fragment.
"""

from libc.stdint cimport int64_t, uint64_t

from kvsfast._native.blocks cimport BlockReader, kvs_cluster
from kvsfast._native.chunked cimport ReceiveBuffer
from kvsfast._native.fragments cimport Fragment
from kvsfast._native.frames cimport FragmentEnd, FragmentStart, LateTags
from kvsfast._native.scanner cimport *
from kvsfast._native.sections cimport SectionReader, ServiceTags

from kvsfast.model import SegmentInfo, Tracks
from kvsfast.tags import Tags, in_stream_error

# Times are int64 ns. These bounds keep every sum of the hot loop inside it.
cdef int64_t MOST_CLUSTER_NS = <int64_t>1 << 62
cdef int64_t MOST_WALL_NS = <int64_t>1 << 62
cdef int64_t MOST_PRODUCER_MS = (<int64_t>1 << 62) // 1000000

cdef object NO_TAGS = Tags()
cdef object NO_TRACKS = Tracks()
cdef object DEFAULT_INFO = SegmentInfo()


cdef class Assembly:
    """The open document and the open fragment of a `FragmentParser`, which says what the scanner has found."""

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
