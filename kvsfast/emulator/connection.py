"""The socket under one response: sending at a pace, waiting while the client may leave, leaving badly."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
import time
from array import array

from kvsfast.emulator.framing import http_chunks

__all__ = ["Connection", "Disconnected", "will_reset"]

#: Payload is handed to the kernel in blocks of about this size.
BLOCK = 1 << 20
#: A paced response is sent in this many blocks a second, at least.
PACED_BLOCKS = 20
#: While waiting, look at the clock this often at least: it may be one that is not the system's.
LONGEST_POLL = 0.5

# Linux tells of the peer's FIN although unread bytes are before it; elsewhere only an empty peek does.
_PEER_LEFT = getattr(select, "POLLRDHUP", 0)


#: What a client has not taken from the kernel by then is lost by a reset.
LONGEST_DRAIN = 5.0
_RESET = struct.pack("ii", 1, 0)


class Disconnected(ConnectionError):
    """The client is gone, or the service is being closed."""


class Connection:
    """What a session writes to.

    ``bandwidth``: bytes per second, None for as fast as it goes. ``gather``: keep HTTP chunks until there are
    enough for one large send; otherwise each is sent by itself, and over TLS begins a record of its own.
    """

    def __init__(self, sock: socket.socket, *, bandwidth: float | None = None, gather: bool = True) -> None:
        self._socket = sock
        self._gather = gather
        self._bandwidth = bandwidth
        self._block = BLOCK if bandwidth is None else max(1, min(BLOCK, int(bandwidth / PACED_BLOCKS)))
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._paced_from = time.monotonic()
        self._paced_bytes = 0
        self.bytes_sent = 0
        self.is_over = False

    def write(self, framed: bytes) -> None:
        """Send HTTP chunks, or keep them until there is enough for one large send."""
        if not self._gather:
            view, start = memoryview(framed), 0
            for _, end in http_chunks(framed):
                self._send(view[start : end + 2])
                start = end + 2
        elif len(framed) >= self._block:
            self.send(framed)
        else:
            self._pending.append(framed)
            self._pending_size += len(framed)
            if self._pending_size >= self._block:
                self.flush()

    def send(self, part: bytes) -> None:
        """Send bytes as they are, be they whole HTTP chunks or not, and what was kept before them."""
        self.flush()
        self._send(part)

    def flush(self) -> None:
        """Send what was kept."""
        if self._pending:
            pending, self._pending, self._pending_size = self._pending, [], 0
            self._send(pending[0] if len(pending) == 1 else b"".join(pending))

    def wait(self, seconds: float) -> None:
        """Sleep, at most LONGEST_POLL. Disconnected as soon as the client leaves or the service closes."""
        if seconds <= 0:
            return
        milliseconds = min(seconds, LONGEST_POLL) * 1000
        poll = select.poll()
        poll.register(self._socket, _PEER_LEFT or select.POLLIN)
        if not poll.poll(milliseconds):
            return
        if _PEER_LEFT or not socket.socket.recv(self._socket, 1, socket.MSG_PEEK):
            raise Disconnected("the client closed its connection")
        time.sleep(milliseconds / 1000)

    def leave(self, *, reset: bool) -> None:
        """No further request on this connection. ``reset``: the client gets what was sent, then RST."""
        self.is_over = True
        if not reset:
            return
        give_up = time.monotonic() + LONGEST_DRAIN
        while _unacknowledged(self._socket) and time.monotonic() < give_up:
            time.sleep(0.001)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _send(self, framed: bytes | memoryview) -> None:
        view = memoryview(framed)
        for at in range(0, len(view), self._block):
            block = view[at : at + self._block]
            if self._bandwidth is not None:
                self._keep_pace(len(block), self._bandwidth)
            try:
                self._socket.sendall(block)
            except OSError as error:
                raise Disconnected(str(error)) from error
            self.bytes_sent += len(block)

    def _keep_pace(self, size: int, bandwidth: float) -> None:
        self._paced_bytes += size
        due = self._paced_from + self._paced_bytes / bandwidth
        if due < time.monotonic():
            # Time in which there was nothing to send is no credit for later.
            self._paced_from, self._paced_bytes = time.monotonic(), 0
        while (left := due - time.monotonic()) > 0:
            self.wait(left)


def will_reset(sock: socket.socket) -> bool:
    """Whether closing this socket resets the connection."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that the kernel still holds for the client (SIOCOUTQ, which has TIOCOUTQ's number)."""
    count = array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return count[0]
