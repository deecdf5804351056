"""Delivery: its state, and what is walked from other compiled modules."""

from libc.stdint cimport int64_t, uint64_t

from kvsfast._native.frames cimport FragmentEnd, FragmentStart, kvs_row
from kvsfast._native.parser cimport FragmentParser
from kvsfast._native.selection cimport Selection


cdef enum:
    _ITEM
    _DATA
    _OVER
    _LOOK


cdef struct Seen:
    int64_t time
    uint64_t digest
    uint64_t size


cdef class Delivery:
    cdef object gate
    cdef readonly str mode
    cdef readonly Selection selection
    cdef bint gives_frames, gives_events
    cdef public bint look           # the gate is to be asked before anything else is given
    cdef FragmentParser parser
    cdef object item                # to be handed over next
    cdef bint item_ends             # it is a fragment, or the end of one
    cdef bint saw_frame
    # the open fragment
    cdef bint dropping              # it was handed over in full before
    cdef uint64_t index             # of its next frame in this response
    cdef bint told                  # of a mismatch in this response
    # what of it was handed over, in all responses
    cdef str number
    cdef Seen *seen                 # owned
    cdef uint64_t count, room, max_frames

    cpdef int step(self) except -1
    cpdef object take(self)
    cdef object next_row(self)
    cdef int meet(self, object event) except -1
    cdef int hold(self, object item, bint ends) except -1
    cdef int begin(self, FragmentStart start) except -1
    cdef int end(self, FragmentEnd end) except -1
    cdef bint passes(self, FragmentParser parser, const kvs_row *row) except -1
    cdef int remember(self, FragmentParser parser, const Seen *frame) except -1
