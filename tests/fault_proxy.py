"""A TCP proxy between a client and the local service that does harm on a real socket, by a script.

    with FaultProxy(service.media_endpoint_url) as proxy:
        proxy.plan(Break("reset", Inside("frame", nth=2, offset=5)), Respond(503), None, Silence(1.0))
        client = kvsfast.Client(media_endpoint_url=proxy.url, ...)

Each connection meets the next of the planned faults (None: it is left alone), and further ones what
``invent`` makes up, or none. With ``tls`` the proxy ends TLS and holds the records in its own hands, so that
it can tear one. Without it, in front of a service that speaks TLS, the bytes pass sealed, and only places
``AtWire`` are found in them.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.fault_channel import PATIENCE, RECEIVE, Channel, Gone, alert
from tests.fault_script import (
    BEFORE_LAST_CHUNK,
    AtMedia,
    AtWire,
    Break,
    Drip,
    Fault,
    Hangup,
    InResponse,
    Inside,
    Place,
    Planned,
    RefuseConnections,
    RefuseTls,
    Respond,
    Silence,
    Stall,
    random_fault,
)
from tests.response_parts import MEDIA, ChunkedResponse, SealedResponse
from tests.wire import head

__all__ = [
    "BEFORE_LAST_CHUNK",
    "AtMedia",
    "AtWire",
    "Break",
    "Drip",
    "Fault",
    "FaultProxy",
    "Hangup",
    "Inside",
    "Place",
    "Planned",
    "RefuseConnections",
    "RefuseTls",
    "Respond",
    "Silence",
    "Stall",
    "random_fault",
]


class FaultProxy:
    """Listens on loopback for as long as its ``with`` lasts. ``upstream``: the service's URL.

    ``tls``: end TLS with this context; the service must speak plain HTTP then. ``invent``: called for each
    connection for which nothing is planned.
    """

    def __init__(
        self,
        upstream: str,
        *,
        tls: ssl.SSLContext | None = None,
        invent: Callable[[], Planned] = lambda: None,
    ) -> None:
        url = urlsplit(upstream)
        self._upstream = (url.hostname or "", url.port or 0)
        self._is_sealed = url.scheme == "https"
        assert not (tls and self._is_sealed), "TLS is ended here or there, not twice"
        self._tls = tls
        self._invent = invent
        # Keeps the port while nobody listens. The listener shares it.
        self._place = self._socket(0)
        self.port: int = self._place.getsockname()[1]
        self.url = f"{'https' if tls or self._is_sealed else 'http'}://127.0.0.1:{self.port}"
        #: Connections accepted, and faults that struck, by the names of their classes.
        self.connections = 0
        self.struck: Counter[str] = Counter()
        self._planned: deque[Planned] = deque()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._is_leaving = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="fault-proxy")

    def plan(self, *faults: Planned, times: int = 1) -> None:
        """The next connections meet these, one each; the whole row ``times`` times."""
        with self._lock:
            self._planned.extend(faults * times)

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        with self._lock:
            return len(self._threads)

    def __enter__(self) -> Self:
        self._listener = self._listen()
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_leaving.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()  # wakes accept
        self._wait_for([self._acceptor])
        with self._lock:
            threads = list(self._threads)
        self._wait_for(threads)
        self._listener.close()
        self._place.close()

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a connection of the fault proxy hangs"

    @staticmethod
    def _socket(port: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def _listen(self) -> socket.socket:
        sock = self._socket(self.port)
        sock.listen(128)
        return sock

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._is_leaving.is_set():
                client.close()
                return
            with self._lock:
                planned = self._planned.popleft() if self._planned else self._invent()
                refusal = planned if isinstance(planned, RefuseConnections) else None
                fault = planned.first if isinstance(planned, RefuseConnections) else planned
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(client, fault), name="fault-proxy")
                self._threads.add(thread)
                self._sockets.add(client)
            thread.start()
            if refusal is not None:
                thread.join(PATIENCE)
                self._listener.close()
                self.count(refusal)
                self._is_leaving.wait(refusal.seconds)
                self._listener = self._listen()
                if self._is_leaving.is_set():
                    return

    def _serve(self, client: socket.socket, fault: Fault | None) -> None:
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(PATIENCE)
            self._run(Channel(client, self._tls), fault)
        except (Gone, ConnectionError, ssl.SSLError):
            pass  # one of the two has left
        finally:
            with self._lock:
                self._sockets.discard(client)
                self._threads.discard(threading.current_thread())
            client.close()

    def _run(self, channel: Channel, fault: Fault | None) -> None:
        """One connection, from its acceptance to its end."""
        match fault:
            case Hangup(after_request=False, reset=reset):
                self.count(fault)
                return channel.reset() if reset else None
            case Silence(seconds=seconds):
                self.count(fault)
                return channel.wait(seconds)
            case RefuseTls(description=description):
                self.count(fault)
                channel.wait_for_input()
                return channel.refuse(description)
        channel.accept()
        if isinstance(fault, Hangup | Respond):
            channel.read_request()
            self.count(fault)
            if isinstance(fault, Hangup):
                return channel.reset() if fault.reset else None
            channel.send(answer(fault))
            return channel.end()
        with self._upstream_socket() as upstream:
            self._relay(channel, upstream, fault)
        return None

    @contextlib.contextmanager
    def _upstream_socket(self) -> Iterator[socket.socket]:
        try:
            upstream = socket.create_connection(self._upstream, PATIENCE)
        except OSError as error:
            raise Gone(str(error)) from error
        with upstream:
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets.add(upstream)
            try:
                yield upstream
            finally:
                with self._lock:
                    self._sockets.discard(upstream)

    def _relay(self, channel: Channel, upstream: socket.socket, fault: InResponse | None) -> None:
        """Pass bytes both ways until either side ends, or the fault does it."""
        response = Response(channel, fault, sealed=self._is_sealed, count=self.count)
        try:
            upstream.sendall(channel.take_early())
            while not response.is_over:
                ready, _, _ = select.select([channel.sock, upstream], [], [])
                if channel.sock in ready:
                    upstream.sendall(channel.receive())
                if upstream in ready:
                    data = upstream.recv(RECEIVE)
                    if not data:
                        return channel.end()
                    response.forward(data)
        except OSError as error:
            raise Gone(str(error)) from error

    def count(self, fault: Fault | RefuseConnections) -> None:
        """A fault strikes."""
        with self._lock:
            self.struck[type(fault).__name__] += 1


class Response:
    """What the service answers on its way to the client, until the fault strikes."""

    def __init__(
        self, channel: Channel, fault: InResponse | None, *, sealed: bool, count: Callable[[Fault], None]
    ) -> None:
        self._channel = channel
        self._fault = fault
        self._count = count
        self._is_sealed = sealed
        self._parts = SealedResponse() if sealed else ChunkedResponse()
        self._wire_at = 0
        self._media_at = 0
        self._dripping: Drip | None = None
        self.is_over = False

    def forward(self, data: bytes) -> None:
        """Send it on, or what comes before the fault."""
        fault = self._fault
        at = None if fault is None else self._find(fault.where, data)
        if fault is None or at is None:
            self._channel.send(data)
            return
        self._fault = None
        self._channel.send(data[:at])
        self._count(fault)
        match fault:
            case Stall(seconds=seconds):
                self._channel.wait(seconds)
                self._channel.send(data[at:])
            case Drip(count=count, seconds=seconds):
                for position in range(at, min(at + count, len(data))):
                    self._channel.send(data[position : position + 1])
                    time.sleep(seconds)
                self._channel.send(data[at + count :])
            case Break(how=how):
                self.is_over = True
                self._break(how, data[at:])

    def _find(self, where: Place, data: bytes) -> int | None:
        before = 0
        for span in self._parts.feed(data):
            found = where.find(span, self._wire_at, self._media_at)
            if found is not None:
                return before + found
            before += len(span.data)
            self._wire_at += len(span.data)
            self._media_at += len(span.data) if span.part in MEDIA else 0
        return None

    def _break(self, how: str, rest: bytes) -> None:
        channel = self._channel
        match how:
            case "reset":
                channel.reset()
            case "half-close":
                channel.end()
                channel.wait(PATIENCE)
            case "alert":
                if channel.has_tls or self._is_sealed:  # over TCP it would pass for media
                    channel.send_raw(alert())
            case "tear":
                channel.tear(rest)


def answer(fault: Respond) -> bytes:
    """The whole of a response."""
    reason = {400: "Bad Request", 403: "Forbidden", 500: "Internal Server Error", 503: "Service Unavailable"}
    headers = {"Content-Length": str(len(fault.body)), "Connection": "close"}
    if fault.code is not None:
        headers["x-amzn-ErrorType"] = fault.code
    return head(f"{fault.status} {reason.get(fault.status, 'Fault')}", **headers) + fault.body
