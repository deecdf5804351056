"""From blocks to rows: one row of numbers for each frame (RFC 9559, sections 5.1.3.4, 5.1.3.5 and 10).

Two ways. `scan` is the hot loop, in C: it takes the plain SimpleBlocks that are whole in the buffer, one after the
other. Everything else takes the long way, one block at a time: lacing, BlockGroups, content encodings,
track numbers above 127, time scales of their own.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.math cimport fabs, rint
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from kvsfast._native.chunked cimport ReceiveBuffer
from kvsfast._native.frames cimport (
    KVS_FRAME_DISCARDABLE, KVS_FRAME_ESTIMATED, KVS_FRAME_INVISIBLE, KVS_FRAME_KEY, KVS_FRAME_LACED, KVS_FRAME_SIDE,
    KVS_FRAME_STORED, kvs_row,
)
from kvsfast._native.scanner cimport *

from kvsfast._native import headers
from kvsfast.errors import KvsFastError, LimitExceeded

cdef extern from "block.h" nogil:
    ctypedef struct kvs_prefix:
        uint64_t track
        size_t length
        int time
        uint8_t flags
    int kvs_read_prefix(const uint8_t *p, size_t n, kvs_prefix *out)
    int kvs_read_lace(unsigned lacing, const uint8_t *p, size_t n, uint32_t *sizes, size_t *used)
    size_t kvs_scan_blocks(const uint8_t *base, size_t pos, size_t end, const kvs_cluster *c,
                           kvs_row *rows, size_t room, size_t *made)

# With the bounds of cluster times (see parser.pyx), keeps every sum of times inside int64.
cdef int64_t MOST_SHIFT_NS = <int64_t>1 << 60


@cython.final
cdef class TrackState:
    """What the long way needs to know of a track."""


@cython.final
cdef class BlockReader:
    """Makes rows of the blocks of a fragment, and holds them."""

    def __cinit__(self, Scanner scanner not None, limits not None, bint keeping):
        self.scanner = scanner
        self.buffer = scanner.buffer
        self.keeping = keeping
        self.max_frames = limits.max_frames
        self.max_payload = limits.max_fragment_size
        self.max_block = limits.max_block_size
        self.max_binary = limits.max_binary_size
        self.cluster.max_block = limits.max_block_size
        self.sides = []
        self.extras = []
        self.room = STREAM_ROWS
        self.rows = <kvs_row *>malloc(self.room * sizeof(kvs_row))
        if self.rows == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.rows)

    cdef int use_tracks(self, object tracks) except -1:
        """Set the table of the hot loop and the states of the long way. Of a number that repeats, the first counts."""
        cdef TrackState state
        if tracks is self.tracks:
            return 0
        self.tracks = tracks
        self.states = {}
        memset(self.cluster.tracks, 0, sizeof(self.cluster.tracks))
        for track in tracks:
            if track.number in self.states:
                continue
            state = TrackState.__new__(TrackState)
            state.delay_ns = track.codec_delay_ns
            state.scale = track.timestamp_scale
            duration = track.default_duration_ns or 0
            state.default_duration_ns = duration if duration < (1 << 52) else 0     # 52 days: no duration of a frame
            encodings = headers.steps_to_undo(track.content_encodings, 1)
            if encodings and track.is_decoded:
                state.steps = [(step.comp_algo, step.comp_settings) for step in encodings]
            state.stored = bool(encodings) and not track.is_decoded
            self.states[track.number] = state
            if track.number < 128:
                self.cluster.tracks[<int>track.number].delay_ns = state.delay_ns
                if encodings or state.scale != 1.0:
                    self.cluster.tracks[<int>track.number].flags = KVS_TRACK_CAREFUL
        return 0

    # -- the rows ---------------------------------------------------------------------------------------------

    cdef int begin_fragment(self) except -1:
        self.frames = 0
        if self.keeping:
            self.count = 0
            self.side_size = 0
            self.sides = []
            self.extras = []
        return 0

    cdef int forget_rows(self) except -1:
        """When not keeping: all rows were handed out."""
        self.count = 0
        if self.sides:
            self.sides.clear()
        if self.extras:
            self.extras.clear()
        return 0

    cdef kvs_row *give_rows(self) except NULL:
        """When keeping: the rows now belong to the caller. The next fragment is likely to have as many."""
        cdef kvs_row *given = self.rows
        cdef kvs_row *fresh
        cdef size_t room = STREAM_ROWS
        while room < self.count + KVS_MAX_LACE:
            room *= 2
        fresh = <kvs_row *>malloc(room * sizeof(kvs_row))
        if fresh == NULL:
            raise MemoryError
        self.rows = fresh
        self.room = room
        self.count = 0
        return given

    cdef int make_room(self) except -1:
        """When keeping: room for the frames of one more lace at least."""
        cdef kvs_row *rows
        if self.room - self.count >= KVS_MAX_LACE:
            return 0
        rows = <kvs_row *>realloc(self.rows, 2 * self.room * sizeof(kvs_row))
        if rows == NULL:
            raise MemoryError
        self.rows = rows
        self.room *= 2
        return 0

    cdef int scan(self, size_t end) except -1:
        """The hot loop over the buffer up to index `end`. Returns how many frames it found."""
        cdef ReceiveBuffer b = self.buffer
        cdef size_t room, made, found = 0
        if end > b.pos:
            self.cluster.ahead = 0 if b.slab.lender is None else LENT_AHEAD
        while end > b.pos:
            if self.keeping:
                self.make_room()
                room = self.room if self.room < self.max_frames else <size_t>self.max_frames
                if room <= self.count:
                    break
                room -= self.count
            else:
                room = STREAM_ROWS - self.count
            b.pos = kvs_scan_blocks(b.mem, b.pos, end, &self.cluster, self.rows + self.count, room, &made)
            self.count += made
            found += made
            if made < room or not self.keeping:
                break
        self.frames += found
        return <int>found

    # -- the long way -----------------------------------------------------------------------------------------

    cdef int add_simple_block(self) except -1:
        """The scanner's token is a SimpleBlock."""
        self.at = self.scanner.at
        return self.add_frames_or_none(self.scanner.data, self.scanner.size, False, False, 0)

    cdef int add_frames_or_none(
        self, const uint8_t *data, size_t size, bint group, bint key, uint32_t extra
    ) except -1:
        """All frames of a block, or none. `data` is the block from its track number on."""
        cdef size_t rows = self.count
        cdef uint64_t frames = self.frames
        try:
            self.add_frames(data, size, group, key, extra)
        except KvsFastError:
            self.count = rows
            self.frames = frames
            raise
        return 0

    cdef int add_frames(self, const uint8_t *data, size_t size, bint group, bint key, uint32_t extra) except -1:
        cdef Scanner s = self.scanner
        cdef kvs_prefix prefix
        cdef TrackState state
        cdef uint32_t sizes[KVS_MAX_LACE]
        cdef uint32_t flags
        cdef size_t used = 0
        cdef int count = 1, i, lacing
        cdef int64_t time
        cdef int64_t step = 0
        cdef double shift
        if kvs_read_prefix(data, size, &prefix) < 0:
            raise s.error(f"a block of {size} bytes is too short for its own header", self.at)
        if prefix.track > 0xFFFFFFFF:
            raise s.error(f"block of track number {prefix.track}, at most {0xFFFFFFFF} is understood", self.at)
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
                raise s.error(f"the lace sizes of a block of {size} bytes do not add up", self.at)
            data += used
        else:
            sizes[0] = <uint32_t>size

        state = self.states.get(prefix.track)
        if state is None:
            time = self.cluster.cluster_ns + prefix.time * self.cluster.scale
        else:
            shift = rint(prefix.time * state.scale)
            if fabs(shift) * self.cluster.scale >= MOST_SHIFT_NS:
                raise s.error(f"block time {prefix.time} x TrackTimestampScale {state.scale} is beyond 64 bits of ns", self.at)
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
        if self.keeping:
            if self.count >= self.max_frames:
                raise self.limit(
                    "too many frames in a fragment to keep", "max_frames", self.count + 1, self.max_frames
                )
            self.make_room()
        row = &self.rows[self.count]
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
            row.offset = self.side_size if self.keeping else <uint64_t>len(self.sides)
            self.side_size += row.length
            if self.keeping and self.side_size > self.max_payload:
                raise self.limit(
                    "the fragment's decoded payload is too large to keep", "max_fragment_size", self.side_size,
                    self.max_payload,
                )
            self.sides.append(payload)
        self.count += 1
        self.frames += 1
        return 0

    cdef object limit(self, str message, str name, uint64_t declared, uint64_t limit):
        return LimitExceeded(
            message, name=name, declared=declared, limit=limit, offset=self.at, path=self.scanner.path()
        )

    cdef bytes undo_encodings(self, bytes payload, list steps):
        cdef Scanner s = self.scanner
        try:
            for algo, settings in steps:
                payload = headers.undo(algo, settings, payload, self.max_block)
        except OverflowError as error:
            raise self.limit("a frame is too large once decoded", "max_block_size", error.args[0], self.max_block) from None
        except ValueError as error:
            raise s.error(f"the content encoding of a frame can't be undone: {error}", self.at) from None
        return payload

    cdef int add_group(self) except -1:
        """A BlockGroup (RFC 9559, section 5.1.3.5), whole: what stands around the Block may follow it."""
        cdef Scanner s = self.scanner
        cdef const uint8_t *p = s.data
        cdef size_t left = s.size, block_size = 0
        cdef uint64_t block_at = 0
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
                block_at = self.child_at
                block_size = <size_t>h.size
            elif element == KVS_BlockDuration and duration is None:
                duration = kvs_uint(p, <size_t>h.size)
            elif element == KVS_ReferenceBlock:
                key = False
            elif element == KVS_DiscardPadding and padding is None:
                padding = kvs_int(p, <size_t>h.size)
            elif element == KVS_BlockAdditions:
                self.take_additions(p, <size_t>h.size, additions)
            p += h.size
            left -= <size_t>h.size
        if block == NULL:
            return 0
        if duration is not None or padding is not None or additions:
            if kvs_read_prefix(block, block_size, &prefix) > 0:
                if prefix.flags & 0x06:
                    duration = None     # of the block, not of one of its frames
                if duration is not None:
                    duration = round(duration * self.timestamp_scale(prefix.track)) * self.cluster.scale
            self.extras.append((duration, padding, tuple(additions)))
            extra = <uint32_t>len(self.extras)
        self.at = block_at
        self.add_frames_or_none(block, block_size, True, key, extra)
        return 0

    cdef object timestamp_scale(self, uint64_t track):
        cdef TrackState state = self.states.get(track)
        return 1 if state is None or state.scale == 1.0 else state.scale

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
                        addition_id = kvs_uint(q, <size_t>inner.size)
                    elif element == KVS_BlockAdditional and data is None:
                        if inner.size > self.max_binary:
                            raise self.scanner.limit(
                                "BlockAdditional is too large", "max_binary_size", inner.size, self.max_binary
                            )
                        data = <bytes>q[:<size_t>inner.size]
                    q += inner.size
                    inside -= <size_t>inner.size
                additions.append((addition_id, data or b""))
            p += h.size
            left -= <size_t>h.size
        return 0

    cdef bint take_child(
        self, const uint8_t **p, size_t *left, kvs_header *h, int parent, int *element
    ) except -1:
        """The next child inside a BlockGroup: p and left come to stand on its payload. False at the end."""
        cdef Scanner s = self.scanner
        cdef int status = kvs_read_header(p[0], left[0], left[0], h)
        cdef uint64_t at = s.at + s.header + <uint64_t>(p[0] - s.data)
        self.child_at = at
        if status == KVS_NO_ROOM:
            return False
        cdef int kind
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
        kind = kvs_elements[element[0]].type
        if h.size > 8 and kind != KVS_BINARY and kind != KVS_MASTER:
            raise s.error(f"element {h.id:X} has {h.size} bytes, at most 8 are allowed", at)
        return True
