"""Fragments that are kept whole, in one piece of memory: their frames and columns, and the document they make.

The frames of a kept fragment hold its memory, as every view on it does.
"""

import os
from io import RawIOBase

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint8_t
from libc.stdlib cimport free

from kvsfast._native.columns cimport columns_of
from kvsfast._native.frames cimport KVS_FRAME_SIDE, Frame, is_free, is_special, kvs_row, look_at

from kvsfast.errors import UsageError


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
        return columns_of(self, self.rows, self.row_count)

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
