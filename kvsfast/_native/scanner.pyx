"""The resumable walk over a stream of EBML documents (RFC 8794, RFC 9559).

`Scanner.next` stops at any byte and goes on later; the cursor is the buffer's. Rules of the walk:

* Sizes are checked against what is left of the parent, and against the limits, when the header is read: before
  anything is waited for.
* A master of unknown size ends at the first *known* ID that cannot be its child. Void, CRC-32 and unknown IDs
  end nothing (RFC 8794, section 6.2).
* A child of Segment, a Segment or an EBML header inside a master of *known* size closes it, as AWS's own parser does:
  a wrong size written by a crashed producer must not swallow the next fragment. `strict` refuses it.
* A leaf is waited for only if somebody wants it; everything else is passed over without being held.
"""

from libc.string cimport memchr

cimport cython

from kvsfast._native.chunked cimport ReceiveBuffer

from kvsfast.errors import LimitExceeded, MediaError

cdef enum Action:
    SKIP
    TAKE
    DESCEND
    SECTION     # taken whole if it is not large, so that its bytes can be compared with those seen before

cdef uint8_t media_actions[KVS_ELEMENT_COUNT]
cdef uint8_t tree_actions[KVS_ELEMENT_COUNT]

# What a reader of media looks into; of every master here, each leaf is taken.
cdef int[20] MEDIA_MASTERS = [
    KVS_EBML, KVS_Segment, KVS_Info, KVS_Cluster, KVS_Tracks, KVS_TrackEntry, KVS_Video, KVS_Audio, KVS_Colour,
    KVS_MasteringMetadata, KVS_Projection, KVS_ContentEncodings, KVS_ContentEncoding, KVS_ContentCompression,
    KVS_ContentEncryption, KVS_ContentEncAESSettings, KVS_Tags, KVS_Tag, KVS_Targets, KVS_SimpleTag,
]
# In a Cluster only these: the others say where things lay in the producer's file.
cdef int[3] CLUSTER_LEAVES = [KVS_Timestamp, KVS_SimpleBlock, KVS_BlockGroup]


cdef void fill_actions() noexcept:
    cdef int e, i
    for e in range(KVS_ELEMENT_COUNT):
        tree_actions[e] = DESCEND if kvs_elements[e].type == KVS_MASTER else TAKE
        media_actions[e] = SKIP
    for i in range(20):
        media_actions[MEDIA_MASTERS[i]] = DESCEND
    for e in range(KVS_GLOBAL + 1, KVS_ELEMENT_COUNT):
        if kvs_elements[e].type != KVS_MASTER and media_actions[kvs_elements[e].parent] == DESCEND:
            media_actions[e] = SKIP if kvs_elements[e].parent == KVS_Cluster else TAKE
    for i in range(3):
        media_actions[CLUSTER_LEAVES[i]] = TAKE
    media_actions[KVS_Info] = media_actions[KVS_Tracks] = media_actions[KVS_Tags] = SECTION
    media_actions[KVS_UNKNOWN] = tree_actions[KVS_UNKNOWN] = SKIP
    media_actions[KVS_Void] = media_actions[KVS_Crc32] = SKIP


fill_actions()


