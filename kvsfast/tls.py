"""TLS over a connected socket, many records a receive.

SSLSocket gives one record of at most 16 KiB a call, and asks the kernel twice for each: for its header, then
for the rest. Here as much as there is comes in one ``recv``, goes through an ``ssl.MemoryBIO`` to an
``ssl.SSLObject``, and out into the caller's buffer. (OpenSSL could read ahead by itself, but Python's ssl has
no switch for it.)
"""

from __future__ import annotations

import contextlib
import math
import mmap
import select
import socket
import ssl
import struct
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast._native.records import RecordReader

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Bytes asked of the kernel at a time, at most.
RECEIVE = 128 * 1024
_LEAST_RECEIVE = 16 * 1024 + 256  # a record (RFC 8446, section 5.2)

_CUT = "the connection ended without TLS' close_notify: what came may have been cut"

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
# Where bytes land between kernel and OpenSSL: as many as there are threads that receive at the same moment.
# They begin with a page, since processors copy slowly between ends that lie a few bytes apart in their pages.
_landings: list[mmap.mmap] = []


class TlsSocket:
    """The client's end of a TLS connection, in the place of an ``ssl.SSLSocket``.

    ``sock`` is connected and belongs to this object from now on (``socket``); it is closed if the handshake
    fails. Its timeout holds for the handshake and is this object's first.

    Raises what ssl and sockets raise, so OSError in each case: SSLCertVerificationError; SSLError for an
    alert and for a record that fails its check; ConnectionResetError; TimeoutError; BlockingIOError with a
    timeout of 0; and SSLEOFError where the connection ends without close_notify: then what was received may
    have been cut by anybody on the way (RFC 8446, section 6.1).

    For one thread at a time; ``shutdown`` may come from any.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_hostname: str | None) -> None:
        self.socket = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent = b""
        self._timeout: float | None = None
        self._kernel_waits: float | None = None  # SO_RCVTIMEO; None: for ever
        self._is_shut = False  # by us: then an end is no surprise
        try:
            timeout = sock.gettimeout()
            if timeout == 0:
                raise ValueError("the handshake needs a socket that may wait")
            # The kernel itself waits, for SO_RCVTIMEO at most: a poll before each receive would cost as much
            # as the receive.
            sock.setblocking(True)
            self.settimeout(timeout)
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
            self._records = RecordReader(self._tls, self._incoming)
            self._shake_hands()
        except BaseException:
            sock.close()
            raise

    # -- receiving

    def recv_into(self, buffer: Buffer, nbytes: int = 0) -> int:
        """As many bytes as are there, of several records; waits for the first. 0: the peer has ended TLS."""
        size = memoryview(buffer).nbytes
        size = min(nbytes, size) if nbytes else size
        if not size:
            return 0
        try:
            received = self._records.read_into(buffer, size)
            if received < 0:
                received = self._receive_into(buffer, size)
        except (ConnectionError, ssl.SSLEOFError) as error:
            if self._is_shut:
                return 0
            if isinstance(error, ssl.SSLEOFError):
                raise ssl.SSLEOFError(error.errno, _CUT) from error
            raise
        finally:
            if self._outgoing.pending or self._unsent:
                with contextlib.suppress(OSError):  # an alert, a new key confirmed: reading needs neither
                    self._flush(-math.inf)
        return received

    def recv(self, bufsize: int) -> bytes:
        """The same, as bytes."""
        buffer = bytearray(bufsize)
        received = self.recv_into(buffer)
        return bytes(memoryview(buffer)[:received])

    def pending(self) -> int:
        """Bytes, at most, that the next receive gives without asking the network; 1 if it tells of an end
        that has come. A loop of readiness must not wait for the socket while this is not 0."""
        return self._records.pending

    def _receive_into(self, buffer: Buffer, size: int) -> int:
        """Receives from the network until one has brought something."""
        until = self._until()
        # Not more than the caller has room for: OpenSSL would keep the memory for it.
        most = min(max(size, _LEAST_RECEIVE), RECEIVE)
        receive, recv_into = self._records.receive_into, self.socket.recv_into
        flags = socket.MSG_DONTWAIT if self._timeout == 0 else 0
        while True:
            landing = _landings.pop() if _landings else mmap.mmap(-1, RECEIVE, flags=_PRIVATE)
            try:
                received = receive(recv_into, landing, most, flags, buffer, size)
            except BlockingIOError:
                if self._timeout == 0:
                    raise
                raise TimeoutError("timed out") from None
            finally:
                _landings.append(landing)
            if received >= 0:
                return received
            if self._timeout != 0:
                self._wait(select.POLLIN, until)  # not for a whole timeout again

    def _receive(self, until: float) -> None:
        """One receive from the network, by a deadline, of what the handshake or another key waits for."""
        while True:
            try:
                data = self.socket.recv(_LEAST_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if self._timeout == 0:
                    raise
                self._wait(select.POLLIN, until)
                continue
            if data:
                self._records.feed(data)
            else:
                self._records.receive_eof()
            return

    # -- sending

    def sendall(self, data: Buffer) -> None:
        """All of it. With a timeout of 0 BlockingIOError may leave a part to be sent by a later call."""
        until = self._until()
        with memoryview(data) as given, given.cast("B") as view:
            at = 0
            while at < len(view):
                try:
                    at += self._tls.write(view[at:])
                except ssl.SSLWantReadError:  # the peer renegotiates (TLS 1.2)
                    self._flush(until)
                    self._receive(until)
        self._flush(until)

    def _flush(self, until: float) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent, socket.MSG_DONTWAIT)
                self._unsent = self._unsent[sent:]
            except BlockingIOError:
                if self._timeout == 0:
                    raise
                self._wait(select.POLLOUT, until)

    # -- waiting

    def settimeout(self, value: float | None) -> None:
        """Seconds that a call may wait; None: for ever; 0: not at all."""
        self._timeout = value
        if value not in (0, self._kernel_waits):
            self._kernel_waits = value
            seconds, microseconds = divmod(0 if value is None else max(1, math.ceil(value * 1e6)), 10**6)
            timeval = struct.pack("@ll", seconds, microseconds)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    def gettimeout(self) -> float | None:
        return self._timeout

    def _until(self) -> float:
        return math.inf if self._timeout is None else time.monotonic() + self._timeout

    def _wait(self, event: int, until: float) -> None:
        left = until - time.monotonic()
        poll = select.poll()
        poll.register(self.socket, event)
        if not poll.poll(None if left == math.inf else max(0, math.ceil(left * 1000))):
            raise TimeoutError("timed out")

    # -- the connection

    def _shake_hands(self) -> None:
        until = self._until()
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush(until)
                self._receive(until)
                continue
            except ssl.SSLError:
                with contextlib.suppress(OSError):  # the alert that says why
                    self._flush(-math.inf)
                raise
            self._flush(until)
            return

    def version(self) -> str | None:
        """As "TLSv1.3"."""
        return self._tls.version()

    def cipher(self) -> tuple[str, str, int] | None:
        """Name, protocol and secret bits."""
        return self._tls.cipher()

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The peer's certificate, as ``ssl.SSLSocket.getpeercert`` gives it."""
        return self._tls.getpeercert(binary_form)

    def selected_alpn_protocol(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    def fileno(self) -> int:
        return self.socket.fileno()

    def shutdown(self, how: int) -> None:
        """Of the plain socket: a receive that waits in another thread gets its end, 0."""
        self._is_shut = True
        self.socket.shutdown(how)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
