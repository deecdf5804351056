"""A fragment that is kept whole."""

from libc.stdint cimport uint8_t

from kvsfast._native.chunked cimport Slab
from kvsfast._native.frames cimport FragmentEnd, FragmentStart, Frame, kvs_row


cdef class Fragment:
    cdef Slab slab
    cdef const uint8_t *raw_at  # in the slab
    cdef size_t raw_size
    cdef kvs_row *rows          # owned
    cdef size_t row_count
    cdef bytes side_bytes       # payload that is not verbatim in the document
    cdef list extras
    cdef readonly FragmentStart start
    cdef readonly FragmentEnd end
    cdef bytes head             # of a plain document: what must stand before the Cluster to play it
    cdef size_t media_end       # end of the last whole element of the media
    cdef size_t segment_at, segment_body
    cdef size_t cluster_at, cluster_body

    cdef Frame frame_at(self, size_t index)
    cdef list document(self)
