# cython: wraparound=True
"""FragmentParser: from bytes to fragments and frames.

The parser does no I/O. Bytes come in by `receive_data`, or straight into `buffer` by a receive; events go out one at
a time. Order of things in one walk: the hot loop (`BlockReader.scan`) makes a row for each plain SimpleBlock that is
there; everything else comes token by token from the scanner. Rows and queued events are handed out before the walk
goes on, so nothing that a row points to moves in between.
"""

from collections import deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from kvsfast._native.assembly cimport Assembly
from kvsfast._native.blocks cimport KVS_MAX_LACE, STREAM_ROWS, BlockReader
from kvsfast._native.chunked cimport ReceiveBuffer
from kvsfast._native.frames cimport KVS_FRAME_SIDE, Frame, frame_of_bytes, kvs_row, new_frame_of_slab
from kvsfast._native.scanner cimport *
from kvsfast._native.sections cimport SectionReader

from kvsfast.errors import MediaError, TruncatedMedia, UsageError
from kvsfast.model import Limits


@cython.final
cdef class FragmentParser(Assembly):
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
