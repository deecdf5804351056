"""What is handed out while streaming: frames, and the events around them.

Memory. A frame of up to 2 KiB is a tenant of its slab: it looks in, and copies its bytes out as soon as the slab is
to be reused or a view is asked for. A larger one holds its slab.
A frame object that nobody holds any more when the next but one is made is used again for that one.
Whoever wants to keep a frame without its surroundings takes `Frame.copy`.
"""

from datetime import UTC, datetime, timedelta

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize

from kvsfast._native.chunked cimport Slab, Tenant

cdef object EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


cdef object as_datetime(object ms):
    """Exact: a float of epoch seconds would not be. None beyond what a datetime can say."""
    if ms is None:
        return None
    try:
        return EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return None


# -- events ---------------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(8)
cdef class FragmentStart:
    """A fragment begins: everything that is known before its first frame.

    ``number`` (decimal string, None where the service wrote none); ``server_timestamp_ms`` and
    ``producer_timestamp_ms`` (exact epoch milliseconds, or None) and the same as UTC datetimes; ``tracks``;
    ``tags`` (the producer's, from before the Cluster); ``info``; ``cluster_timestamp`` (in TimestampScale units);
    ``offset`` (bytes: of the document's EBML header, of a plain document the Cluster's).
    """

    @property
    def server_timestamp(self):
        return as_datetime(self.server_timestamp_ms)

    @property
    def producer_timestamp(self):
        return as_datetime(self.producer_timestamp_ms)

    def __repr__(self):
        return f"<FragmentStart {self.number or 'without number'} at byte {self.offset}>"


@cython.final
@cython.freelist(8)
cdef class FragmentEnd:
    """A fragment has ended.

    ``is_complete``: the service's trailer arrived, or the document has none by nature and was closed by its
    structure. ``continuation_token``: what to resume from, None if it did not arrive. ``millis_behind_now``: the age
    of the fragment when it was sent. ``tags``: the producer's, from after the Cluster's beginning. ``size`` in bytes.
    """

    @property
    def number(self):
        return self.start.number

    def __repr__(self):
        state = "complete" if self.is_complete else "incomplete"
        return f"<FragmentEnd {self.number or 'without number'}, {state}, {self.frame_count} frames>"


@cython.final
cdef class LateTags:
    """Tags that belong to no open fragment: behind the trailer of fragment ``number``, or in a document without one."""

    def __repr__(self):
        return f"<LateTags after {self.number}: {self.tags!r}>"


# -- frames ---------------------------------------------------------------------------------------------------

cdef int admit_frame(Slab slab, PyObject *recent) except -1:
    cdef Frame frame = <Frame>recent
    if frame.owner is None:
        frame.tenant.owner = <void *>recent
        slab.evict = evict_frame
        slab.admit(&frame.tenant)
    return 0


cdef int evict_frame(void *owner) except -1:
    return own_bytes(<Frame>owner)


cdef int own_bytes(Frame frame) except -1:
    """From now on the frame looks into a copy of its own."""
    cdef bytes copy = PyBytes_FromStringAndSize(<const char *>frame.data_at, frame.row.length)
    if frame.tenant.before != NULL:
        leave(frame)
    frame.owner = copy
    frame.data_at = <const uint8_t *>PyBytes_AS_STRING(copy)
    return 0


cdef inline void leave(Frame frame) noexcept:
    frame.tenant.before.after = frame.tenant.after
    frame.tenant.after.before = frame.tenant.before
    frame.tenant.before = NULL


