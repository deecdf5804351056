"""What is handed to the user: frames, fragments, and the events around them.

Memory. A frame of up to 2 KiB is a tenant of its slab: it looks in, and copies its bytes out as soon as the slab is
to be reused or a view is asked for. A larger one holds its slab, as do the frames of a kept fragment.
A frame object that nobody holds any more when the next but one is made is used again for that one.
Whoever wants to keep a frame without its surroundings takes `Frame.copy`.
"""

import os
from datetime import UTC, datetime, timedelta
from io import RawIOBase

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from libc.stdlib cimport free

from kvsfast._native.chunked cimport Slab, Tenant

from kvsfast.errors import UsageError

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


# -- kept fragments -------------------------------------------------------------------------------------------

@cython.final
cdef class Fragment:
    """A whole fragment, kept in one piece of memory that lives as long as any view on it.

    Carries the fields of its `FragmentStart` and `FragmentEnd`. ``tags`` are the producer's, all of them.
    """

    def __dealloc__(self):
        free(self.rows)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, <void *>self.raw_at, <Py_ssize_t>self.raw_size, 1, flags)

    def __len__(self):
        return self.raw_size

    def __bool__(self):
        return True

    @property
    def number(self):
        return self.start.number

    @property
    def server_timestamp_ms(self):
        return self.start.server_timestamp_ms

    @property
    def producer_timestamp_ms(self):
        return self.start.producer_timestamp_ms

    @property
    def server_timestamp(self):
        return self.start.server_timestamp

    @property
    def producer_timestamp(self):
        return self.start.producer_timestamp

    @property
    def tracks(self):
        return self.start.tracks

    @property
    def info(self):
        return self.start.info

    @property
    def cluster_timestamp(self):
        return self.start.cluster_timestamp

    @property
    def offset(self):
        return self.start.offset

    @property
    def is_complete(self):
        return self.end.is_complete

    @property
    def continuation_token(self):
        return self.end.continuation_token

    @property
    def millis_behind_now(self):
        return self.end.millis_behind_now

    @property
    def frame_count(self):
        return self.row_count

    @property
    def size(self):
        return self.raw_size

    @property
    def tags(self):
        return self.start.tags + self.end.tags

    @property
    def raw(self):
        """The bytes as they came, as a read-only view: EBML header to the end of the trailer; of a plain document the
        Cluster; of a fragment that was cut, what arrived."""
        return memoryview(self)

    @property
    def side(self):
        """Payload that is not verbatim in the document, for rows with the flag 32."""
        return memoryview(self.side_bytes)

    @property
    def frames(self):
        """The frames, made when asked for: len, index, slice, iterate."""
        return FrameSequence.over(self, 0, 1, self.row_count)

    @property
    def columns(self):
        """The frames as rows of numbers: see `Columns`."""
        cdef Columns columns = Columns.__new__(Columns)
        columns.fragment = self
        return columns

    cdef Frame frame_at(self, size_t index):
        cdef kvs_row *row = &self.rows[index]
        cdef Frame frame = Frame.__new__(Frame)
        frame.row = row[0]
        frame.fragment = self.start
        frame.extra = None if row.extra == 0 else self.extras[row.extra - 1]
        if row.flags & KVS_FRAME_SIDE:
            frame.owner = self.side_bytes
            frame.data_at = <const uint8_t *>PyBytes_AS_STRING(self.side_bytes) + row.offset
        else:
            frame.owner = self.slab
            frame.data_at = self.raw_at + row.offset
        return frame

    def to_mkv(self, file):
        """Write a playable Matroska document to a path or a binary file. Returns the number of bytes.

        A whole fragment is written as it came; of one that was cut, what is whole. A plain document's EBML header,
        Info and Tracks are put in front of its Cluster.
        """
        if isinstance(file, (str, os.PathLike)):
            with open(file, "wb") as opened:
                return self.to_mkv(opened)
        if not hasattr(file, "write"):
            raise UsageError(f"file is {file!r}, expected a path or a binary file")
        cdef Py_ssize_t written = 0
        for part in self.document():
            write_all(file, part)
            written += len(part)
        return written

    cdef list document(self):
        """The parts of a playable document: declared sizes that a cut has made wrong become unknown ones."""
        raw = self.raw
        cdef list parts = [self.head]
        cdef size_t at = 0
        if self.end.is_complete:
            at = self.segment_body
            if at:
                parts += [raw[:self.segment_at + 4], unknown_size(self.segment_body - self.segment_at - 4)]
            parts.append(raw[at:])
            return parts
        for start, body in ((self.segment_at, self.segment_body), (self.cluster_at, self.cluster_body)):
            if body:
                parts += [raw[at:start + 4], unknown_size(body - start - 4)]
                at = body
        parts.append(raw[at:max(self.media_end, at)])
        return parts

    def __repr__(self):
        state = "" if self.end.is_complete else ", incomplete"
        return f"<Fragment {self.number or 'without number'}, {self.row_count} frames, {self.raw_size} bytes{state}>"


