"""Which frames are wanted, asked of rows."""

from libc.stdint cimport uint32_t

from kvsfast._native.fragments cimport Fragment
from kvsfast._native.frames cimport KVS_FRAME_KEY, kvs_row


cdef class Selection:
    cdef readonly tuple tracks
    cdef public bint key_frames_only
    cdef object known           # the Tracks that `low` and `high` were made from
    cdef bint low[128]
    cdef set high               # wanted track numbers from 128 on

    cdef int use_tracks(self, object tracks) except -1
    cdef int reduce(self, Fragment fragment) except -1

    cdef inline bint wants(self, const kvs_row *row) except -1:
        """Of the tracks given to use_tracks last."""
        if self.key_frames_only and not row.flags & KVS_FRAME_KEY:
            return False
        if not self.tracks:
            return True
        return self.low[row.track] if row.track < 128 else row.track in self.high
