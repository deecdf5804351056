"""From TLS records to plaintext: several records a call, and no call for a record that has not come whole.

`ssl` gives one record a call, and answers the question for a record that is not there with an exception, which costs
as much as six of those that are. So records are counted as they come in, by their headers (RFC 8446, section 5.1; RFC 5246,
section 6.2.1). The count only says when not to ask: what the records hold is `ssl`'s affair.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBUF_WRITE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t

from ssl import SSLWantReadError

cdef enum:
    HEADER = 5                  # type, version (2), length (2)

cdef Py_ssize_t UNKNOWN = 1 << 30       # records; as many as there may be


@cython.final
cdef class RecordReader:
    """Decrypts by ``tls``, an `ssl.SSLObject`, what is written into ``incoming``, its `ssl.MemoryBIO`.

    Everything that comes from the peer has to pass through ``feed``, from the first byte of the handshake on.
    """

    cdef object tls, incoming, read
    cdef object failure             # what broke the records; kept, since ssl would tell it only once
    cdef bint is_over               # the peer has ended TLS (close_notify)
    cdef Py_ssize_t whole           # records that `read` may give, at most
    cdef Py_ssize_t rest            # bytes that are missing of the record being received
    cdef int header                 # bytes of the next header that have come
    cdef size_t length

    def __init__(self, tls, incoming):
        self.tls = tls
        self.incoming = incoming
        self.read = tls.read
        self.whole = UNKNOWN        # the handshake takes some that nobody counts

    def feed(self, data, Py_ssize_t n):
        """The first ``n`` bytes of ``data`` came from the peer."""
        cdef Py_buffer view
        cdef const uint8_t *p
        cdef Py_ssize_t left = n
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if not 0 < n <= view.len:
                raise ValueError(f"{n} bytes of {view.len}")
            self.incoming.write(PyMemoryView_FromMemory(<char *>view.buf, n, PyBUF_SIMPLE))
            p = <const uint8_t *>view.buf
            while left:
                if self.rest == 0:
                    if self.header == 3:
                        self.length = p[0]
                    elif self.header == 4:
                        self.rest = <Py_ssize_t>(self.length << 8 | p[0])
                    self.header += 1
                    p += 1
                    left -= 1
                    if self.header < HEADER:
                        continue
                    self.header = 0
                    if self.rest:
                        continue
                elif self.rest > left:
                    self.rest -= left
                    return
                else:
                    p += self.rest
                    left -= self.rest
                    self.rest = 0
                self.whole += 1
        finally:
            PyBuffer_Release(&view)

    def read_into(self, target, Py_ssize_t most):
        """Up to ``most`` bytes of plaintext into ``target``. 0: the peer has ended TLS; -1: nothing more is here.

        What else ends the records (an alert, a record that fails its check, EOF in ``incoming``) is raised when all
        before it was given, and again each time.
        """
        cdef Py_buffer view
        cdef Py_ssize_t got = 0, n = 0
        if not self.is_over and self.failure is None and self.whole > 0:
            PyObject_GetBuffer(target, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
            try:
                if most > view.len:
                    most = view.len
                while got < most and self.whole > 0:
                    n = self.read(
                        most - got, PyMemoryView_FromMemory(<char *>view.buf + got, most - got, PyBUF_WRITE)
                    )
                    if n == 0:
                        self.is_over = True
                        break
                    got += n
                    self.whole -= 1
                if got == most and self.tls.pending():
                    self.whole += 1             # the rest of the last one
            except SSLWantReadError:
                self.whole = 0
            except OSError as error:
                self.failure = error
            finally:
                PyBuffer_Release(&view)
        if got:
            return got
        if self.is_over:
            return 0
        if self.failure is not None:
            raise self.failure
        return -1

    def receive_eof(self):
        """The connection has ended. Unless TLS said so before, it is a failure."""
        self.incoming.write_eof()
        self.whole = UNKNOWN

    @property
    def pending(self):
        """Bytes, at most, that ``read_into`` would give now; 1 if it would tell the end, 0 while no record is whole."""
        if self.is_over or self.failure is not None:
            return 1
        if self.whole == 0:
            return 0
        return self.tls.pending() + self.incoming.pending
