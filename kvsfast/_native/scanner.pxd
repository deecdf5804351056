"""The resumable walk over EBML elements. Contracts here; rules in the .pyx."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from kvsfast._native.chunked cimport ReceiveBuffer


cdef extern from "ebml.h" nogil:
    ctypedef struct kvs_header:
        uint64_t size
        uint32_t id
        uint32_t length
    enum:
        KVS_NEED_MORE
        KVS_BAD_ID
        KVS_BAD_SIZE
        KVS_NO_ROOM
    const uint64_t KVS_UNKNOWN_SIZE
    int kvs_read_header(const uint8_t *p, size_t n, uint64_t room, kvs_header *out)
    uint64_t kvs_uint(const uint8_t *p, size_t n)
    int64_t kvs_int(const uint8_t *p, size_t n)
    double kvs_float(const uint8_t *p, size_t n)


cdef extern from "elements.h" nogil:
    ctypedef struct kvs_element_row:
        uint32_t id
        uint8_t type
        uint16_t parent
        const char *name
    const kvs_element_row *kvs_elements
    int kvs_find_element(uint32_t id)
    bint kvs_is_child(int child, int parent)
    enum:
        KVS_MASTER
        KVS_UINT
        KVS_INT
        KVS_FLOAT
        KVS_STRING
        KVS_UTF8
        KVS_DATE
        KVS_BINARY
    enum:
        KVS_ELEMENT_COUNT
        KVS_UNKNOWN
        KVS_ROOT
        KVS_GLOBAL
        KVS_EBML
        KVS_EBMLReadVersion
        KVS_EBMLMaxIDLength
        KVS_EBMLMaxSizeLength
        KVS_DocType
        KVS_Void
        KVS_Crc32
        KVS_Segment
        KVS_Info
        KVS_SegmentUUID
        KVS_TimestampScale
        KVS_Duration
        KVS_DateUTC
        KVS_Title
        KVS_MuxingApp
        KVS_WritingApp
        KVS_Cluster
        KVS_Timestamp
        KVS_SimpleBlock
        KVS_BlockGroup
        KVS_Block
        KVS_BlockAdditions
        KVS_BlockMore
        KVS_BlockAdditional
        KVS_BlockAddID
        KVS_BlockDuration
        KVS_ReferenceBlock
        KVS_DiscardPadding
        KVS_Tracks
        KVS_TrackEntry
        KVS_TrackNumber
        KVS_Video
        KVS_Audio
        KVS_Colour
        KVS_MasteringMetadata
        KVS_Projection
        KVS_ContentEncodings
        KVS_ContentEncoding
        KVS_ContentCompression
        KVS_ContentEncryption
        KVS_ContentEncAESSettings
        KVS_Tags
        KVS_Tag
        KVS_Targets
        KVS_TargetTypeValue
        KVS_TagTrackUID
        KVS_SimpleTag
        KVS_TagName
        KVS_TagLanguage
        KVS_TagLanguageBCP47
        KVS_TagDefault
        KVS_TagString
        KVS_TagBinary


cdef enum Token:
    NEED        # more bytes are needed
    START       # a master was opened
    LEAF        # an element with its payload
    BRIEF       # an element too large to wait for: only its first bytes (walking a tree)
    END         # a master was closed


cdef enum:
    MOST_LEVELS = 65


cdef struct Level:
    int element
    bint unknown            # of unknown size: ends at the first ID that cannot be its child
    uint64_t start          # absolute offset of the header
    uint64_t body           # absolute offset behind the header
    uint64_t end            # absolute offset behind it; of unknown size, its parent's


cdef class Scanner:
    cdef ReceiveBuffer buffer
    cdef Level stack[MOST_LEVELS]
    cdef int depth          # of the innermost open master; 0 is the level above the documents
    cdef const uint8_t *actions
    cdef bint strict
    cdef bint brief
    cdef uint64_t skip      # bytes still to pass over
    cdef uint64_t barren    # elements since the last event
    cdef uint64_t max_block, max_string, max_binary, max_barren
    cdef uint64_t max_section   # sections up to this size come as one LEAF first; see enter()
    cdef int max_depth
    # The token: `data` is valid until the next receive.
    cdef int element
    cdef uint32_t id
    cdef const uint8_t *data
    cdef size_t size        # of data
    cdef uint64_t declared  # size of the element
    cdef uint64_t at        # absolute offset of its header
    cdef uint32_t header

    cdef int next(self) except -1
    cdef int enter(self) noexcept
    cdef int open_master(self) noexcept
    cdef bint pass_over(self) noexcept
    cdef int level_for(self) except -1
    cdef int check_size(self) except -1
    cdef int close_top(self) noexcept
    cdef str name(self)
    cdef bint is_clean(self) noexcept
    cdef uint64_t offset(self) noexcept
    cdef tuple path(self)
    cdef object error(self, str message, uint64_t at)
    cdef object limit(self, str message, str name, uint64_t declared, uint64_t limit)
    cdef uint64_t uint_value(self, uint64_t default) except? 12345
    cdef int64_t int_value(self) except? 12345
    cdef double float_value(self, double default) except? 12345
    cdef str text_value(self)