@cython.final
cdef class Scanner:
    """Not for Python: see `ElementReader`."""

    def __cinit__(self, ReceiveBuffer buffer not None, limits not None, bint strict, bint tree):
        self.buffer = buffer
        self.strict = strict
        self.brief = tree
        if tree:
            self.actions = tree_actions
        else:
            self.actions = media_actions
        self.max_block = limits.max_block_size
        self.max_string = limits.max_string_size
        self.max_binary = limits.max_binary_size
        self.max_barren = limits.max_barren_elements
        self.max_depth = limits.max_depth
        self.max_section = 1024 * 1024
        self.stack[0].element = KVS_ROOT
        self.stack[0].unknown = True
        self.stack[0].end = KVS_UNKNOWN_SIZE

    cdef int next(self) except -1:
        """The next token. Its fields are set on self; a NEED leaves the cursor on the unfinished element."""
        cdef ReceiveBuffer b = self.buffer
        cdef Level *top
        cdef kvs_header h
        cdef uint64_t here, left
        cdef size_t have, n
        cdef int status, action, level
        cdef bint misplaced
        while True:
            if self.skip:
                have = b.end - b.pos
                n = have if have < self.skip else <size_t>self.skip
                b.pos += n
                self.skip -= n
                if self.skip:
                    b.want = 0
                    return NEED
            top = &self.stack[self.depth]
            here = b.origin + b.pos
            if here >= top.end:
                return self.close_top()
            self.at = here
            have = b.end - b.pos
            left = top.end - here
            status = kvs_read_header(b.mem + b.pos, have if have < left else <size_t>left, left, &h)
            if status <= 0:
                if status == KVS_NEED_MORE:
                    b.want = 0
                    return NEED
                if status == KVS_NO_ROOM:       # too few bytes for a header at the end of a master: padding
                    self.skip = left
                    continue
                if status == KVS_BAD_ID:
                    raise self.error(f"{bytes(b.mem[b.pos:b.pos + 1]).hex()} does not begin an element ID", here)
                raise self.error("an element's size begins with 00: it is longer than 8 bytes", here)

            self.id = h.id
            self.header = h.length
            self.declared = h.size
            self.element = kvs_find_element(h.id)
            if h.size == KVS_UNKNOWN_SIZE and (
                kvs_elements[self.element].type != KVS_MASTER or self.element == KVS_BlockGroup
            ):
                raise self.error(f"{self.name()} has an unknown size", here)
            level = self.level_for()
            if level < self.depth:
                return self.close_top()
            misplaced = not kvs_is_child(self.element, top.element)
            if self.barren >= self.max_barren:
                raise self.limit("elements without media", "max_barren_elements", self.barren + 1, self.max_barren)
            if h.size == KVS_UNKNOWN_SIZE:
                if misplaced:
                    raise self.error(f"{self.name()} has an unknown size where it does not belong", here)
                action = DESCEND
            else:
                if h.size > left - h.length:
                    raise self.error(
                        f"{self.name()} declares {h.size} bytes, {left - h.length} are left in its parent", here
                    )
                action = SKIP if misplaced else self.actions[self.element]

            if action == SECTION:
                action = TAKE if h.size <= self.max_section and self.depth < self.max_depth else DESCEND
            elif action != DESCEND and not misplaced:
                self.check_size()
            if action == DESCEND:
                if self.depth >= self.max_depth:
                    if h.size == KVS_UNKNOWN_SIZE:
                        raise self.limit("nested too deep", "max_depth", self.depth + 1, self.max_depth)
                    action = SKIP
                else:
                    self.barren += 1
                    b.pos += h.length
                    return self.open_master()
            if action == TAKE or self.brief:
                n = <size_t>h.size
                if self.brief and h.size > 256:
                    n = 32
                have -= h.length
                if have < n:
                    b.want = b.pos - b.begin + h.length + n
                    return NEED
                self.barren += 1
                self.data = b.mem + b.pos + h.length
                self.size = n
                b.pos += h.length + n
                if n != h.size:
                    self.skip = h.size - n
                    return BRIEF
                return LEAF
            self.barren += 1
            b.pos += h.length
            self.skip = h.size

    cdef int open_master(self) noexcept:
        cdef Level *top
        self.depth += 1
        top = &self.stack[self.depth]
        top.element = self.element
        top.unknown = self.declared == KVS_UNKNOWN_SIZE
        top.start = self.at
        top.body = self.at + self.header
        top.end = self.stack[self.depth - 1].end if top.unknown else top.body + self.declared
        return START

    cdef int enter(self) noexcept:
        """Walk into the section that was just given as a LEAF. All of it is in the buffer."""
        self.buffer.pos -= self.size
        return self.open_master()

    cdef bint pass_over(self) noexcept:
        """Skip the master that was just opened, if its size is known."""
        if self.declared == KVS_UNKNOWN_SIZE:
            return False
        self.depth -= 1
        self.skip = self.declared
        return True

    cdef int level_for(self) except -1:
        """The level that this element stands at: the innermost one that may contain it. Those inside it end here.

        A master of known size is closed only by what belongs to the Segment or above it; anything else is
        misplaced there.
        """
        cdef int level = self.depth
        cdef int home = kvs_elements[self.element].parent
        if self.depth == 0 and self.element == KVS_UNKNOWN:
            raise self.error(f"expected an EBML header, found {self.name()}", self.at)
        while not kvs_is_child(self.element, self.stack[level].element):
            if level == 0:
                raise self.error(f"{self.name()} stands where no open element may contain it", self.at)
            if not self.stack[level].unknown:
                if home != KVS_ROOT and home != KVS_Segment:
                    break
                if self.strict:
                    raise self.error(f"{self.name()} inside a master of known size", self.at)
            level -= 1
        return level

    cdef int check_size(self) except -1:
        """The limits of what is about to be waited for; of strings, also of those that are passed over."""
        cdef int kind = kvs_elements[self.element].type
        if kind == KVS_STRING or kind == KVS_UTF8:
            if self.declared > self.max_string:
                raise self.limit(f"{self.name()} is too long", "max_string_size", self.declared, self.max_string)
        elif self.element == KVS_SimpleBlock or self.element == KVS_BlockGroup:
            if self.declared > self.max_block:
                raise self.limit(f"{self.name()} is too large", "max_block_size", self.declared, self.max_block)
        elif kind == KVS_BINARY:
            if self.declared > self.max_binary and self.actions[self.element] == TAKE and not self.brief:
                raise self.limit(f"{self.name()} is too large", "max_binary_size", self.declared, self.max_binary)
        elif kind != KVS_MASTER and self.declared > 8:
            raise self.error(f"{self.name()} has {self.declared} bytes, at most 8 are allowed", self.at)
        return 0

    cdef int close_top(self) noexcept:
        self.element = self.stack[self.depth].element
        self.at = self.stack[self.depth].start
        self.depth -= 1
        return END

    cdef bint is_clean(self) noexcept:
        """Would an end of input here cut no element? (A master of unknown size may end at any element.)"""
        cdef ReceiveBuffer b = self.buffer
        return (
            self.skip == 0
            and b.pos == b.end
            and (self.stack[self.depth].end == KVS_UNKNOWN_SIZE or b.origin + b.pos >= self.stack[self.depth].end)
        )

    cdef uint64_t offset(self) noexcept:
        return self.buffer.origin + self.buffer.pos

    cdef tuple path(self):
        cdef int level
        return tuple([kvs_elements[self.stack[level].element].name.decode() for level in range(1, self.depth + 1)])

    cdef str name(self):
        if self.element == KVS_UNKNOWN:
            return f"element {self.id:X}"
        return kvs_elements[self.element].name.decode()

    cdef object error(self, str message, uint64_t at):
        return MediaError(message, offset=at, path=self.path())

    cdef object limit(self, str message, str name, uint64_t declared, uint64_t limit):
        return LimitExceeded(message, name=name, declared=declared, limit=limit, offset=self.at, path=self.path())

    # -- values of the leaf just read (RFC 8794, section 7); of size 0, the default (section 6.1) --------------

    cdef uint64_t uint_value(self, uint64_t default) except? 12345:
        return kvs_uint(self.data, self.size) if self.size else default

    cdef int64_t int_value(self) except? 12345:
        return kvs_int(self.data, self.size)

    cdef double float_value(self, double default) except? 12345:
        if self.size == 0:
            return default
        if self.size != 4 and self.size != 8:
            raise self.error(f"{self.name()} has {self.size} bytes, a float has 0, 4 or 8", self.at)
        return kvs_float(self.data, self.size)

    cdef str text_value(self):
        """Up to the first NUL, which pads; what is no UTF-8 is replaced, never refused."""
        cdef const void *nul = memchr(self.data, 0, self.size) if self.size else NULL
        cdef size_t n = self.size if nul == NULL else <size_t>(<const uint8_t *>nul - self.data)
        return self.data[:n].decode("utf-8", "replace")