cdef int write_all(object file, object part) except -1:
    """An unbuffered file may take less than it is given."""
    part = memoryview(part)
    while len(part):
        n = file.write(part)
        if n is None:
            if isinstance(file, RawIOBase):
                raise BlockingIOError("the file takes nothing more at the moment")
            return 0                    # a writer that does not say takes all
        if n <= 0:
            raise OSError(f"the file took {n} of {len(part)} bytes")
        part = part[n:]
    return 0


cdef bytes unknown_size(size_t width):
    """All data bits one (RFC 8794, section 6.2). The IDs of Segment and Cluster have four bytes."""
    return bytes([0xFF >> (width - 1)]) + b"\xff" * (width - 1)


@cython.final
cdef class FrameSequence:
    """The frames of a fragment, or a slice of them. Each access makes a new `Frame`."""

    cdef Fragment fragment
    cdef Py_ssize_t first, step, count

    @staticmethod
    cdef FrameSequence over(Fragment fragment, Py_ssize_t first, Py_ssize_t step, Py_ssize_t count):
        cdef FrameSequence frames = FrameSequence.__new__(FrameSequence)
        frames.fragment = fragment
        frames.first = first
        frames.step = step
        frames.count = count
        return frames

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        cdef Py_ssize_t i
        if isinstance(index, slice):
            start, stop, step = index.indices(self.count)
            return FrameSequence.over(
                self.fragment, self.first + start * self.step, self.step * step, len(range(start, stop, step))
            )
        try:
            i = index
        except OverflowError:
            raise IndexError(f"frame {index} of {self.count}") from None
        if i < 0:
            i += self.count
        if not 0 <= i < self.count:
            raise IndexError(f"frame {index} of {self.count}")
        return self.fragment.frame_at(<size_t>(self.first + i * self.step))

    def __iter__(self):
        cdef FrameSequenceIterator iterator = FrameSequenceIterator.__new__(FrameSequenceIterator)
        iterator.fragment = self.fragment
        iterator.at = self.first
        iterator.step = self.step
        iterator.left = self.count
        return iterator

    def __reversed__(self):
        return iter(self[::-1])

    def __repr__(self):
        return f"<{self.count} frames of {self.fragment!r}>"


@cython.final
cdef class FrameSequenceIterator:
    cdef Fragment fragment
    cdef Py_ssize_t at, step, left
    cdef PyObject *recent[2]    # the last two that were handed out; owned
    cdef int turn

    def __dealloc__(self):
        Py_XDECREF(self.recent[0])
        Py_XDECREF(self.recent[1])

    def __iter__(self):
        return self

    def __next__(self):
        cdef const kvs_row *row = self.fragment.rows + self.at
        cdef Frame frame
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        self.at += self.step
        if is_special(row):
            return self.fragment.frame_at(<size_t>(self.at - self.step))
        self.turn ^= 1
        if is_free(self.recent[self.turn]):
            look_at(self.recent[self.turn], row, self.fragment.raw_at)
            return <object>self.recent[self.turn]
        frame = self.fragment.frame_at(<size_t>(self.at - self.step))
        Py_XDECREF(self.recent[self.turn])
        self.recent[self.turn] = <PyObject *>frame
        Py_INCREF(frame)
        return frame

    def __length_hint__(self):
        return self.left


