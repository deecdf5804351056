"""FragmentParser: its state, and what the iterators call."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from kvsfast._native.assembly cimport Assembly
from kvsfast._native.frames cimport Frame, frame_of_slab, is_special, kvs_row


cdef enum Status:
    READY       # something can be handed out
    WAIT        # more bytes are needed
    DONE        # the media is over


cdef class FragmentParser(Assembly):
    cdef bint strict, resync
    # in
    cdef object pending         # bytes received and not yet copied into the buffer
    cdef size_t pending_at
    cdef bint eof
    cdef bint filling           # a receive is under way
    # out
    cdef const kvs_row *row     # the next to be handed out, and the end of those that are; none when keeping
    cdef const kvs_row *row_end
    cdef object failure         # what ends the media, once all before it was given
    cdef public object on_broken    # called without arguments when the grammar is broken: no more bytes are needed
    cdef bint finished
    cdef bint is_lost           # after damage: looking for a place to go on

    cdef bint pump(self) except -1
    cdef object take(self)
    cdef int advance(self) except -1
    cdef int walk(self) except -1
    cdef int scan_blocks(self) except -1
    cdef int check_held(self, int token) except -1
    cdef int lose_place(self, uint64_t at) except -1
    cdef bint find_place(self) except -1
    cdef int open_master(self) except -1
    cdef int close_master(self) except -1
    cdef int leaf(self) except -1
    cdef int end_of_input(self) except -1
    cdef int offer_rows(self) except -1
    cdef Frame special_frame(self, const kvs_row *row)

    cdef inline bint has_rows(self) noexcept:
        return self.row != self.row_end

    cdef inline Frame take_frame(self):
        cdef const kvs_row *row = self.row
        self.row += 1
        if is_special(row):
            return self.special_frame(row)
        return frame_of_slab(row, <PyObject *>self.buffer.slab, <PyObject *>self.start)