@cython.final
@cython.freelist(256)
@cython.no_gc
cdef class Frame:
    """One access unit of a track.

    ``timestamp_ns``: wall clock (producer timestamp + offset in the fragment - CodecDelay), epoch ns; without a
    producer timestamp the same as ``media_time_ns``, the document's time (RFC 9559, section 11).
    ``data`` is a read-only view; ``bytes(frame)`` a copy; ``copy()`` a frame that holds only its own bytes.
    ``len(frame)`` is the size in bytes; ``frame[i]`` a byte, for which no view is made, and ``frame[i:j]`` a view on some.
    """

    def __dealloc__(self):
        if self.tenant.before != NULL:
            leave(self)

    def __len__(self):
        return self.row.length

    def __bool__(self):
        return True

    def __getitem__(self, index):
        cdef Py_ssize_t i
        if isinstance(index, slice):
            return memoryview(self)[index]
        try:
            i = index
        except OverflowError:
            raise IndexError(f"byte {index} of {self.row.length}") from None
        if i < 0:
            i += self.row.length
        if not 0 <= i < self.row.length:
            raise IndexError(f"byte {index} of {self.row.length}")
        return self.data_at[i]

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.owner is None:
            own_bytes(self)
        PyBuffer_FillInfo(view, self, <void *>self.data_at, self.row.length, 1, flags)

    def __bytes__(self):
        if PyBytes_CheckExact(self.owner) and self.data_at == <const uint8_t *>PyBytes_AS_STRING(self.owner) \
                and len(<bytes>self.owner) == self.row.length:
            return self.owner
        return PyBytes_FromStringAndSize(<const char *>self.data_at, self.row.length)

    @property
    def data(self):
        """The payload, as a read-only memoryview."""
        return memoryview(self)

    @property
    def size(self):
        return self.row.length

    @property
    def track_number(self):
        return self.row.track

    @property
    def track(self):
        """The `Track` of this frame, None if the document does not describe it."""
        return self.fragment.tracks.by_number(self.row.track)

    @property
    def timestamp_ns(self):
        return self.row.timestamp_ns

    @property
    def media_time_ns(self):
        return self.row.media_time_ns

    @property
    def is_keyframe(self):
        return (self.row.flags & KVS_FRAME_KEY) != 0

    @property
    def is_invisible(self):
        return (self.row.flags & KVS_FRAME_INVISIBLE) != 0

    @property
    def is_discardable(self):
        return (self.row.flags & KVS_FRAME_DISCARDABLE) != 0

    @property
    def is_laced(self):
        return (self.row.flags & KVS_FRAME_LACED) != 0

    @property
    def is_estimated(self):
        """The time is the block's: of a lace without DefaultDuration nothing tells this frame's own."""
        return (self.row.flags & KVS_FRAME_ESTIMATED) != 0

    @property
    def is_stored(self):
        """The payload is as stored: the track has a content encoding that kvsfast does not undo."""
        return (self.row.flags & KVS_FRAME_STORED) != 0

    @property
    def duration_ns(self):
        """BlockDuration, or None."""
        return None if self.extra is None else self.extra[0]

    @property
    def discard_padding_ns(self):
        """DiscardPadding, or None."""
        return None if self.extra is None else self.extra[1]

    @property
    def block_additions(self):
        """``(BlockAddID, bytes)`` pairs."""
        return () if self.extra is None else self.extra[2]

    def copy(self):
        """The same frame over bytes of its own: it keeps no receive memory alive."""
        return frame_of_bytes(&self.row, self.__bytes__(), self.fragment, self.extra)

    def __repr__(self):
        key = ", key" if self.row.flags & KVS_FRAME_KEY else ""
        return f"<Frame track {self.row.track}, {self.row.media_time_ns} ns, {self.row.length} bytes{key}>"


cdef Frame new_frame_of_slab(const kvs_row *row, Slab slab, FragmentStart start, object extra):
    """An object of its own. If it is small, it is used again for the next but one, should nobody hold it then."""
    cdef Frame frame = Frame.__new__(Frame)
    frame.row = row[0]
    frame.data_at = slab.mem + row.offset
    frame.fragment = start
    frame.extra = extra
    if row.length > SMALL_FRAME:
        frame.owner = slab
        return frame
    if extra is not None:           # it says more than a row: no other row takes its place
        admit_frame(slab, <PyObject *>frame)
        return frame
    slab.admit_kept = admit_frame
    slab.turn ^= 1
    slab.settle_recent(slab.turn)
    slab.recent[slab.turn] = <PyObject *>frame
    Py_INCREF(frame)
    return frame


cdef Frame frame_of_bytes(const kvs_row *row, bytes payload, FragmentStart start, object extra):
    cdef Frame frame = Frame.__new__(Frame)
    frame.row = row[0]
    frame.owner = payload
    frame.data_at = <const uint8_t *>PyBytes_AS_STRING(payload)
    frame.fragment = start
    frame.extra = extra
    return frame
