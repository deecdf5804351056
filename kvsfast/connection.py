"""An open connection and the response on it; connections that wait for another request."""

from __future__ import annotations

import contextlib
import http.client
import math
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kvsfast.forking import generation
from kvsfast.tls import TlsSocket

#: How long an unused connection is kept, in seconds: less than servers commonly do.
IDLE_SECONDS = 15.0
_MOST_OF_A_RECORD = 16 * 1024  # plaintext of one TLS record (RFC 8446, section 5.1): a read gives no more


def socket_timeout(seconds: float) -> float | None:
    """As sockets take it: None waits for ever."""
    return None if math.isinf(seconds) else seconds


@dataclass
class Line:
    """An open connection, TLS and tunnel included. ``timings``: seconds for ``connect`` (TCP, with DNS) and
    ``tls`` (with the proxy's CONNECT)."""

    key: tuple[str, ...]
    sock: Any
    peer: str
    timings: Mapping[str, float]
    idle_since: float = 0.0
    born: int = field(default_factory=generation)

    def close(self) -> None:
        self.sock.close()


class Idle:
    """Connections that wait for another request: at most ``most``, and each for a few seconds only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: deque[Line] = deque()
        self._make_lock()

    def _make_lock(self) -> None:
        # Reentrant, since a dropped response may come here wherever the garbage collector runs.
        self._lock = threading.RLock()

    def after_fork(self) -> None:
        self._make_lock()
        self.clear()  # of this process' descriptors; the parent's connections go on

    def put(self, line: Line) -> None:
        line.idle_since = time.monotonic()
        with self._lock:
            self._lines.append(line)
            while len(self._lines) > self._most:
                self._lines.popleft().close()

    def take(self, key: tuple[str, ...]) -> Line | None:
        """The latest that leads where the key says and seems to be open."""
        oldest = time.monotonic() - IDLE_SECONDS
        with self._lock:
            while self._lines and self._lines[0].idle_since < oldest:
                self._lines.popleft().close()
            for line in reversed(self._lines.copy()):
                if line.key == key:
                    self._lines.remove(line)
                    if _is_quiet(line.sock):
                        return line
                    line.close()
        return None

    def clear(self) -> None:
        with self._lock:
            while self._lines:
                self._lines.popleft().close()


def _is_quiet(sock: Any) -> bool:
    """Nothing is to be read: neither an end nor anything else that belongs to no request."""
    try:
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return not poll.poll(0)
    except (OSError, ValueError):
        return False


class HttpResponse:
    """A response whose head was read; see :class:`kvsfast.protocols.Response`.

    ``timings``: seconds for ``connect`` (TCP, with DNS) and ``tls`` (with the proxy's CONNECT), both 0 where
    an open connection was used again, and ``first_byte`` (from sending the request to having read the head).
    ``tls``: (version, cipher) or None. ``peer``: address and port.
    """

    def __init__(
        self,
        line: Line,
        head: http.client.HTTPResponse,
        early: bytes,
        *,
        url: str,
        timings: Mapping[str, float],
        idle: Idle,
    ) -> None:
        self._line = line
        self._sock = line.sock
        self._early = early
        self._idle = idle
        self._is_closed = False
        self.status = head.status
        self.reason = head.reason
        self.headers: Mapping[str, str] = _Headers(head.getheaders())
        self.url = url
        # http.client knows only the bare word; "identity, chunked" says the same.
        self.is_chunked = (
            self.headers.get("Transfer-Encoding", "").lower().split(",")[-1].strip() == "chunked"
        )
        self.length = None if self.is_chunked else head.length
        self._is_last = (
            head.version != 11
            or "close" in self.headers.get("Connection", "").lower()
            or not (self.is_chunked or self.length is not None)
        )
        self.timings = timings
        self.peer = line.peer
        cipher = self._sock.cipher() if hasattr(self._sock, "cipher") else None
        self.tls = (cipher[1], cipher[0]) if cipher else None

    @property
    def recv_into(self) -> Callable[[Any], int]:
        receive: Callable[..., int] = self._sock.recv_into
        if self.tls is None or isinstance(self._sock, TlsSocket):
            return receive
        return partial(_receive_record, receive)

    def detach(self) -> bytes:
        early, self._early = self._early, b""
        return early

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def pending(self) -> int:
        if self.tls is None:
            return 0
        # urllib3's TLS inside TLS does not tell.
        return self._sock.pending() if isinstance(self._sock, TlsSocket) else 1

    def set_timeout(self, seconds: float) -> None:
        self._sock.settimeout(socket_timeout(seconds))

    def shutdown(self) -> None:
        if self._line.born != generation():
            return  # it would end the connection of the process that this one was forked from
        sock = self._sock
        while not isinstance(sock, socket.socket | TlsSocket):  # TLS to the service inside TLS to the proxy
            sock = sock.socket
        # The plain socket's method: SSLSocket.shutdown would take the TLS object away from the blocked
        # reader.
        shutdown = sock.shutdown if isinstance(sock, TlsSocket) else partial(socket.socket.shutdown, sock)
        with contextlib.suppress(OSError):
            shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        if self._is_closed:
            return
        if self._is_last or self._early or self.pending():
            self.close()
            return
        self._is_closed = True
        self._idle.put(self._line)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._line.close()


def _receive_record(receive: Callable[..., int], buffer: Any) -> int:
    """``recv_into`` of TLS. A size spares SSLSocket a memoryview per record; what the buffer holds bounds it
    all the same."""
    try:
        return receive(buffer, _MOST_OF_A_RECORD)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        raise BlockingIOError("no whole TLS record is there") from None


class _Headers(dict[str, str]):
    """Header names in lower case; looked up in any case. Repeated headers are joined by a comma."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in pairs:
            name = name.lower()
            self[name] = f"{self[name]}, {value}" if name in self else value

    def __missing__(self, name: str) -> str:
        if name == (lower := name.lower()):
            raise KeyError(name)
        return self[lower]

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())
