"""The socket under one response: sending at a pace, waiting while the client may leave, leaving badly."""

from __future__ import annotations

import contextlib
import fcntl
import math
import select
import socket
import ssl
import struct
import termios
import time
from array import array
from typing import Literal

from kvsfast.emulator.clock import Clock
from kvsfast.emulator.framing import http_chunks
from kvsfast.emulator.tls import send_fatal_alert, send_goodbye
from kvsfast.emulator.waking import Waker

__all__ = ["Connection", "Disconnected", "EndOrdered", "Leaving", "will_reset"]

#: How a connection is left before its response is over; see :class:`faults.Cut`.
Leaving = Literal["close", "fin", "half-close", "reset", "alert"]

#: Payload is handed to the kernel in blocks of about this size.
BLOCK = 1 << 20
#: A paced response is sent in this many blocks a second, at least.
PACED_BLOCKS = 20

# Linux tells of the peer's FIN although unread bytes are before it; elsewhere only an empty peek does.
_PEER_LEFT = getattr(select, "POLLRDHUP", 0)

#: What a client has not taken from the kernel by then is lost by a reset. Real seconds, whatever the clock.
LONGEST_DRAIN = 5.0
_RESET = struct.pack("ii", 1, 0)


class Disconnected(ConnectionError):
    """The client is gone, or the service is being closed."""


class EndOrdered(Exception):
    """The response was told from outside to end, ``how``: "eof" or a way of leaving."""

    def __init__(self, how: Literal["eof"] | Leaving) -> None:
        super().__init__(how)
        self.how = how


class Connection:
    """What a session writes to.

    ``clock``: what waits and paces go by. ``gather``: keep HTTP chunks until there are enough for one large
    send; otherwise each is sent by itself, and over TLS begins a record of its own. ``bandwidth``: bytes per
    second, None for as fast as it goes; may be changed at any time.
    """

    def __init__(self, sock: socket.socket, clock: Clock, *, gather: bool = True) -> None:
        self.bandwidth: float | None = None
        self.bytes_sent = 0
        self.is_over = False
        #: Whether the other side of TLS is told of the end.
        self.says_goodbye = True
        #: Woken by whatever a waiting session should look at.
        self.waker = Waker()
        self._socket = sock
        self._clock = clock
        self._gather = gather
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._paced_until = -math.inf
        self._order: EndOrdered | None = None
        self._is_closing = False
        self._poll = select.poll()
        self._poll.register(sock, _PEER_LEFT or select.POLLIN)
        self._poll.register(self.waker, select.POLLIN)

    def release(self) -> None:
        """Give back what it holds beside the socket."""
        self.waker.close()

    def write(self, framed: bytes) -> None:
        """Send whole HTTP chunks, or keep them until there is enough for one large send."""
        if self._order is not None:
            self._obey()
        if not self._gather:
            view, start = memoryview(framed), 0
            for _, end in http_chunks(framed):
                self._send(view[start : end + 2])
                start = end + 2
        elif len(framed) >= BLOCK or self.bandwidth is not None:
            self.send(framed)
        else:
            self._pending.append(framed)
            self._pending_size += len(framed)
            if self._pending_size >= BLOCK:
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

    def wait(self, until: float = math.inf, *, inside_chunk: bool = False) -> None:
        """Wait for a time of the clock, or until something has changed; what was kept is sent before.

        Disconnected as soon as the client leaves or the service closes, EndOrdered by ``order_end``: in the
        middle of an HTTP chunk the body cannot end well any more, so that "eof" becomes "close".
        """
        self.flush()
        self._obey(inside_chunk=inside_chunk)
        self._clock.wait(until, self.waker, self._wait_on_descriptors)
        self._obey(inside_chunk=inside_chunk)

    def order_end(self, how: Literal["eof"] | Leaving) -> None:
        """End the response, as soon as its thread writes or waits. From any thread."""
        self._order = EndOrdered(how)
        self.waker.wake()

    def close_soon(self) -> None:
        """The service closes: hold nothing up. From any thread."""
        self._is_closing = True
        self.waker.wake()

    def leave(self, how: Leaving) -> None:
        """No further request on this connection. The client gets what was sent before the end."""
        self.flush()
        self.is_over = True
        self.says_goodbye = how in ("close", "half-close")
        match how:
            case "reset":
                self._drain()
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            case "alert" if isinstance(self._socket, ssl.SSLSocket):
                send_fatal_alert(self._socket)
            case "half-close":
                if isinstance(self._socket, ssl.SSLSocket):
                    send_goodbye(self._socket)
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_WR)
                while True:
                    self._wait_on_descriptors(None)

    def _obey(self, *, inside_chunk: bool = False) -> None:
        if self._order is not None:
            order, self._order = self._order, None
            raise EndOrdered("close") if inside_chunk and order.how == "eof" else order

    def _wait_on_descriptors(self, seconds: float | None) -> None:
        for descriptor, _ in self._poll.poll(None if seconds is None else seconds * 1000):
            if descriptor == self.waker.fileno():
                self.waker.clear()
                if self._is_closing:
                    raise Disconnected("the service is being closed")
            elif _PEER_LEFT or not socket.socket.recv(self._socket, 1, socket.MSG_PEEK):
                raise Disconnected("the client closed its connection")
            else:
                # A request that came early would wake every wait: it is seen again when this one is done.
                self._poll.unregister(self._socket)

    def _send(self, framed: bytes | memoryview) -> None:
        view = memoryview(framed)
        at = 0
        while at < len(view):
            bandwidth = self.bandwidth
            size = BLOCK if bandwidth is None else max(1, min(BLOCK, int(bandwidth / PACED_BLOCKS)))
            block = view[at : at + size]
            if bandwidth is not None:
                self._keep_pace(len(block) / bandwidth)
            try:
                self._socket.sendall(block)
            except OSError as error:
                raise Disconnected(str(error)) from error
            self.bytes_sent += len(block)
            at += len(block)

    def _keep_pace(self, seconds: float) -> None:
        """Wait as long as a block takes. Time in which there was nothing to send is no credit for later."""
        self._paced_until = max(self._paced_until, self._clock.now()) + seconds
        while self._clock.now() < self._paced_until:
            self._clock.wait(self._paced_until, self.waker, self._wait_on_descriptors)

    def _drain(self) -> None:
        """Wait until the client's kernel has everything: a reset takes back what it has not."""
        give_up = time.monotonic() + LONGEST_DRAIN
        while _unacknowledged(self._socket) and time.monotonic() < give_up and not self._is_closing:
            time.sleep(0.001)


def will_reset(sock: socket.socket) -> bool:
    """Whether closing this socket resets the connection."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that the kernel still holds for the client (SIOCOUTQ, which has TIOCOUTQ's number)."""
    count = array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return count[0]
