"""From blocks to rows: one row a frame."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from kvsfast._native.chunked cimport ReceiveBuffer
from kvsfast._native.frames cimport kvs_row
from kvsfast._native.scanner cimport Scanner, kvs_header


cdef extern from "block.h" nogil:
    ctypedef struct kvs_track:
        int64_t delay_ns
        uint32_t flags
    ctypedef struct kvs_cluster:
        int64_t cluster_ns
        int64_t scale
        int64_t wall_ns
        uint64_t max_block
        size_t ahead
        kvs_track tracks[128]
    enum:
        KVS_TRACK_CAREFUL
        KVS_MAX_LACE


cdef enum:
    LENT_AHEAD = 2048           # bytes: what was not received just now is fetched while what lies before it is read
    STREAM_ROWS = 768           # rows between two hand-outs when frames are not kept


cdef class TrackState:
    cdef int64_t delay_ns, default_duration_ns
    cdef double scale
    cdef list steps             # content encodings to undo: (algo, settings), in this order
    cdef bint stored


cdef class BlockReader:
    cdef Scanner scanner
    cdef ReceiveBuffer buffer
    cdef kvs_cluster cluster    # what the hot loop must know
    cdef object tracks
    cdef dict states            # track number -> TrackState
    cdef uint64_t at            # offset of the block being read
    cdef uint64_t child_at      # offset of the child of a BlockGroup being read
    cdef bint keeping
    cdef uint64_t max_frames, max_payload, max_block, max_binary
    # the rows: when keeping, of the whole fragment; else since the last hand-out
    cdef kvs_row *rows          # owned
    cdef size_t room, count
    cdef uint64_t frames        # of the fragment
    cdef list sides             # payloads that are not verbatim in the media
    cdef uint64_t side_size
    cdef list extras            # (duration_ns, discard_padding_ns, block_additions)

    cdef int use_tracks(self, object tracks) except -1
    cdef int begin_fragment(self) except -1
    cdef int forget_rows(self) except -1
    cdef kvs_row *give_rows(self) except NULL
    cdef int make_room(self) except -1
    cdef int scan(self, size_t end) except -1
    cdef int add_simple_block(self) except -1
    cdef int add_frames_or_none(
        self, const uint8_t *data, size_t size, bint group, bint key, uint32_t extra
    ) except -1
    cdef int add_frames(self, const uint8_t *data, size_t size, bint group, bint key, uint32_t extra) except -1
    cdef int add_frame(
        self, const uint8_t *data, uint32_t size, int64_t time, uint32_t track, uint32_t flags, uint32_t extra,
        TrackState state,
    ) except -1
    cdef object limit(self, str message, str name, uint64_t declared, uint64_t limit)
    cdef bytes undo_encodings(self, bytes payload, list steps)
    cdef int add_group(self) except -1
    cdef object timestamp_scale(self, uint64_t track)
    cdef int take_additions(self, const uint8_t *p, size_t left, list additions) except -1
    cdef bint take_child(self, const uint8_t **p, size_t *left, kvs_header *h, int parent, int *element) except -1
