"""Assembly: the state of the open document and fragment, and what the parser calls."""

from libc.stdint cimport int64_t, uint64_t

from kvsfast._native.blocks cimport BlockReader
from kvsfast._native.chunked cimport ReceiveBuffer
from kvsfast._native.fragments cimport Fragment
from kvsfast._native.frames cimport FragmentEnd, FragmentStart
from kvsfast._native.scanner cimport Scanner
from kvsfast._native.sections cimport SectionReader, ServiceTags


cdef class Assembly:
    cdef readonly ReceiveBuffer buffer
    cdef readonly bint keep_fragments
    cdef Scanner scanner
    cdef BlockReader blocks
    cdef SectionReader sections
    cdef object trailer
    cdef uint64_t max_fragment
    cdef list queue             # events that come after the rows
    cdef bint saw_token, saw_bare   # has this stream shown a trailer, or a document of the service without one?
    # the document
    cdef bint had_header, in_document, in_segment
    cdef uint64_t document_at
    cdef str doc_type
    cdef object info, tracks
    cdef list header_tags       # one Tags for each element before the first Cluster
    cdef bint had_info, had_tracks, had_cluster, had_fragment, errored
    # the fragment
    cdef str number, token
    cdef bint has_server, has_producer, has_behind
    cdef int64_t server_ms, producer_ms, behind
    cdef FragmentStart start
    cdef bint open              # FragmentStart was given
    cdef bint ended             # FragmentEnd was given, and no Cluster came since
    cdef bint cluster_ready     # the open Cluster's Timestamp is known
    cdef object cluster_timestamp
    cdef uint64_t fragment_at
    cdef object end_tags
    # keeping
    cdef bint hold              # the buffer keeps the bytes from the fragment's first on
    cdef bint was_let_go        # what came before the first Cluster was too much to hold
    cdef size_t whole           # end of the last whole element
    cdef size_t segment_at, segment_body, cluster_at, cluster_body      # of known size; body 0 if not
    cdef bytes ebml_bytes, info_bytes, tracks_bytes
    cdef bytes head             # what makes a part of the document playable
    cdef bint is_continued      # the fragment is not the first of its document

    cdef int forget_document(self) except -1
    cdef int begin_document(self) except -1
    cdef int start_holding(self) except -1
    cdef int take_header_value(self, int element) except -1
    cdef int end_header(self) except -1
    cdef int begin_header_values(self) except -1
    cdef bytes bytes_from(self, uint64_t at)
    cdef int begin_segment(self) except -1
    cdef int end_document(self, size_t upto) except -1
    cdef bint is_bare(self) noexcept
    cdef int close_document(self, bint complete, size_t upto) except -1
    cdef bint is_repeated(self, int element) noexcept
    cdef int use_section(self, int element) except -1
    cdef int use_tags(self, object tags, ServiceTags service) except -1
    cdef int begin_next_fragment(self) except -1
    cdef int give_header_tags(self) except -1
    cdef int give_late_tags(self, str number, object tags) except -1
    cdef int begin_cluster(self) except -1
    cdef int make_head(self) except -1
    cdef int hold_cluster(self) except -1
    cdef int end_cluster(self) except -1
    cdef int take_timestamp(self) except -1
    cdef int start_fragment(self) except -1
    cdef int finish_fragment(self, bint complete, size_t upto) except -1
    cdef Fragment keep_fragment(self, FragmentEnd end, size_t upto)
