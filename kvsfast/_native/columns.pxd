"""Columns over the rows of a fragment."""

from kvsfast._native.frames cimport kvs_row


cdef class Columns:
    cdef object fragment        # owns the rows
    cdef const kvs_row *rows
    cdef Py_ssize_t count
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]


cdef Columns columns_of(object fragment, const kvs_row *rows, size_t count)
