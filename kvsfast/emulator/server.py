"""The HTTP/1.1 side of the local service: one thread per connection, started and ended without leftovers."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from kvsfast.emulator.clock import Clock
from kvsfast.emulator.connection import Connection, Disconnected, will_reset
from kvsfast.emulator.refusal import Refusal, unknown_operation
from kvsfast.emulator.tls import send_goodbye

__all__ = ["Answer", "Handler", "HttpServer", "Request", "Streaming", "Unanswered"]

logger = logging.getLogger("kvsfast.emulator")

LOOPBACK = "127.0.0.1"
#: No request of these APIs comes near this.
LARGEST_BODY = 1 << 20


class Request(NamedTuple):
    """``headers``: names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """A JSON answer."""

    body: bytes


class Streaming(NamedTuple):
    """A chunked answer. ``write`` sends the body; ``finish`` is called once, when nothing more is sent."""

    content_type: str
    write: Callable[[Connection], None]
    finish: Callable[[], None]


class Unanswered(NamedTuple):
    """No answer at all; ``leave`` ends the connection."""

    leave: Callable[[Connection], None]


Handler = Callable[[Request], Answer | Streaming | Unanswered]


class HttpServer(ThreadingHTTPServer):
    """Serves ``operations`` (path -> function) on a loopback port.

    A request for anything else gets the front door's 403. ``operations`` may be replaced while it runs.
    ``close`` ends every connection and joins every thread.
    """

    daemon_threads = False
    block_on_close = True
    request_queue_size = 1024
    address_family = socket.AF_INET

    def __init__(
        self,
        port: int,
        operations: Mapping[str, Handler],
        clock: Clock,
        *,
        tls: ssl.SSLContext | None,
        gather: bool = True,
    ) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.operations = operations
        self.clock = clock
        self._gather = gather
        self._tls = tls
        self._connections: set[socket.socket] = set()
        self._responding: set[Connection] = set()
        self._lock = threading.Lock()
        self._is_closing = False
        self._thread = threading.Thread(target=self._accept, name="kvsfast-emulator")

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://{LOOPBACK}:{self.server_port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_closing = True
        if self._thread.is_alive():
            # A last connection wakes the thread that waits for one.
            with contextlib.suppress(OSError):
                socket.create_connection((LOOPBACK, self.server_port), timeout=5).close()
            self._thread.join()
        with self._lock:
            for responding in self._responding:
                responding.close_soon()
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    # Of the plain socket: an SSLSocket's own shutdown drops its state under its thread.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()

    @contextlib.contextmanager
    def responding(self, sock: socket.socket) -> Iterator[Connection]:
        """What a response is written to. It is told if the server closes meanwhile."""
        connection = Connection(sock, self.clock, gather=self._gather)
        with self._lock:
            self._responding.add(connection)
        try:
            if self._is_closing:
                raise Disconnected("the service is being closed")
            yield connection
        finally:
            with self._lock:
                self._responding.discard(connection)
            connection.release()

    def _accept(self) -> None:
        while not self._is_closing:
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return not self._is_closing

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The handshake is made by the connection's own thread.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        if will_reset(request):
            self.close_request(request)  # a FIN before the RST would look like an orderly end
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if isinstance(error, OSError) or self._is_closing:
            logger.debug("connection from port %s ended: %r", client_address[1], error)
        else:
            logger.exception("a request failed in the local service")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer
    _says_goodbye = True

    def setup(self) -> None:
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()

    def finish(self) -> None:
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket) and self._says_goodbye:
            send_goodbye(self.connection)

    def do_POST(self) -> None:
        request_id = str(uuid.uuid4())
        try:
            answer = self._answer()
        except Refusal as refusal:
            logger.info("%s %s: %s %s", self.command, self.path, refusal.status, refusal)
            self._respond(refusal.status, request_id, refusal.headers, refusal.body)
            return
        match answer:
            case Answer():
                self._respond(200, request_id, {"Content-Type": "application/json"}, answer.body)
            case Streaming():
                self._stream(request_id, answer)
            case Unanswered():
                self._leave(answer)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST  # noqa: N815

    def _answer(self) -> Answer | Streaming | Unanswered:
        request = Request(
            self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self._body()
        )
        operation = self.server.operations.get(self.path) if self.command == "POST" else None
        if operation is None:
            raise unknown_operation()
        return operation(request)

    def _body(self) -> bytes:
        declared = self.headers.get("Content-Length", "0")
        size = int(declared) if declared.isascii() and declared.isdigit() else LARGEST_BODY + 1
        if size > LARGEST_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Refusal(
                "SerializationException", f"expected a body of known size, at most {LARGEST_BODY} bytes"
            )
        body = self.rfile.read(size)
        if len(body) < size:
            raise Disconnected("the request was cut")
        return body

    def _head(self, status: int, request_id: str, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        self.send_header("x-amzn-RequestId", request_id)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Date", self.date_time_string(self.server.clock.now()))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _respond(self, status: int, request_id: str, headers: Mapping[str, str], body: bytes) -> None:
        self._head(status, request_id, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, request_id: str, answer: Streaming) -> None:
        sent = 0
        try:
            with self.server.responding(self.connection) as connection:
                self._head(
                    200, request_id, {"Content-Type": answer.content_type, "Transfer-Encoding": "chunked"}
                )
                try:
                    answer.write(connection)
                finally:
                    self._says_goodbye, sent = connection.says_goodbye, connection.bytes_sent
            self.close_connection = self.close_connection or connection.is_over
        except OSError as error:
            self.close_connection = True
            logger.info("%s %s: the client left after %d bytes: %s", self.command, self.path, sent, error)
        else:
            logger.info("%s %s: 200, %d bytes", self.command, self.path, sent)
        finally:
            answer.finish()

    def _leave(self, answer: Unanswered) -> None:
        self.close_connection = True
        logger.info("%s %s: no answer", self.command, self.path)
        with contextlib.suppress(OSError), self.server.responding(self.connection) as connection:
            try:
                answer.leave(connection)
            finally:
                self._says_goodbye = connection.says_goodbye

    def log_message(self, format: str, *args: Any) -> None:
        # Requests are logged where they are answered; what is left is malformed HTTP.
        logger.debug(format, *args)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass
