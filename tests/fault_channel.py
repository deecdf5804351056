"""The fault proxy's connection to its client, over TCP or TLS, with every byte and record in its hands."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from array import array

#: No peer takes so long unless something hangs.
PATIENCE = 60.0
RECEIVE = 65536
#: What is in flight is to arrive before a reset, for which this is waited at most.
LONGEST_DRAIN = 1.0
_RESET = struct.pack("ii", 1, 0)


def alert(description: int = 80) -> bytes:
    """A TLS record with a fatal alert (RFC 8446, section 6.2; 80 is internal_error), in the clear."""
    return bytes((21, 3, 3, 0, 2, 2, description))


class Gone(Exception):
    """One of the two has left, or the proxy is being closed."""


class Channel:
    """The client's connection. TLS' records are made in memory, and sent by us."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.sock = sock
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._early = b""

    @property
    def has_tls(self) -> bool:
        """Whether TLS ends here."""
        return self._tls is not None

    def accept(self) -> None:
        """TLS' handshake, if there is TLS."""
        if self._tls is None:
            return
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send_raw(self._outgoing.read())
                self._incoming.write(self._receive_raw())
            except ssl.SSLError as error:
                raise Gone(str(error)) from error
            else:
                self.send_raw(self._outgoing.read())
                self._early = self._opened(b"")
                return

    def take_early(self) -> bytes:
        """What came together with the end of the handshake."""
        early, self._early = self._early, b""
        return early

    def receive(self) -> bytes:
        """Wait for something from the client, and give what there is, which inside TLS may be nothing yet."""
        return self._opened(self._receive_raw())

    def _opened(self, raw: bytes) -> bytes:
        if self._tls is None:
            return raw
        self._incoming.write(raw)
        data = b""
        try:
            while piece := self._tls.read(RECEIVE):
                data += piece
        except ssl.SSLWantReadError:
            return data
        except ssl.SSLError as error:
            raise Gone(str(error)) from error
        raise Gone("the client said goodbye")

    def read_request(self) -> None:
        """All of a request with a Content-Length."""
        data = self.take_early()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.receive()
        lines = data[:end].lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(data) < end + 4 + length:
            data += self.receive()

    def send(self, data: bytes) -> None:
        """Send bytes, inside TLS if there is TLS."""
        if data:
            self.send_raw(self._sealed(data))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from error

    def tear(self, data: bytes) -> None:
        """Send the first half of a record."""
        if self._tls is not None and data:
            record = self._sealed(data[:64])
            self.send_raw(record[: len(record) // 2])

    def refuse(self, description: int) -> None:
        """Send an alert and no more."""
        self.send_raw(alert(description))
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.wait(PATIENCE)

    def end(self) -> None:
        """End the sending side, over TLS with its notice."""
        if self._tls is not None:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self.send_raw(self._outgoing.read())
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST, after what was sent has arrived."""
        until = time.monotonic() + LONGEST_DRAIN
        while unacknowledged(self.sock) and time.monotonic() < until:
            time.sleep(0.0005)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.close()

    def wait(self, seconds: float | None) -> None:
        """Sleep, None for ever; Gone as soon as the client leaves."""
        until = None if seconds is None else time.monotonic() + seconds
        while until is None or (left := until - time.monotonic()) > 0:
            if select.select([self.sock], [], [], None if until is None else left)[0]:
                self._receive_raw()

    def wait_for_input(self) -> None:
        """Wait until the client has said something."""
        self._receive_raw()

    def _sealed(self, data: bytes) -> bytes:
        if self._tls is None:
            return data
        self._tls.write(data)
        return self._outgoing.read()

    def _receive_raw(self) -> bytes:
        try:
            data = self.sock.recv(RECEIVE)
        except OSError as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("the client has closed")
        return data


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that the kernel still holds for the peer (SIOCOUTQ, which has TIOCOUTQ's number)."""
    count = array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return count[0]
