"""What a session hands over: each fragment, frame and event once, over as many responses as it takes.

A `Delivery` outlives responses; each brings a parser of its own. At the borders of fragments it asks its *gate*, the
session (plain Python, since it is rarely asked), whether a fragment is new, and whether one that was cut is to be
fetched again. Between the borders nothing but rows is looked at.

A fragment that was cut in the middle of being handed over comes again from its beginning. Its frames are counted, and
those handed over before are skipped by their index, after a look at size, time and a digest of the payload.

The gate: ``begins(start)``, ``ends(end)``, ``whole(fragment)`` say whether to hand it over; ``mismatch(index, expected,
found)`` and ``saw_frame()`` are told. Whatever else it wants, it says by setting ``look``.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from kvsfast._native.fragments cimport Fragment
from kvsfast._native.frames cimport (
    KVS_FRAME_DISCARDABLE, KVS_FRAME_INVISIBLE, KVS_FRAME_KEY, KVS_FRAME_LACED, KVS_FRAME_SIDE, FragmentEnd,
    FragmentStart, kvs_row,
)
from kvsfast._native.iterators cimport fill_more
from kvsfast._native.parser cimport DONE, FragmentParser
from kvsfast._native.parser cimport WAIT as WAIT_FOR_BYTES
from kvsfast._native.selection cimport Selection

from kvsfast.errors import InStreamError, KvsFastError, LimitExceeded, UsageError

cdef extern from "digest.h" nogil:
    uint64_t kvs_digest(const uint8_t *p, size_t n, uint64_t seed)

cdef uint32_t OF_THE_BLOCK = KVS_FRAME_KEY | KVS_FRAME_INVISIBLE | KVS_FRAME_DISCARDABLE | KVS_FRAME_LACED

ITEM = _ITEM        # take() has something
DATA = _DATA        # the parser needs more bytes
OVER = _OVER        # the response is over, or there is none
LOOK = _LOOK        # the gate wants something

@cython.final
cdef class Delivery:
    """Items of one mode ("fragments", "frames" or "events") from one response after the other. Does no I/O.

    ``use(parser)`` begins a response, ``drop()`` ends it. ``step()`` walks on and says what there is: ITEM, DATA,
    OVER or LOOK; it raises what ended the media. ``max_frames``: of one fragment in its frames, whose digests are held.
    """

    def __init__(self, gate, str mode not None, Selection selection not None, uint64_t max_frames):
        if mode not in ("fragments", "frames", "events"):
            raise UsageError(f"mode is {mode!r}, expected fragments, frames or events")
        self.gate = gate
        self.mode = mode
        self.gives_frames = mode != "fragments"
        self.gives_events = mode == "events"
        self.selection = selection
        self.max_frames = max_frames

    def __dealloc__(self):
        free(self.seen)

    # -- responses --------------------------------------------------------------------------------------------

    def use(self, FragmentParser parser not None):
        """The media of the next response. What was held of the one before is forgotten."""
        self.drop()
        self.parser = parser

    def drop(self):
        """The response has ended."""
        self.parser = None
        self.item = None
        self.dropping = False
        self.index = 0

    @property
    def received(self):
        """Bytes of media that this response brought."""
        cdef FragmentParser parser = self.parser
        return 0 if parser is None else parser.buffer.origin + parser.buffer.end

    @property
    def holds(self):
        """Whether an item is there."""
        return self.item is not None

    @property
    def handed_over(self):
        """The number of the fragment that is handed over in part, or None; and how many of its frames."""
        return self.number, self.count

    def forget(self):
        """The fragment that was handed over in part will not be gone on with."""
        self.number = None
        self.count = 0

    def fill(self, fill):
        """One receive, by ``fill()``. What ends the media is kept back until all before it was given."""
        if self.parser is not None:
            fill_more(self.parser, fill)

    # -- items ------------------------------------------------------------------------------------------------

    cpdef int step(self) except -1:
        """Walk on to something that the caller must know."""
        cdef FragmentParser parser
        cdef int status
        if self.look:
            return _LOOK
        while True:
            if self.item is not None:
                return _ITEM
            parser = self.parser
            if parser is None:
                return _OVER
            if parser.filling:
                raise UsageError("the consumer is being read by another thread; it serves one at a time")
            while parser.has_rows():
                if self.passes(parser, parser.row):
                    self.item = parser.take_frame()
                    self.item_ends = False
                    return _ITEM
                parser.row += 1
            while parser.queue:
                self.meet(parser.queue.pop(0))
                if self.look:
                    return _LOOK
                if self.item is not None:
                    return _ITEM
            status = parser.advance()
            if status == DONE:
                return _OVER
            if status == WAIT_FOR_BYTES:
                return _DATA

    cpdef object take(self):
        """The item that ``step`` found."""
        cdef object item = self.item
        self.item = None
        self.look = self.item_ends
        if not self.saw_frame:
            self.saw_frame = True
            self.gate.saw_frame()
        return item

    cdef object next_row(self):
        """The next frame, where it is a matter of rows alone; else None."""
        cdef FragmentParser parser = self.parser
        if self.item is not None or self.look or parser is None or parser.filling or not self.saw_frame:
            return None
        while parser.has_rows():
            if self.passes(parser, parser.row):
                return parser.take_frame()
            parser.row += 1
        return None

    cdef int meet(self, object event) except -1:
        if isinstance(event, FragmentStart):
            self.begin(event)
        elif isinstance(event, FragmentEnd):
            self.end(event)
        elif isinstance(event, Fragment):
            if self.gate.whole(event):
                if self.selection:
                    self.selection.reduce(event)
                self.hold(event, True)
        elif isinstance(event, InStreamError):
            raise event
        elif self.gives_events and not self.dropping:
            self.hold(event, False)
        return 0

    cdef int hold(self, object item, bint ends) except -1:
        self.item = item
        self.item_ends = ends
        return 0

    cdef int begin(self, FragmentStart start) except -1:
        cdef bint again
        self.index = 0
        self.told = False
        self.dropping = not self.gate.begins(start)
        if self.dropping:
            return 0
        self.selection.use_tracks(start.tracks)
        again = start.number is not None and start.number == self.number
        if not again:
            self.number = start.number
            self.count = 0
            if self.gives_events:
                self.hold(start, False)
        return 0

    cdef int end(self, FragmentEnd end) except -1:
        cdef Seen *expected
        if not self.dropping and end.is_complete and self.index < self.count and not self.told:
            expected = &self.seen[self.index]
            self.gate.mismatch(self.index, (expected.size, expected.time, expected.digest), None)
        if self.gate.ends(end):
            if self.gives_events:
                self.hold(end, True)
            self.forget()
        if not self.gives_events:
            self.look = True
        return 0

    # Of the parser they were called with: while Python runs, another thread may `drop` the one that is here.

    cdef bint passes(self, FragmentParser parser, const kvs_row *row) except -1:
        """Count a frame of the open fragment. Is it to be handed over?"""
        cdef const uint8_t *payload
        cdef Seen found
        cdef Seen *expected
        if self.dropping:
            return False
        if self.number is not None:
            if row.flags & KVS_FRAME_SIDE:
                payload = <const uint8_t *>PyBytes_AS_STRING(parser.blocks.sides[row.offset])
            else:
                payload = parser.buffer.mem + row.offset
            found.time = row.media_time_ns
            found.size = row.length
            found.digest = kvs_digest(
                payload, row.length, <uint64_t>row.track << 8 | (row.flags & OF_THE_BLOCK)
            )
            self.index += 1
            if self.index <= self.count:
                expected = &self.seen[self.index - 1]
                if not self.told and (
                    found.time != expected.time or found.size != expected.size or found.digest != expected.digest
                ):
                    self.told = True
                    self.gate.mismatch(
                        self.index - 1, (expected.size, expected.time, expected.digest),
                        (found.size, found.time, found.digest),
                    )
                return False
            self.remember(parser, &found)
        return self.selection.wants(row)

    cdef int remember(self, FragmentParser parser, const Seen *frame) except -1:
        cdef Seen *seen
        cdef uint64_t room
        if self.count >= self.max_frames:
            raise LimitExceeded(
                "too many frames in a fragment to tell them apart when it comes again", name="max_frames",
                declared=self.count + 1, limit=self.max_frames, offset=parser.buffer.origin,
            )
        if self.count == self.room:
            room = 2 * self.room if self.room else 256
            seen = <Seen *>realloc(self.seen, room * sizeof(Seen))
            if seen == NULL:
                raise MemoryError
            self.seen = seen
            self.room = room
        self.seen[self.count] = frame[0]
        self.count += 1
        return 0


@cython.final
cdef class DeliveryIterator:
    """A loop over a Delivery. ``receive()`` is called where bytes are needed; it returns the error that ends the response,
    or None. ``turn(status, error)`` is called where the response is over, by that error if there is one, and where the
    gate wants something (OVER, LOOK): it returns an item to give, or None to go on, or raises StopIteration."""

    cdef Delivery delivery
    cdef object receive, turn

    def __init__(self, Delivery delivery not None, receive, turn):
        self.delivery = delivery
        self.receive = receive
        self.turn = turn

    def __iter__(self):
        return self

    def __next__(self):
        cdef int status
        while True:
            error = None
            try:
                item = self.delivery.next_row()
                if item is not None:
                    return item
                status = self.delivery.step()
            except UsageError:
                raise
            except KvsFastError as caught:
                status = _OVER
                error = caught
            if status == _ITEM:
                return self.delivery.take()
            if status == _DATA:
                error = self.receive()
                if error is None:
                    continue
                status = _OVER
            item = self.turn(status, error)
            if item is not None:
                return item
