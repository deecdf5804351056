"""What other compiled readers share with the iterators."""

from kvsfast._native.parser cimport FragmentParser


cdef bint fill_more(FragmentParser parser, object fill) except -1
