"""From TLS records to plaintext: many records a receive, and no call for a record that has not come whole.

`ssl` gives one record a call, and answers the question for a record that is not there with an exception, which costs
as much as six of those that are. So records are counted as they come in, by their headers (RFC 8446, section 5.1; RFC 5246,
section 6.2.1). The count only says when not to ask: what the records hold is `ssl`'s affair.

Each record passes through ``incoming`` alone, and is read before the next one is written there: what OpenSSL copies
stays in the processor's first cache, and an idle connection has no large buffer.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t

from ssl import SSLError, SSLWantReadError

cdef enum:
    HEADER = 5                  # type, version (2), length (2)

cdef Py_ssize_t UNKNOWN = 1 << 30       # records; as many as there may be


@cython.final
cdef class Span:
    """A piece of somebody's memory, lent to `ssl` for one call."""

    cdef uint8_t *at
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.at, self.size, 0, flags)


@cython.final
cdef class RecordReader:
    """Decrypts by ``tls``, an `ssl.SSLObject`, what is written into ``incoming``, its `ssl.MemoryBIO`.

    Everything that comes from the peer has to pass through here, from the first byte of the handshake on.
    """

    cdef object read, write, write_eof
    cdef object tls, incoming
    cdef object failure             # what broke the records; kept, since ssl would tell it only once
    cdef bint is_over               # the peer has ended TLS (close_notify)
    cdef Py_ssize_t whole           # records in `incoming` that `read` may give, at most
    cdef Py_ssize_t rest            # bytes that are missing of the record being received
    cdef int header                 # bytes of the next header that have come
    cdef size_t length
    cdef Span cipher, plain

    def __init__(self, tls, incoming):
        self.tls = tls
        self.incoming = incoming
        # SSLObject's own `read` is a function in Python around this one.
        self.read = getattr(getattr(tls, "_sslobj", None), "read", None) or tls.read
        self.write = incoming.write
        self.cipher = Span()
        self.plain = Span()
        self.whole = UNKNOWN        # the handshake takes some that nobody counts

    def feed(self, data):
        """``data`` came from the peer. To be read by ``read_into``, or by the handshake."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.keep(<uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def receive_eof(self):
        """The connection has ended. Unless TLS said so before, it is a failure."""
        self.incoming.write_eof()
        self.whole = UNKNOWN

    def read_into(self, target, Py_ssize_t most):
        """Up to ``most`` bytes of plaintext into ``target``. 0: the peer has ended TLS; -1: nothing more is here.

        What else ends the records (an alert, a record that fails its check, EOF in ``incoming``) is raised when all
        before it was given, and again each time.
        """
        cdef Py_buffer into
        cdef Py_ssize_t got = 0
        if self.whole > 0 and not self.has_ended():
            PyObject_GetBuffer(target, &into, PyBUF_SIMPLE | PyBUF_WRITABLE)
            try:
                got = self.decrypt(<uint8_t *>into.buf, most if most < into.len else into.len)
            except BaseException:
                self.failure = interrupted()
                raise
            finally:
                PyBuffer_Release(&into)
        return self.answer(got)

    def receive_into(self, recv_into, landing, Py_ssize_t most_received, int flags, target, Py_ssize_t most):
        """One receive by ``recv_into(landing, most_received, flags)``, and what it brought as ``read_into`` gives it, with
        the same answers. Raises what ``recv_into`` does; then nothing has changed."""
        cdef Py_buffer view, into
        cdef Py_ssize_t n
        cdef Py_ssize_t got = 0
        PyObject_GetBuffer(target, &into, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            n = recv_into(landing, most_received, flags)
            if most > into.len:
                most = into.len
            try:
                if n > 0:
                    PyObject_GetBuffer(landing, &view, PyBUF_SIMPLE)
                    try:
                        got = self.take_records(<uint8_t *>view.buf, n, <uint8_t *>into.buf, most)
                    finally:
                        PyBuffer_Release(&view)
                elif not self.has_ended():
                    self.receive_eof()
                    got = self.decrypt(<uint8_t *>into.buf, most)
            except BaseException:
                self.failure = interrupted()
                raise
        finally:
            PyBuffer_Release(&into)
        return self.answer(got)

    @property
    def pending(self):
        """Bytes, at most, that ``read_into`` would give now; 1 if it would tell the end, 0 while no record is whole."""
        if self.has_ended():
            return 1
        if self.whole == 0:
            return 0
        return self.tls.pending() + self.incoming.pending

    cdef inline bint has_ended(self) noexcept:
        return self.is_over or self.failure is not None

    cdef object answer(self, Py_ssize_t got):
        if got:
            return got
        if self.is_over:
            return 0
        if self.failure is not None:
            raise self.failure
        return -1

    cdef Py_ssize_t take_records(self, uint8_t *data, Py_ssize_t n, uint8_t *target, Py_ssize_t room) except -1:
        """Each record that is whole is read before the next one is looked at. What finds no room stays in ``incoming``,
        as does the beginning of a record that has not come whole."""
        cdef Py_ssize_t at = 0, end, got = 0
        while at < n and got < room and not self.has_ended():
            end = at + self.to_end_of_record(data + at, n - at)
            self.hand(data + at, end - at)
            at = end
            if self.whole > 0:
                got += self.decrypt(target + got, room - got)
        if at < n and not self.has_ended():
            self.keep(data + at, n - at)
        return got

    cdef int keep(self, uint8_t *data, Py_ssize_t n) except -1:
        """Write it, and count the records."""
        cdef Py_ssize_t at = 0
        while at < n:
            at += self.to_end_of_record(data + at, n - at)
        return self.hand(data, n)

    cdef int hand(self, uint8_t *data, Py_ssize_t n) except -1:
        if n:
            self.cipher.at = data
            self.cipher.size = n
            self.write(self.cipher)
        return 0

    cdef Py_ssize_t to_end_of_record(self, const uint8_t *data, Py_ssize_t n) noexcept:
        """How many of the bytes belong to the record that is coming in. It is counted if they are its last."""
        cdef Py_ssize_t at = 0
        while self.rest == 0:
            if at == n:
                return n
            if self.header == 3:
                self.length = data[at]
            elif self.header == 4:
                self.rest = <Py_ssize_t>(self.length << 8 | data[at])
            self.header += 1
            at += 1
            if self.header == HEADER:
                self.header = 0
                if self.rest == 0:              # a record of nothing
                    self.whole += 1
                    return at
        if self.rest > n - at:
            self.rest -= n - at
            return n
        at += self.rest
        self.rest = 0
        self.whole += 1
        return at

    cdef Py_ssize_t decrypt(self, uint8_t *target, Py_ssize_t room) except -1:
        """Read the records that are whole, as far as there is room. Sets ``is_over`` or ``failure`` at their end."""
        cdef Py_ssize_t got = 0, n
        try:
            while got < room and self.whole > 0:
                self.plain.at = target + got
                self.plain.size = room - got
                n = self.read(room - got, self.plain)
                if n == 0:
                    self.is_over = True
                    return got
                got += n
                self.whole -= 1
            if got == room and self.tls.pending():
                self.whole += 1                 # the rest of the last one
        except SSLWantReadError:
            self.whole = 0
        except OSError as error:
            self.failure = error
        return got


cdef object interrupted():
    return SSLError("an earlier receive was interrupted in the middle of a TLS record")
