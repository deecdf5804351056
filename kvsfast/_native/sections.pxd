"""The sections that repeat in every fragment: Info, Tracks, Tags."""

from libc.stdint cimport int64_t, uint64_t

from kvsfast._native.scanner cimport Scanner


cdef class ServiceTags:
    cdef str number
    cdef str token
    cdef bint has_server, has_producer, has_behind
    cdef int64_t server_ms, producer_ms, behind
    cdef bint is_error
    cdef str error_id, error_code, error_message


cdef class SectionReader:
    cdef Scanner scanner
    cdef readonly object info           # what the section that just ended says
    cdef readonly object tracks
    cdef readonly object tags
    cdef ServiceTags service            # None if the Tags held no tag of the service
    cdef int inside                     # KVS_Info, KVS_Tracks or KVS_Tags while walking one
    cdef str doc_type
    cdef uint64_t max_tags, max_tags_size, max_tracks, max_binary
    cdef uint64_t tag_count, tag_size   # of the document
    # the section being walked
    cdef bytes raw                      # its bytes, if it may be remembered
    cdef list nodes
    cdef uint64_t track_count, count, size
    cdef list placed, simple_tags, open_tags, track_uids
    cdef uint64_t target_type, targets
    cdef bint has_target_type
    # what was seen before
    cdef bytes info_raw, tracks_raw
    cdef object known_info, known_tracks
    cdef list known_tags

    cdef int forget_document(self) except -1
    cdef bint take_whole(self) except -1
    cdef int begin(self, int element, bytes raw) except -1
    cdef int open_master(self, int element) except -1
    cdef int close_master(self, int element) except -1
    cdef int take_leaf(self, int element) except -1
    cdef int end(self) except -1
    cdef bint try_service_tags(self) except -1
    cdef int finish_headers(self, bytes raw) except -1
    cdef int take_node_value(self) except -1
    cdef int take_tag_value(self, int element) except -1
    cdef int place(self) except -1
    cdef int count_tags(self, uint64_t count, uint64_t size) except -1
    cdef int64_t decimal(self, str name, bytes text, int digits) except? -12345
    cdef int set_service_field(self, str field, str name, str value) except -1
