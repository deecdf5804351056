"""The frames of a fragment as columns of numbers: its rows, through the buffer protocol."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE
from cpython.bytes cimport PyBytes_AS_STRING

from kvsfast._native.frames cimport kvs_row

cdef bytes ROW_FORMAT = (
    b"T{q:timestamp_ns:q:media_time_ns:Q:offset:I:length:I:track:I:flags:I:extra:}"
)


@cython.final
cdef class Columns:
    """The frames of a fragment as rows of 40 bytes, without an object for each.

    ``numpy.asarray(columns)`` is a structured array over the same memory, with the fields ``timestamp_ns``,
    ``media_time_ns``, ``offset``, ``length``, ``track``, ``flags`` and ``extra``. Without numpy each field is a strided
    memoryview. ``offset`` counts from the start of ``fragment.raw``, or of ``fragment.side`` where ``flags`` has 32.
    Flags: 1 key, 2 invisible, 4 discardable, 8 laced, 16 time estimated, 32 in side, 64 as stored. ``extra``: not 0 where a
    BlockGroup says more than a row holds; the frame has it.
    """

    def __len__(self):
        return self.count

    def __getbuffer__(self, Py_buffer *view, int flags):
        self.shape[0] = self.count
        self.strides[0] = sizeof(kvs_row)
        fill_view(view, self, self.rows, sizeof(kvs_row), ROW_FORMAT, self.shape, self.strides, flags)

    @property
    def timestamp_ns(self):
        return column_of(self, &self.rows.timestamp_ns, 8, b"q")

    @property
    def media_time_ns(self):
        return column_of(self, &self.rows.media_time_ns, 8, b"q")

    @property
    def offset(self):
        return column_of(self, &self.rows.offset, 8, b"Q")

    @property
    def length(self):
        return column_of(self, &self.rows.length, 4, b"I")

    @property
    def track(self):
        return column_of(self, &self.rows.track, 4, b"I")

    @property
    def flags(self):
        return column_of(self, &self.rows.flags, 4, b"I")

    @property
    def extra(self):
        return column_of(self, &self.rows.extra, 4, b"I")


@cython.final
cdef class Column:
    cdef object fragment        # keeps the rows alive
    cdef Py_ssize_t count
    cdef const void *first
    cdef Py_ssize_t itemsize
    cdef bytes format
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __getbuffer__(self, Py_buffer *view, int flags):
        self.shape[0] = self.count
        self.strides[0] = sizeof(kvs_row)
        fill_view(view, self, self.first, self.itemsize, self.format, self.shape, self.strides, flags)


cdef object column_of(Columns columns, const void *first, Py_ssize_t itemsize, bytes format):
    cdef Column column = Column.__new__(Column)
    column.fragment = columns.fragment
    column.count = columns.count
    column.first = first
    column.itemsize = itemsize
    column.format = format
    return memoryview(column)


cdef int fill_view(
    Py_buffer *view, object owner, const void *first, Py_ssize_t itemsize, bytes format,
    Py_ssize_t *shape, Py_ssize_t *strides, int flags,
) except -1:
    """A read-only, one-dimensional, strided view. BufferError for a consumer that can't take what it is."""
    if flags & PyBUF_WRITABLE:
        raise BufferError("the columns of a fragment are read-only")
    if itemsize != strides[0] and (flags & PyBUF_STRIDES) != PyBUF_STRIDES:
        raise BufferError("a single column is strided")
    view.obj = owner
    view.buf = <void *>first
    view.len = shape[0] * itemsize
    view.itemsize = itemsize
    view.readonly = 1
    view.ndim = 1
    view.format = PyBytes_AS_STRING(format) if flags & PyBUF_FORMAT else NULL
    view.shape = shape if flags & PyBUF_ND else NULL
    view.strides = strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
    view.suboffsets = NULL
    view.internal = NULL
    return 0


cdef Columns columns_of(object fragment, const kvs_row *rows, size_t count):
    cdef Columns columns = Columns.__new__(Columns)
    columns.fragment = fragment
    columns.rows = rows
    columns.count = <Py_ssize_t>count
    return columns
