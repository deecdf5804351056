"""Receive memory and HTTP body framing. Who owns what is said here; how it works, in the .pyx."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "http_chunk.h" nogil:
    ctypedef struct kvs_chunked:
        uint64_t remaining
        uint64_t overhead
        uint64_t payload
        uint8_t state
        uint32_t max_extension
        uint32_t max_trailer
        uint64_t max_overhead
    int kvs_decode_chunked(kvs_chunked *c, uint8_t *buf, size_t n, size_t *out, size_t *used)
    enum:
        KVS_IN_END
        KVS_CHUNK_OK
        KVS_CHUNK_BAD_SIZE
        KVS_CHUNK_BAD_LINE
        KVS_CHUNK_BAD_END
        KVS_CHUNK_LONG_EXTENSION
        KVS_CHUNK_LONG_TRAILER
        KVS_CHUNK_OVERHEAD


# A place in the list of those who look into a slab but must not pin it. Lives inside its owner.
cdef struct Tenant:
    Tenant *before
    Tenant *after
    void *owner             # borrowed; the owner unlinks itself when it dies


cdef class Slab:
    cdef uint8_t *mem       # owned, if not lent; back to the pool when the last reference dies
    cdef size_t capacity
    cdef bytes lender       # whose memory it is, only to be read; None: the pool's
    cdef Tenant tenants     # head of a ring
    cdef int (*evict)(void *owner) except -1    # makes a tenant keep a copy of its own and unlink itself
    # The last two objects handed out that look in here; owned. Whichever nobody else holds is handed out again;
    # whichever somebody holds becomes a tenant.
    cdef PyObject *recent[2]
    cdef int turn
    cdef int (*admit_kept)(Slab slab, PyObject *recent) except -1

    cdef inline void admit(self, Tenant *tenant) noexcept
    cdef int settle_recent(self, int turn) except -1
    cdef int evict_tenants(self) except -1
    cdef int grow(self, size_t wanted, size_t held) except -1


cdef Slab new_slab(size_t capacity)


cdef class ReceiveBuffer:
    cdef Slab slab          # None while nothing is held
    cdef uint8_t *mem       # what indices count from: the slab's start; when keeping, the fragment's
    cdef size_t begin       # first byte that must stay: start of the unfinished element, or of the fragment
    cdef size_t pos         # the parser's cursor
    cdef size_t end         # end of the payload received
    cdef uint64_t origin    # absolute offset of mem[0] in the payload
    cdef size_t want        # bytes from `begin` on that the parser is waiting for, or 0
    cdef size_t slab_size
    cdef readonly size_t window     # bytes asked for at a time, at most
    cdef bint is_fixed      # the window was given
    cdef bint keeping       # one growing slab a fragment, instead of a row of slabs
    cdef bint is_shared     # the slab may only be read: it is lent, or belongs to a fragment that was handed over
    cdef size_t likely      # when keeping: size of the fragment that was handed over last
    cdef int exports        # receives under way

    cdef inline size_t room(self) noexcept
    cdef inline size_t tail(self) noexcept
    cdef inline size_t least(self) noexcept
    cdef inline void follow(self, size_t received) noexcept
    cdef int reserve(self) except -1
    cdef int move_on(self) except -1
    cdef int leave(self) except -1
    cdef int write(self, const uint8_t *data, size_t n) except -1
    cdef int drop_before(self, size_t index) except -1
    cdef Slab hand_over(self, size_t upto, const uint8_t **at)


cdef class BodyDecoder:
    cdef ReceiveBuffer buffer
    cdef kvs_chunked state
    cdef bint chunked
    cdef bint counted
    cdef uint64_t remaining
    cdef uint64_t wire
    cdef readonly bint is_complete
