"""A server on a real socket whose every byte and pause is scripted, over TCP and TLS, and a forward proxy.

A script is a function that is given the :class:`Peer` after its request was read. The nth connection runs the
nth script; further ones run the last. What a script raises fails the test when the server is left.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import select
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from kvsfast.emulator.tls import AcceptedSocket

HANG = 60.0  # no test waits so long unless something hangs


class Authority:
    """A certificate authority of the tests' own."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._ca = trustme.CA()
        self.bundle = str(Path(self._directory.name, "ca.pem"))
        self._ca.cert_pem.write_to_path(self.bundle)

    def server_context(self, *names: str, **details: Any) -> ssl.SSLContext:
        """For a server of these names, by default those of loopback."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = AcceptedSocket
        self._ca.issue_cert(*(names or ("127.0.0.1", "localhost")), **details).configure_cert(context)
        return context

    def client_cert(self) -> str:
        """Path of a client's certificate with its key."""
        path = str(Path(self._directory.name, "client.pem"))
        self._ca.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def trust(self, context: ssl.SSLContext) -> None:
        self._ca.configure_trust(context)


@functools.cache
def authority() -> Authority:
    return Authority()


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: http.client.HTTPMessage
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, request: Request) -> None:
        self.sock = sock
        self.request = request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        """End the sending side cleanly, with TLS' own notice if there is TLS."""
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.settimeout(HANG)
            with contextlib.suppress(OSError):  # the client closed without waiting for our notice
                self.sock.unwrap()
            return
        with contextlib.suppress(OSError):  # it has left already
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def until_closed(self) -> None:
        """Wait until the client has closed."""
        self.sock.settimeout(HANG)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while self.sock.recv(65536):
                pass


Script = Callable[[Peer], None]


class Server:
    """Listens on loopback for as long as its ``with`` lasts."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.requests: list[Request] = []
        self.connections = 0
        self._failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._is_leaving = False
        self._acceptor = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_leaving = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes accept
        self._acceptor.join(HANG)
        self._listener.close()
        for thread in self._threads:
            thread.join(HANG)
            assert not thread.is_alive(), "a connection is still open"
        if self._failures and error is None:
            raise self._failures[0]

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._is_leaving:
                sock.close()
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock, script))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, script: Script) -> None:
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(HANG)
            if self._tls is not None:
                try:
                    sock = self._tls.wrap_socket(sock, server_side=True)
                except OSError:
                    return  # the client refused our certificate
            with sock:
                try:
                    request = read_request(sock)
                    if request is not None:
                        self.requests.append(request)
                        script(Peer(sock, request))
                except BaseException as error:
                    self._failures.append(error)


def read_request(sock: socket.socket) -> Request | None:
    """One request, or None if the client left."""
    try:
        return _request(sock)
    except (ConnectionError, ssl.SSLError):
        return None


def _request(sock: socket.socket) -> Request:
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        head += _received(sock, 1)
    line, _, rest = bytes(head).partition(b"\r\n")
    method, target, _ = line.decode().split(" ")
    headers = http.client.parse_headers(io.BytesIO(rest))
    body = bytearray()
    while len(body) < int(headers.get("Content-Length", 0)):
        body += _received(sock, 65536)
    return Request(method, target, headers, bytes(body))


def _received(sock: socket.socket, most: int) -> bytes:
    data = sock.recv(most)
    if not data:
        raise ConnectionResetError("the client left inside its request")
    return data


def head(status: str = "200 OK", **headers: str) -> bytes:
    """A response head; underscores in names become hyphens."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


CHUNKED_HEAD = head(Content_Type="video/webm", x_amzn_RequestId="request-1", Transfer_Encoding="chunked")
LAST_CHUNK = b"0\r\n\r\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def respond(body: bytes = b"", status: str = "200 OK", **headers: str) -> Script:
    """A whole response with a length, then the end of the connection."""

    def script(peer: Peer) -> None:
        peer.send(head(status, Content_Length=str(len(body)), Connection="close", **headers) + body)
        peer.close()

    return script


class Proxy(Server):
    """A forward proxy: CONNECT for tunnels, absolute targets for plain HTTP. ``authorization``: demanded or
    407."""

    def __init__(self, *, authorization: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._relay, tls=tls)
        self._authorization = authorization

    def _relay(self, peer: Peer) -> None:
        request = peer.request
        if (
            self._authorization is not None
            and request.headers.get("Proxy-Authorization") != self._authorization
        ):
            peer.send(head("407 Proxy Authentication Required", Content_Length="0"))
            peer.close()
            return
        if request.method == "CONNECT":
            host, _, port = request.target.rpartition(":")
            with socket.create_connection((host, int(port)), HANG) as upstream:
                peer.send(head("200 Connection established"))
                self._copy(peer.sock, upstream)
            return
        address, _, path = request.target.removeprefix("http://").partition("/")
        host, _, port = address.rpartition(":")
        headers = [
            f"{name}: {value}" for name, value in request.headers.items() if name != "Proxy-Authorization"
        ]
        with socket.create_connection((host, int(port)), HANG) as upstream:
            upstream.sendall("\r\n".join([f"{request.method} /{path} HTTP/1.1", *headers, "", ""]).encode())
            upstream.sendall(request.body)
            self._copy(peer.sock, upstream)

    def _copy(self, client: socket.socket, upstream: socket.socket) -> None:
        other = {client: upstream, upstream: client}
        while True:
            has_pending = isinstance(client, ssl.SSLSocket) and client.pending() > 0
            ready = [client] if has_pending else select.select(list(other), [], [], HANG)[0]
            for sock in ready:
                try:
                    data = sock.recv(65536)
                    if not data:
                        return
                    other[sock].sendall(data)
                except OSError:
                    return