@cython.final
cdef class Element:
    """One element as `ElementReader` saw it.

    ``offset`` of its header, ``header_size``, ``size`` of its payload (None: unknown), all in bytes; ``depth``
    from 0 for EBML and Segment; ``head``: its payload, or the first 32 bytes where it has more than 256;
    ``value``: the payload by its type (int, float, str, datetime as ns since 2001, bytes), None for a master.
    """

    cdef readonly unsigned long long offset
    cdef readonly int header_size
    cdef readonly object size
    cdef readonly int depth
    cdef readonly unsigned int id
    cdef readonly str name
    cdef readonly str type
    cdef readonly bytes head
    cdef readonly object value

    def __repr__(self):
        return f"<Element {self.name} at {self.offset}, {self.size} bytes>"


cdef tuple TYPE_NAMES = ("master", "uint", "int", "float", "string", "utf-8", "date", "binary")


@cython.final
cdef class ElementReader:
    """Every element of a stream of EBML documents, one after the other; payloads are not held.

    Receive into ``buffer`` (then ``buffer.commit``), and call `next_element` until it gives None.
    MediaError where the bytes break the grammar.
    """

    cdef Scanner scanner
    cdef readonly ReceiveBuffer buffer

    def __init__(self, limits):
        self.buffer = ReceiveBuffer()
        self.scanner = Scanner(self.buffer, limits, False, True)

    def next_element(self):
        """The next `Element`, or None until more was received."""
        cdef Scanner s = self.scanner
        cdef int token
        while True:
            self.buffer.begin = self.buffer.pos
            token = s.next()
            if token == NEED:
                return None
            if token != END:
                return self.describe(token)

    cdef Element describe(self, int token):
        cdef Scanner s = self.scanner
        cdef Element e = Element.__new__(Element)
        cdef int kind = kvs_elements[s.element].type
        s.barren = 0
        e.offset = s.at
        e.header_size = s.header
        e.size = None if s.declared == KVS_UNKNOWN_SIZE else s.declared
        e.depth = s.depth - 1 if token == START else s.depth
        e.id = s.id
        e.name = "Unknown" if s.element == KVS_UNKNOWN else kvs_elements[s.element].name.decode()
        e.type = TYPE_NAMES[kind]
        e.head = b"" if token == START else <bytes>s.data[:s.size]
        e.value = None
        if token == LEAF:
            if kind in (KVS_UINT, KVS_INT, KVS_DATE) and s.size <= 8:
                e.value = s.uint_value(0) if kind == KVS_UINT else s.int_value()
            elif kind == KVS_FLOAT:
                e.value = s.float_value(0.0)
            elif kind in (KVS_STRING, KVS_UTF8):
                e.value = s.text_value()
            else:
                e.value = e.head
        return e

    @property
    def is_clean(self):
        """Whether the input may end here without cutting an element."""
        return self.scanner.is_clean()
