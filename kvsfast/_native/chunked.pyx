"""Receive memory, and HTTP body framing stripped in place.

A receive writes into the free window at the tail of a `ReceiveBuffer`; `BodyDecoder.commit` strips the HTTP
framing there, so that the payload stays contiguous and is still in cache when the parser walks it.

Slabs. Memory comes in slabs from a process-wide pool. A slab is an object: whoever looks into its memory holds a
reference, and when the last one goes, the memory returns to the pool. Nothing is ever written over a slab that
somebody else holds. Small frames are *tenants*: they look in without the right to stay, and copy their bytes
out when the buffer moves on. A slab may also be lent: ``bytes`` that are there already are read where they are.

Two ways of keeping. In a row of slabs (the default) only what lies between `begin` and `end` is carried over
when a slab is full. With `keeping` one slab grows for as long as a fragment lasts; it may move, since
nobody looks in before `hand_over`.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport Py_DECREF
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from kvsfast.errors import TransportError

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object o)
    Py_ssize_t PyObject_REFCNT "Py_REFCNT"(PyObject *o)

# What is asked for at a time follows what comes: a slow stream holds little memory, a fast one is read in few calls.
cdef size_t FIRST_WINDOW = 64 * 1024
cdef size_t LARGEST_WINDOW = 256 * 1024
cdef size_t SLAB_SIZE = 128 * 1024
cdef size_t LARGEST_USUAL_SLAB = 2 * 1024 * 1024
# What an idle stream may keep beside its objects, in blocks of this step.
cdef size_t LITTLE = 32 * 1024
cdef size_t LITTLE_STEP = 4 * 1024


# -- the pool -------------------------------------------------------------------------------------------------

cdef enum:
    POOL_PLACES = 64
    ALWAYS_KEPT = 2             # of the blocks given back last, beyond the limit: large fragments take turns in them ...
    MOST_BEYOND = 4             # ... up to so many times the limit each

cdef struct Free:
    uint8_t *mem
    size_t capacity

cdef Free pool[POOL_PLACES]
cdef int pool_count = 0
cdef size_t pool_bytes = 0
cdef size_t pool_limit = 64 * 1024 * 1024
cdef size_t slab_count = 0
cdef size_t slab_bytes = 0


def set_pool_limit(size_t limit):
    """Bytes of free receive memory that the process keeps for reuse (default 64 MiB). The two pieces that were given
    back last are kept even if they are larger, up to four times the limit each. 0 keeps none."""
    global pool_limit
    pool_limit = limit
    make_room_in_pool()


def pool_stats():
    """``(free bytes in the pool, slabs in use, bytes of slabs in use)`` of this process."""
    return pool_bytes, slab_count, slab_bytes


cdef uint8_t *find_block(size_t wanted, size_t *capacity) noexcept:
    """The free block that was used last of those that fit without waste; NULL if there is none."""
    global pool_count, pool_bytes
    cdef int i = pool_count - 1
    cdef uint8_t *mem
    cdef size_t most            # fragments of one stream differ more than frames do
    while i >= 0:
        most = 16 * wanted if wanted > LARGEST_USUAL_SLAB else 4 * wanted
        if wanted <= pool[i].capacity and pool[i].capacity <= most:
            mem = pool[i].mem
            capacity[0] = pool[i].capacity
            pool_bytes -= capacity[0]
            pool_count -= 1
            memmove(&pool[i], &pool[i + 1], <size_t>(pool_count - i) * sizeof(Free))
            return mem
        i -= 1
    return NULL


cdef uint8_t *take_block(size_t wanted, size_t *capacity) noexcept:
    cdef uint8_t *mem = find_block(wanted, capacity)
    if mem == NULL:
        mem = <uint8_t *>malloc(wanted)
        capacity[0] = wanted
    return mem


cdef void give_block(uint8_t *mem, size_t capacity) noexcept:
    global pool_count, pool_bytes
    if capacity > MOST_BEYOND * pool_limit:
        free(mem)
        return
    pool[pool_count].mem = mem
    pool[pool_count].capacity = capacity
    pool_count += 1
    pool_bytes += capacity
    make_room_in_pool()


cdef void make_room_in_pool() noexcept:
    """Free the oldest: what was used last is still in cache."""
    global pool_count, pool_bytes
    cdef int kept = ALWAYS_KEPT if pool_limit else 0
    while pool_count > kept and (pool_count == POOL_PLACES or pool_bytes > pool_limit):
        free(pool[0].mem)
        pool_bytes -= pool[0].capacity
        pool_count -= 1
        memmove(&pool[0], &pool[1], <size_t>pool_count * sizeof(Free))


@cython.final
@cython.freelist(16)
@cython.no_gc
cdef class Slab:
    """A piece of receive memory, shared by all who look into it. Read-only to Python."""

    def __cinit__(self):
        self.tenants.before = self.tenants.after = &self.tenants

    def __dealloc__(self):
        global slab_count, slab_bytes
        if self.mem != NULL:
            self.evict_tenants()
            if self.lender is None:
                slab_count -= 1
                slab_bytes -= self.capacity
                give_block(self.mem, self.capacity)

    cdef inline void admit(self, Tenant *tenant) noexcept:
        tenant.before = self.tenants.before
        tenant.after = &self.tenants
        self.tenants.before.after = tenant
        self.tenants.before = tenant

    cdef int settle_recent(self, int turn) except -1:
        """Empty a place of `recent`."""
        cdef PyObject *recent = self.recent[turn]
        if recent != NULL:
            self.recent[turn] = NULL
            if PyObject_REFCNT(recent) > 1:
                self.admit_kept(self, recent)
            Py_DECREF(<object>recent)
        return 0

    cdef int evict_tenants(self) except -1:
        self.settle_recent(0)
        self.settle_recent(1)
        while self.tenants.after != &self.tenants:
            self.evict(self.tenants.after.owner)
        return 0

    cdef int grow(self, size_t wanted, size_t held) except -1:
        """Only while nobody else holds the slab: it moves. Copying `held` bytes into memory that was used before costs
        less than the pages of fresh memory do; without such memory, realloc moves pages where it can."""
        global slab_bytes
        cdef size_t capacity
        cdef uint8_t *mem = find_block(wanted, &capacity)
        if mem != NULL:
            memcpy(mem, self.mem, held)
            give_block(self.mem, self.capacity)
        else:
            capacity = wanted
            mem = <uint8_t *>realloc(self.mem, capacity)
            if mem == NULL:
                raise MemoryError
        self.mem = mem
        slab_bytes += capacity - self.capacity
        self.capacity = capacity
        return 0


cdef Slab new_slab(size_t capacity):
    global slab_count, slab_bytes
    cdef Slab slab = Slab.__new__(Slab)
    slab.mem = take_block(capacity, &slab.capacity)
    if slab.mem == NULL:
        raise MemoryError
    slab_count += 1
    slab_bytes += slab.capacity
    return slab


# -- the buffer -----------------------------------------------------------------------------------------------

@cython.final
cdef class ReceiveBuffer:
    """Where received bytes land. Exports the free window at its tail as a writable buffer.

    ``sock.recv_into(buffer)``, then ``buffer.commit(n)`` (payload as it is) or ``decoder.commit(n)`` (an HTTP
    body's framing to be stripped). ``len(buffer)`` is the size of the window: at most ``window`` bytes, which
    follows what is received, from 64 to 256 KiB, unless it is given.
    """

    def __init__(self, *, window=None):
        self.is_fixed = window is not None
        self.window = window if self.is_fixed else FIRST_WINDOW
        if self.window < 1:
            raise ValueError("window must be at least 1")
        self.slab_size = SLAB_SIZE

    def __len__(self):
        self.reserve()
        return self.room()

    def __bool__(self):
        return True

    def __getbuffer__(self, Py_buffer *view, int flags):
        self.reserve()
        PyBuffer_FillInfo(view, self, self.mem + self.end, <Py_ssize_t>self.room(), 0, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.exports -= 1

    cdef inline size_t room(self) noexcept:
        cdef size_t left = self.tail()
        return left if left < self.window else self.window

    cdef inline size_t tail(self) noexcept:
        return self.slab.capacity - <size_t>(self.mem - self.slab.mem) - self.end

    cdef inline size_t least(self) noexcept:
        """The tail of a slab is used for receives down to this size."""
        return self.window if self.is_fixed else self.window // 4

    cdef inline void follow(self, size_t received) noexcept:
        """The window becomes about twice what a receive brings."""
        if self.is_fixed:
            return
        # When keeping, what comes behind a fragment is copied: the less, the better.
        if received > self.window // 2:
            if self.window < (LARGEST_WINDOW // 2 if self.keeping else LARGEST_WINDOW):
                self.window *= 2
                if self.slab_size < 2 * self.window:
                    self.slab_size = 2 * self.window
        elif received < self.window // 8 and self.window > FIRST_WINDOW:
            self.window //= 2

    def commit(self, size_t n):
        """``n`` payload bytes were written into the window. ValueError if it never was so large."""
        if self.slab is None or n > self.room():
            raise ValueError(f"commit of {n} bytes into a window of {0 if self.slab is None else self.room()}")
        self.end += n
        self.follow(n)

    def borrow(self, data):
        """Take all of ``data``, a memoryview, as received, and read it where it is. Returns False, having taken nothing,
        unless it is of immutable ``bytes``, and the buffer holds no memory yet and was given no window."""
        cdef Py_buffer view
        cdef Slab slab
        lender = data.obj
        if self.slab is not None or self.is_fixed or not PyBytes_CheckExact(lender):
            return False
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        slab = Slab.__new__(Slab)
        slab.lender = lender
        slab.mem = <uint8_t *>view.buf
        slab.capacity = <size_t>view.len
        PyBuffer_Release(&view)
        self.slab = slab
        self.mem = slab.mem
        self.end = slab.capacity
        self.is_shared = True
        return True

    @property
    def readable(self):
        """Payload bytes received and not yet taken."""
        return self.end - self.pos

    @property
    def offset(self):
        """Position in the payload of the next byte to be taken."""
        return self.origin + self.pos

    def take(self, size_t n):
        """Up to ``n`` buffered payload bytes; ``b""`` if none are there."""
        cdef size_t have = self.end - self.pos
        if n > have:
            n = have
        cdef bytes taken = PyBytes_FromStringAndSize(<char *>self.mem + self.pos if n else NULL, <Py_ssize_t>n)
        self.pos += n
        self.begin = self.pos
        return taken

    def take_into(self, target):
        """Fill ``target``, a writable buffer, with what is buffered. Returns the number of bytes."""
        cdef Py_buffer view
        cdef size_t n = self.end - self.pos
        PyObject_GetBuffer(target, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            if n > <size_t>view.len:
                n = <size_t>view.len
            if n:
                memcpy(view.buf, self.mem + self.pos, n)
        finally:
            PyBuffer_Release(&view)
        self.pos += n
        self.begin = self.pos
        return n

    def release(self):
        """Give back what memory an idle stream does not need. True if it holds none now.

        A little that is buffered, the beginning of a frame, moves to a block of its size.
        """
        cdef size_t held = self.end - self.begin
        cdef Slab fresh = None
        if self.slab is None:
            return True
        if self.exports:
            return False
        if held:
            if self.keeping or held > LITTLE or self.slab.capacity <= 2 * LITTLE:
                return False
            fresh = new_slab((held + LITTLE_STEP - 1) // LITTLE_STEP * LITTLE_STEP)
            memcpy(fresh.mem, self.mem + self.begin, held)
        self.slab.evict_tenants()
        self.slab = fresh
        self.is_shared = False
        self.mem = NULL if fresh is None else fresh.mem
        self.origin += self.begin
        self.pos -= self.begin
        self.begin = 0
        self.end = held
        return fresh is None

    cdef int write(self, const uint8_t *data, size_t n) except -1:
        """Copy in what was received by other means; the caller keeps n below the window."""
        self.reserve()
        memcpy(self.mem + self.end, data, n)
        self.end += n
        return 0

    cdef int reserve(self) except -1:
        """Make room for a receive. The only place where retained bytes move."""
        if self.exports:
            raise BufferError("the receive buffer is in use by another receive")
        if self.slab is None:
            self.slab = new_slab(self.slab_size)
            self.mem = self.slab.mem
            return 0
        if self.is_shared and self.keeping:
            return self.leave()
        if self.tail() >= self.least():
            return 0
        if not self.keeping:
            return self.move_on()
        if self.mem != self.slab.mem:
            memmove(self.slab.mem, self.mem, self.end)
            self.mem = self.slab.mem
        if self.tail() < self.least():
            self.slab.grow(2 * self.slab.capacity, self.end)
            self.mem = self.slab.mem
        return 0

    cdef int move_on(self) except -1:
        """The slab is full: carry the unfinished element over to the start of another, or of this one if it is ours."""
        cdef size_t held = self.end - self.begin
        cdef size_t expected = self.want if self.want < 8 * held else 8 * held
        cdef size_t need = (expected if expected > held else held) + held // 2 + self.least()
        cdef size_t capacity = self.slab_size
        while capacity < need:
            capacity *= 2
        if capacity > self.slab_size:
            # Large frames: a few of them should fit, or each one would be moved.
            self.slab_size = capacity if capacity < LARGEST_USUAL_SLAB else LARGEST_USUAL_SLAB
        self.slab.evict_tenants()
        cdef Slab fresh = self.slab
        # References: ours, and the local one.
        if Py_REFCNT(self.slab) > 2 or self.slab.capacity < capacity or self.is_shared:
            fresh = new_slab(capacity)
        memmove(fresh.mem, self.mem + self.begin, held)
        self.is_shared = False
        self.slab = fresh
        self.mem = fresh.mem
        self.origin += self.begin
        self.pos -= self.begin
        self.begin = 0
        self.end = held
        return 0

    cdef int leave(self) except -1:
        """When keeping: what is held of memory that may not be written to moves to some of our own. The next fragment is
        likely to be as large as the one before: memory of that size saves growing it again."""
        cdef size_t need = (self.likely if self.likely > self.end else self.end) + self.least()
        cdef size_t capacity = SLAB_SIZE
        while capacity < need:
            capacity *= 2
        cdef Slab fresh = new_slab(capacity)
        memcpy(fresh.mem, self.mem, self.end)
        self.is_shared = False
        self.slab = fresh
        self.mem = fresh.mem
        return 0

    cdef int drop_before(self, size_t index) except -1:
        """Forget the bytes before `index`. When keeping, offsets count from there."""
        if not self.keeping:
            self.begin = index
            return 0
        if self.exports:
            raise BufferError("the receive buffer is in use by another receive")
        self.mem += index
        self.origin += index
        self.pos -= index
        self.end -= index
        return 0

    cdef Slab hand_over(self, size_t upto, const uint8_t **at):
        """When keeping: the slab where the bytes [0, upto) are, a fragment, and `at` which place. A small one is copied to
        a slab of its own. Else what lies behind it is, but only when room is needed: whoever holds the fragment before
        will have dropped it then, and its memory is there again."""
        if self.exports:
            raise BufferError("the receive buffer is in use by another receive")
        cdef Slab given = self.slab
        at[0] = self.mem
        if given.lender is None:
            if self.is_shared or upto < self.end - upto:
                given = new_slab(upto + 1)      # of a fragment without a byte there may be one, too
                memcpy(given.mem, self.mem, upto)
                at[0] = given.mem
            else:
                self.is_shared = True
                self.likely = upto
        self.drop_before(upto)
        return given


# -- HTTP framing ---------------------------------------------------------------------------------------------

cdef dict COMPLAINTS = {
    KVS_CHUNK_BAD_SIZE: "an HTTP chunk's size is not a hexadecimal number of at most 15 digits",
    KVS_CHUNK_BAD_LINE: "a framing line of the HTTP body does not end in CR LF",
    KVS_CHUNK_BAD_END: "the data of an HTTP chunk is not followed by CR LF",
    KVS_CHUNK_LONG_EXTENSION: "an HTTP chunk's extension is too long",
    KVS_CHUNK_LONG_TRAILER: "the trailer of the HTTP body is too long",
    KVS_CHUNK_OVERHEAD: "the HTTP body is more framing than payload",
}


@cython.final
cdef class BodyDecoder:
    """The framing of one HTTP/1.1 body over a `ReceiveBuffer`: chunked, counted (``length``), or up to the close.

    ``max_extension``: bytes of extension on one size line; ``max_trailer``: bytes of the trailer section;
    ``max_overhead``: framing bytes beyond the shortest form that are let pass although they outweigh the payload.
    TransportError says which rule was broken, at which byte of the body on the wire (RFC 9112, sections 6 and 7).
    """

    def __init__(
        self,
        ReceiveBuffer buffer not None,
        *,
        bint chunked=False,
        length=None,
        uint32_t max_extension=4096,
        uint32_t max_trailer=16384,
        uint64_t max_overhead=65536,
    ):
        if chunked and length is not None:
            raise ValueError("a body is chunked or has a length, not both")
        self.buffer = buffer
        self.chunked = chunked
        self.counted = length is not None
        memset(&self.state, 0, sizeof(kvs_chunked))
        self.state.max_extension = max_extension
        self.state.max_trailer = max_trailer
        self.state.max_overhead = max_overhead
        if length is not None:
            self.remaining = length
            self.is_complete = self.remaining == 0

    @property
    def wire_bytes(self):
        """Bytes of the body on the wire so far, framing included."""
        return self.wire

    def commit(self, size_t n):
        """``n`` bytes off the wire were written into the buffer's window. Bytes behind the body's end are dropped."""
        cdef ReceiveBuffer buffer = self.buffer
        cdef size_t payload, used
        cdef int status
        if buffer.slab is None or n > buffer.room():
            raise ValueError(f"commit of {n} bytes into a window of {0 if buffer.slab is None else buffer.room()}")
        if self.is_complete:
            return
        buffer.follow(n)
        if self.chunked:
            status = kvs_decode_chunked(&self.state, buffer.mem + buffer.end, n, &payload, &used)
            buffer.end += payload
            self.wire += used
            if status != KVS_CHUNK_OK:
                raise TransportError(f"{COMPLAINTS[status]} (byte {self.wire} of the body)")
            self.is_complete = self.state.state == KVS_IN_END
        elif self.counted:
            if n > self.remaining:
                n = self.remaining
            buffer.end += n
            self.wire += n
            self.remaining -= n
            self.is_complete = self.remaining == 0
        else:
            buffer.end += n
            self.wire += n

    def feed(self, data):
        """Bytes of the body that were received by other means, such as together with the head."""
        cdef Py_buffer view
        cdef size_t at = 0, n
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            while at < <size_t>view.len:
                self.buffer.reserve()
                n = self.buffer.room()
                if n > <size_t>view.len - at:
                    n = <size_t>view.len - at
                memcpy(self.buffer.mem + self.buffer.end, <uint8_t *>view.buf + at, n)
                self.commit(n)
                at += n
        finally:
            PyBuffer_Release(&view)

    def receive_eof(self):
        """The peer closed. TransportError if the body's own framing says that there should be more."""
        if self.is_complete:
            return
        if self.chunked:
            raise TransportError(f"the HTTP body was cut after {self.wire} bytes: its last chunk is missing")
        if self.counted:
            raise TransportError(f"the HTTP body was cut after {self.wire} bytes: {self.remaining} more were announced")
        self.is_complete = True
