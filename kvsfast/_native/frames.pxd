"""What is handed out while streaming: frames, and the events around them."""

from cpython.object cimport PyObject
from libc.stdint cimport int16_t, int64_t, uint8_t, uint32_t, uint64_t

from kvsfast._native.chunked cimport Slab, Tenant

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)


cdef extern from "block.h" nogil:
    ctypedef struct kvs_row:
        int64_t timestamp_ns
        int64_t media_time_ns
        uint64_t offset
        uint32_t length
        uint32_t track
        uint32_t flags
        uint32_t extra
    enum:
        KVS_FRAME_KEY
        KVS_FRAME_INVISIBLE
        KVS_FRAME_DISCARDABLE
        KVS_FRAME_LACED
        KVS_FRAME_ESTIMATED
        KVS_FRAME_SIDE
        KVS_FRAME_STORED


cdef class FragmentStart:
    cdef readonly str number
    cdef readonly object server_timestamp_ms
    cdef readonly object producer_timestamp_ms
    cdef readonly object tracks
    cdef readonly object tags
    cdef readonly object info
    cdef readonly object cluster_timestamp
    cdef readonly uint64_t offset


cdef class FragmentEnd:
    cdef readonly FragmentStart start
    cdef readonly bint is_complete
    cdef readonly str continuation_token
    cdef readonly object millis_behind_now
    cdef readonly object tags
    cdef readonly uint64_t frame_count
    cdef readonly uint64_t size


cdef class LateTags:
    cdef readonly str number
    cdef readonly object tags


cdef class Frame:
    cdef Tenant tenant          # linked while the bytes are a slab's that this frame does not hold
    cdef kvs_row row
    cdef const uint8_t *data_at
    cdef object owner           # whose memory data_at points to; None while a tenant
    cdef readonly FragmentStart fragment
    cdef object extra           # None, or (duration_ns, discard_padding_ns, block_additions)


cdef enum:
    SMALL_FRAME = 2048          # up to here a frame does not pin its slab

cdef Frame frame_of_bytes(const kvs_row *row, bytes payload, FragmentStart start, object extra)
cdef Frame new_frame_of_slab(const kvs_row *row, Slab slab, FragmentStart start, object extra)

cdef inline bint is_special(const kvs_row *row) noexcept:
    """Does the frame look elsewhere than into the media, or say more than its row?"""
    return (row.extra | (row.flags & KVS_FRAME_SIDE)) != 0


# This is where iterating spends its time. What is only looked at is therefore borrowed: `PyObject *`.

cdef inline bint is_free(PyObject *recent) noexcept:
    """A frame that was handed out, and that nobody holds any more but who has it here."""
    return recent != NULL and Py_REFCNT(recent) == 1


cdef inline void look_at(PyObject *frame, const kvs_row *row, const uint8_t *mem) noexcept:
    (<Frame>frame).row = row[0]
    (<Frame>frame).data_at = mem + row.offset


cdef inline Frame frame_of_slab(const kvs_row *row, PyObject *slab, PyObject *start):
    """The frame of a row that is not special, in a slab of the receive buffer."""
    cdef int turn
    cdef PyObject *recent
    if row.length <= SMALL_FRAME:
        turn = (<Slab>slab).turn ^ 1
        recent = (<Slab>slab).recent[turn]
        if is_free(recent):
            (<Slab>slab).turn = turn
            if <PyObject *>(<Frame>recent).fragment != start:
                (<Frame>recent).fragment = <FragmentStart>start
            if (<Frame>recent).owner is not None:
                (<Frame>recent).owner = None
            look_at(recent, row, (<Slab>slab).mem)
            return <Frame>recent
    return new_frame_of_slab(row, <Slab>slab, <FragmentStart>start, None)