# -- columns --------------------------------------------------------------------------------------------------

cdef bytes ROW_FORMAT = (
    b"T{q:timestamp_ns:q:media_time_ns:Q:offset:I:length:I:track:I:flags:I:extra:}"
)


@cython.final
cdef class Columns:
    """The frames of a fragment as rows of 40 bytes, without an object for each.

    ``numpy.asarray(columns)`` is a structured array over the same memory, with the fields ``timestamp_ns``,
    ``media_time_ns``, ``offset``, ``length``, ``track``, ``flags`` and ``extra``. Without numpy each field is a strided
    memoryview. ``offset`` counts from the start of ``fragment.raw``, or of ``fragment.side`` where ``flags`` has 32.
    Flags: 1 key, 2 invisible, 4 discardable, 8 laced, 16 time estimated, 32 in side, 64 as stored. ``extra``: not 0 where a
    BlockGroup says more than a row holds; the frame has it.
    """

    cdef Fragment fragment
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __len__(self):
        return self.fragment.row_count

    def __getbuffer__(self, Py_buffer *view, int flags):
        self.shape[0] = <Py_ssize_t>self.fragment.row_count
        self.strides[0] = sizeof(kvs_row)
        fill_view(view, self, self.fragment.rows, sizeof(kvs_row), ROW_FORMAT, self.shape, self.strides, flags)

    @property
    def timestamp_ns(self):
        return column_of(self.fragment, <char *>&self.fragment.rows.timestamp_ns, 8, b"q")

    @property
    def media_time_ns(self):
        return column_of(self.fragment, <char *>&self.fragment.rows.media_time_ns, 8, b"q")

    @property
    def offset(self):
        return column_of(self.fragment, <char *>&self.fragment.rows.offset, 8, b"Q")

    @property
    def length(self):
        return column_of(self.fragment, <char *>&self.fragment.rows.length, 4, b"I")

    @property
    def track(self):
        return column_of(self.fragment, <char *>&self.fragment.rows.track, 4, b"I")

    @property
    def flags(self):
        return column_of(self.fragment, <char *>&self.fragment.rows.flags, 4, b"I")

    @property
    def extra(self):
        return column_of(self.fragment, <char *>&self.fragment.rows.extra, 4, b"I")


@cython.final
cdef class Column:
    cdef Fragment fragment
    cdef char *first
    cdef Py_ssize_t itemsize
    cdef bytes format
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __getbuffer__(self, Py_buffer *view, int flags):
        self.shape[0] = <Py_ssize_t>self.fragment.row_count
        self.strides[0] = sizeof(kvs_row)
        fill_view(view, self, self.first, self.itemsize, self.format, self.shape, self.strides, flags)


cdef object column_of(Fragment fragment, char *first, Py_ssize_t itemsize, bytes format):
    cdef Column column = Column.__new__(Column)
    column.fragment = fragment
    column.first = first
    column.itemsize = itemsize
    column.format = format
    return memoryview(column)


cdef int fill_view(
    Py_buffer *view, object owner, void *first, Py_ssize_t itemsize, bytes format,
    Py_ssize_t *shape, Py_ssize_t *strides, int flags,
) except -1:
    """A read-only, one-dimensional, strided view. BufferError for a consumer that can't take what it is."""
    if flags & PyBUF_WRITABLE:
        raise BufferError("the columns of a fragment are read-only")
    if itemsize != strides[0] and (flags & PyBUF_STRIDES) != PyBUF_STRIDES:
        raise BufferError("a single column is strided")
    view.obj = owner
    view.buf = first
    view.len = shape[0] * itemsize
    view.itemsize = itemsize
    view.readonly = 1
    view.ndim = 1
    view.format = PyBytes_AS_STRING(format) if flags & PyBUF_FORMAT else NULL
    view.shape = shape if flags & PyBUF_ND else NULL
    view.strides = strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
    view.suboffsets = NULL
    view.internal = NULL
    return 0
