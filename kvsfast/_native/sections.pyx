# cython: wraparound=True
"""The sections that repeat in every fragment: Info, Tracks, Tags.

The service sends them anew with each fragment, mostly unchanged. So a section that is not large comes from the
scanner whole, and if its bytes equal those of an earlier one, it is not walked again: the object made then is
shared. The Tags that the service writes itself differ each time; their fixed shape is read in C.
Everything else is walked, element by element. Of an element that may occur once, the first counts (RFC 8794,
section 11.1.6).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from kvsfast._native.scanner cimport *

from kvsfast._native import headers
from kvsfast.tags import SERVICE_TAGS, Tag, Tags

cdef extern from "service_tags.h" nogil:
    ctypedef struct kvs_text:
        const char *text
        size_t length
    ctypedef struct kvs_service_tags:
        kvs_text *values
        uint32_t count
        uint64_t size
    enum:
        KVS_TAG_NUMBER
        KVS_TAG_SERVER_TIMESTAMP
        KVS_TAG_PRODUCER_TIMESTAMP
        KVS_TAG_MILLIS_BEHIND_NOW
        KVS_TAG_TOKEN
        KVS_TAG_COUNT
    bint kvs_read_service_tags(const uint8_t *p, size_t n, kvs_service_tags *out)
    bint kvs_decimal(const char *text, size_t n, int digits, int64_t *value)

cdef enum:
    KNOWN_TAGS = 8              # distinct Tags sections remembered ...
    LARGEST_KNOWN = 65536       # ... of at most so many bytes each

cdef object NO_TAGS = Tags()

# Elements whose default is not zero: of size 0 they mean the default, which is what their absence means too.
cdef frozenset NONZERO_DEFAULTS = frozenset((
    "TimestampScale", "FlagEnabled", "FlagDefault", "FlagLacing", "TrackTimestampScale", "Language", "FieldOrder",
    "MatrixCoefficients", "TransferCharacteristics", "Primaries", "SamplingFrequency", "OutputSamplingFrequency",
    "Channels", "ContentEncodingScope", "DisplayWidth", "DisplayHeight",
))


@cython.final
@cython.freelist(8)
cdef class ServiceTags:
    """What the service's own tags of one Tags element say."""


@cython.final
cdef class SimpleTagNode:
    cdef str name, value, language, language_bcp47
    cdef bytes binary
    cdef bint is_default, has_default
    cdef list children

    cdef object to_tag(self, uint64_t target_type, tuple uids):
        children = () if self.children is None else tuple(
            [(<SimpleTagNode>child).to_tag(target_type, uids) for child in self.children]
        )
        return Tag(
            self.name or "", self.value, self.binary, self.language_bcp47 or self.language or "und", self.is_default,
            target_type, uids, children,
        )


cdef inline bint same_bytes(bytes known, Scanner s) noexcept:
    return <size_t>PyBytes_GET_SIZE(known) == s.size and memcmp(PyBytes_AS_STRING(known), s.data, s.size) == 0


cdef inline str text_of(const kvs_text *text):
    return text.text[:text.length].decode("utf-8", "replace")


@cython.final
cdef class SectionReader:
    """Reads the sections of a document. After `take_whole` or `end` its results are set."""

    def __cinit__(self, Scanner scanner not None, limits not None):
        self.scanner = scanner
        self.max_tags = limits.max_tags
        self.max_tags_size = limits.max_tags_size
        self.max_tracks = limits.max_tracks
        self.max_binary = limits.max_binary_size
        self.known_tags = []

    cdef int forget_document(self) except -1:
        self.inside = 0
        self.tag_count = self.tag_size = 0
        return 0

    cdef bint take_whole(self) except -1:
        """The scanner's token is a whole section. False: it has to be walked, and the walk was begun."""
        cdef Scanner s = self.scanner
        cdef bytes raw = None
        if s.element == KVS_Info:
            if self.known_info is not None and same_bytes(self.info_raw, s) \
                    and (<object>self.known_info).doc_type == self.doc_type:
                self.info = self.known_info
                return True
        elif s.element == KVS_Tracks:
            if self.known_tracks is not None and same_bytes(self.tracks_raw, s):
                self.tracks = self.known_tracks
                return True
        else:
            if self.try_service_tags():
                return True
            for raw, tags, count, size in self.known_tags:
                if same_bytes(raw, s):
                    self.count_tags(count, size)
                    self.tags = tags
                    self.service = None
                    return True
        raw = None
        if s.size <= LARGEST_KNOWN or s.element != KVS_Tags:
            raw = PyBytes_FromStringAndSize(<const char *>s.data, <Py_ssize_t>s.size)
        s.enter()
        self.begin(s.element, raw)
        return False

    cdef bint try_service_tags(self) except -1:
        cdef Scanner s = self.scanner
        cdef kvs_service_tags found
        cdef const kvs_text *value
        cdef ServiceTags service
        # Segment, Tags, Tag and SimpleTag are four levels
        if s.max_depth < 4 or not kvs_read_service_tags(s.data, s.size, &found):
            return False
        service = ServiceTags.__new__(ServiceTags)
        value = &found.values[KVS_TAG_SERVER_TIMESTAMP]
        if value.text != NULL:
            service.has_server = kvs_decimal(value.text, value.length, 3, &service.server_ms)
            if not service.has_server:
                return False        # the walk says what is wrong with it
        value = &found.values[KVS_TAG_PRODUCER_TIMESTAMP]
        if value.text != NULL:
            service.has_producer = kvs_decimal(value.text, value.length, 3, &service.producer_ms)
            if not service.has_producer:
                return False
        value = &found.values[KVS_TAG_MILLIS_BEHIND_NOW]
        if value.text != NULL:
            service.has_behind = kvs_decimal(value.text, value.length, 0, &service.behind)
            if not service.has_behind:
                return False
        if found.values[KVS_TAG_NUMBER].text != NULL:
            service.number = text_of(&found.values[KVS_TAG_NUMBER])
        if found.values[KVS_TAG_TOKEN].text != NULL:
            service.token = text_of(&found.values[KVS_TAG_TOKEN])
        self.count_tags(found.count, found.size)
        self.tags = NO_TAGS
        self.service = service
        return True

    # -- the walk ---------------------------------------------------------------------------------------------

    cdef int begin(self, int element, bytes raw) except -1:
        self.inside = element
        self.raw = raw
        if element == KVS_Tags:
            self.placed = []
            self.open_tags = []
            self.simple_tags = []
            self.track_uids = []
            self.service = None
            self.count = self.size = 0
        else:
            self.nodes = [{}]
            self.track_count = 0
        return 0

    cdef int open_master(self, int element) except -1:
        cdef Scanner s = self.scanner
        cdef SimpleTagNode tag
        cdef dict node
        if self.inside != KVS_Tags:
            if element == KVS_TrackEntry:
                self.track_count += 1
                if self.track_count > self.max_tracks:
                    raise s.limit("too many tracks", "max_tracks", self.track_count, self.max_tracks)
            node = {}
            (<dict>self.nodes[-1]).setdefault(s.name(), []).append(node)
            self.nodes.append(node)
        elif element == KVS_Tag:
            self.simple_tags = []
            self.open_tags = []
            self.track_uids = []
            self.target_type = 50
            self.targets = 0
            self.has_target_type = False
        elif element == KVS_Targets:
            self.targets += 1
        elif element == KVS_SimpleTag:
            self.count_tags(1, 0)
            tag = SimpleTagNode.__new__(SimpleTagNode)
            tag.is_default = True
            if self.open_tags:
                parent = <SimpleTagNode>self.open_tags[-1]
                if parent.children is None:
                    parent.children = []
                parent.children.append(tag)
            else:
                self.simple_tags.append(tag)
            self.open_tags.append(tag)
        return 0

    cdef int close_master(self, int element) except -1:
        if self.inside != KVS_Tags:
            self.nodes.pop()
        elif element == KVS_SimpleTag:
            self.open_tags.pop()
        elif element == KVS_Tag:
            self.place()
        return 0

    cdef int take_leaf(self, int element) except -1:
        if self.inside == KVS_Tags:
            return self.take_tag_value(element)
        return self.take_node_value()

    cdef int end(self) except -1:
        """The section has ended; what it says is in `info`, `tracks`, or `tags` and `service`."""
        cdef bytes raw = self.raw
        cdef int element = self.inside
        self.inside = 0
        self.raw = None
        if element != KVS_Tags:
            return self.finish_headers(raw)
        self.tags = Tags(self.placed) if self.placed else NO_TAGS
        if raw is not None and self.service is None:
            if len(self.known_tags) >= KNOWN_TAGS:
                self.known_tags.pop(0)
            self.known_tags.append((raw, self.tags, self.count, self.size))
        return 0

    cdef int finish_headers(self, bytes raw) except -1:
        cdef Scanner s = self.scanner
        try:
            if s.element == KVS_Info:
                self.info = headers.make_info(self.nodes[0], self.doc_type)
                self.known_info = self.info if raw is not None else None
                self.info_raw = raw
            else:
                self.tracks = headers.make_tracks(self.nodes[0])
                self.known_tracks = self.tracks if raw is not None else None
                self.tracks_raw = raw
        except OverflowError as error:
            raise s.limit("CodecPrivate is too large once decoded", "max_binary_size", error.args[0], self.max_binary) \
                from None
        except ValueError as error:
            raise s.error(str(error), s.at) from None
        return 0

    cdef int take_node_value(self) except -1:
        cdef Scanner s = self.scanner
        cdef dict node = self.nodes[-1]
        cdef str name = s.name()
        cdef int kind = kvs_elements[s.element].type
        if name in node or (s.size == 0 and name in NONZERO_DEFAULTS):
            return 0
        if kind == KVS_UINT:
            node[name] = s.uint_value(0)
        elif kind == KVS_FLOAT:
            node[name] = s.float_value(0.0)
        elif kind == KVS_STRING or kind == KVS_UTF8:
            node[name] = s.text_value()
        elif kind == KVS_BINARY:
            node[name] = <bytes>s.data[:s.size]
        else:
            if kind == KVS_DATE and s.size != 0 and s.size != 8:
                raise s.error(f"{name} has {s.size} bytes, a date has 0 or 8", s.at)
            node[name] = s.int_value()
        return 0

    # -- tags -------------------------------------------------------------------------------------------------

    cdef int take_tag_value(self, int element) except -1:
        cdef Scanner s = self.scanner
        cdef SimpleTagNode tag
        if element == KVS_TargetTypeValue:
            if self.targets == 1 and not self.has_target_type:
                self.has_target_type = True
                self.target_type = s.uint_value(50)
        elif element == KVS_TagTrackUID:
            self.count_tags(0, 8)
            if self.targets == 1:
                self.track_uids.append(s.uint_value(0))
        elif self.open_tags and s.stack[s.depth].element == KVS_SimpleTag:
            tag = <SimpleTagNode>self.open_tags[-1]
            if element == KVS_TagName:
                self.count_tags(0, s.size)
                if tag.name is None:
                    tag.name = s.text_value()
            elif element == KVS_TagString:
                self.count_tags(0, s.size)
                if tag.value is None:
                    tag.value = s.text_value()
            elif element == KVS_TagBinary:
                self.count_tags(0, s.size)
                if tag.binary is None:
                    tag.binary = s.data[:s.size]
            elif element == KVS_TagLanguage:
                if tag.language is None:
                    tag.language = s.text_value() if s.size else "und"
            elif element == KVS_TagLanguageBCP47:
                if tag.language_bcp47 is None:
                    tag.language_bcp47 = s.text_value()
            elif element == KVS_TagDefault:
                if not tag.has_default:
                    tag.has_default = True
                    tag.is_default = s.uint_value(1) != 0
        return 0

    cdef int place(self) except -1:
        """A Tag has ended: its SimpleTags are the producer's or the service's."""
        cdef tuple uids = tuple(self.track_uids)
        cdef SimpleTagNode tag
        for tag in self.simple_tags:
            field = SERVICE_TAGS.get(tag.name or "")
            if field is None:
                self.placed.append(tag.to_tag(self.target_type, uids))
            elif tag.value is not None:
                self.set_service_field(field, tag.name, tag.value)
        return 0

    cdef int set_service_field(self, str field, str name, str value) except -1:
        cdef ServiceTags service = self.service
        if service is None:
            service = self.service = ServiceTags.__new__(ServiceTags)
        cdef bytes text = value.encode()
        if field == "number":
            service.number = value
        elif field == "continuation_token":
            service.token = value
        elif field == "server_timestamp":
            service.server_ms = self.decimal(name, text, 3)
            service.has_server = True
        elif field == "producer_timestamp":
            service.producer_ms = self.decimal(name, text, 3)
            service.has_producer = True
        elif field == "millis_behind_now":
            service.behind = self.decimal(name, text, 0)
            service.has_behind = True
        else:
            service.is_error = True
            if field == "error_id":
                service.error_id = value
            elif field == "error_code":
                service.error_code = value
            else:
                service.error_message = value
        return 0

    cdef int64_t decimal(self, str name, bytes text, int digits) except? -12345:
        cdef int64_t value
        if not kvs_decimal(PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text), digits, &value):
            raise self.scanner.error(
                f"tag {name} is {text[:40].decode('utf-8', 'replace')!r}, expected a decimal number", self.scanner.at
            )
        return value

    cdef int count_tags(self, uint64_t count, uint64_t size) except -1:
        self.tag_count += count
        self.tag_size += size
        self.count += count
        self.size += size
        if self.tag_count > self.max_tags:
            raise self.scanner.limit("too many tags in a document", "max_tags", self.tag_count, self.max_tags)
        if self.tag_size > self.max_tags_size:
            raise self.scanner.limit(
                "the tags of a document are too large", "max_tags_size", self.tag_size, self.max_tags_size
            )
        return 0
