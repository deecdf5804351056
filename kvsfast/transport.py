"""One HTTP request over one connection, which urllib3 makes, proxies and tunnels included.

The head of a response is received whole, and what came with it of the body is kept for ``detach``. From
then on bytes go straight from the socket to the reader's buffer by ``recv_into``. That way a timeout loses
nothing and reading may go on, which the buffered readers of http.client and urllib3 do not allow.

A GetMedia response lasts until somebody hangs up, and so does its connection. That of an error is kept for
the next request, so that retries need no new TLS handshake.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import math
import os
import socket
import ssl
import threading
import time
import urllib.request
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3.exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import parse_url

from kvsfast.connection import HttpResponse, Idle, Line, socket_timeout
from kvsfast.errors import ConnectFailed, TransportError, TransportTimeout, UsageError
from kvsfast.forking import survive_fork
from kvsfast.http_head import receive_head, request_head
from kvsfast.protocols import Request
from kvsfast.tls import TlsSocket

__all__ = ["HttpTransport"]


class HttpTransport:
    """Connections by urllib3, directly or through a proxy, with one TLS context for all of them.

    ``verify``: True (the CA bundle of the system), False (no check of certificates), or the path of a CA
    bundle (file or directory). ``client_cert``: path of a PEM file, or (certificate, key). ``proxies``:
    scheme -> proxy URL as in botocore's Config; None reads the environment (HTTPS_PROXY, NO_PROXY ...).
    ``proxies_config``: botocore's proxy_ca_bundle, proxy_client_cert, proxy_use_forwarding_for_https.
    ``max_idle``: unused connections that are kept at most.
    """

    def __init__(
        self,
        *,
        verify: bool | str = True,
        client_cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        proxies_config: Mapping[str, Any] | None = None,
        tcp_keepalive: bool = False,
        max_idle: int = 10,
    ) -> None:
        self._verify = verify
        self._client_cert = client_cert
        self._proxies = proxies
        self._proxies_config = dict(proxies_config or {})
        self._socket_options: list[tuple[int, int, int | bytes]] = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ]
        if tcp_keepalive:
            self._socket_options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        self._context: ssl.SSLContext | None = None
        self._proxy_context: ssl.SSLContext | None = None
        self._idle = Idle(max_idle)
        weakref.finalize(self, self._idle.clear)
        self.after_fork()
        survive_fork(self)

    def after_fork(self) -> None:
        """A child makes connections of its own."""
        self._context_lock = threading.Lock()
        self._idle.after_fork()

    def send(self, request: Request, *, connect_timeout: float, response_timeout: float) -> HttpResponse:
        """Connect, send, and read the head of the response. Both timeouts in seconds.

        Raises ConnectFailed (DNS, a refused port, TLS, a proxy that says no), TransportTimeout, or
        TransportError when the connection breaks before the head is complete.
        """
        route = self._route(request.url)
        head = request_head(request, route.target, route.headers)
        while (line := self._idle.take(route.key)) is not None:
            try:
                return self._exchange(line, head, request, route, response_timeout)
            except TransportTimeout:
                raise
            except TransportError:
                continue  # it ended while nobody looked; nothing of an answer was there
        line = self._connect(route, connect_timeout)
        return self._exchange(line, head, request, route, response_timeout)

    def close(self) -> None:
        """Close the connections that nobody uses. Open responses go on, and so may the transport."""
        self._idle.clear()

    def _exchange(
        self, line: Line, head: bytes, request: Request, route: _Route, timeout: float
    ) -> HttpResponse:
        sent_at = time.monotonic()
        until = sent_at + timeout
        try:
            with _answer_errors(route.where, timeout):
                line.sock.settimeout(socket_timeout(timeout))
                line.sock.sendall(head + request.body)
                answer, early = receive_head(line.sock, until)
            timings = {**line.timings, "first_byte": time.monotonic() - sent_at}
            line.timings = {"connect": 0.0, "tls": 0.0}  # of the next request
            return HttpResponse(line, answer, early, url=request.url, timings=timings, idle=self._idle)
        except BaseException:
            line.close()
            raise

    def _connect(self, route: _Route, timeout: float) -> Line:
        context = self._tls_context() if route.is_secure else None
        started = time.monotonic()
        conn = self._connection(route, timeout)
        sock: Any = None
        try:
            with _connect_errors(route.where, timeout):
                conn.connect()
                sock, conn.sock = conn.sock, None
                if context is not None and isinstance(conn, _PlainConnection):
                    left = timeout - (time.monotonic() - started) if timeout < math.inf else math.inf
                    sock.settimeout(max(0.001, left) if left < math.inf else None)
                    sock = TlsSocket(sock, context, server_hostname=route.host.rstrip("."))
        except BaseException:
            conn.close()
            if sock is not None:
                sock.close()
            raise
        connected = time.monotonic()
        timings = {
            "connect": conn.tcp_connected - started,
            "tls": connected - conn.tcp_connected if route.is_secure else 0.0,
        }
        return Line(route.key, sock, conn.peer, timings)

    def _route(self, target: str) -> _Route:
        url = urlsplit(target)
        proxy = self._proxy_for(url)
        by_config = bool(self._proxies_config.get("proxy_use_forwarding_for_https"))
        return _Route(
            url,
            proxy,
            is_forwarded=proxy is not None
            and (url.scheme == "http" or (proxy.scheme == "https" and by_config)),
        )

    def _connection(self, route: _Route, timeout: float) -> _Connection:
        common: dict[str, Any] = {"timeout": socket_timeout(timeout), "socket_options": self._socket_options}
        proxy = route.proxy
        if proxy is None:
            return _PlainConnection(route.host, route.port, **common)
        common["proxy"] = parse_url(proxy.geturl())
        conn: _Connection
        if proxy.scheme == "https":
            # Two layers of TLS, or one that ends at the proxy: urllib3 makes both.
            common["proxy_config"] = ProxyConfig(self._proxy_tls_context(), route.is_forwarded, None, None)
            conn = _SecureConnection(
                proxy.hostname or "", proxy.port, ssl_context=self._tls_context(), **common
            )
        else:
            conn = _PlainConnection(proxy.hostname or "", proxy.port, **common)
        if not route.is_forwarded:
            conn.set_tunnel(route.host, route.port, route.proxy_authorization, scheme=proxy.scheme)
        return conn

    def _proxy_for(self, url: SplitResult) -> SplitResult | None:
        if self._proxies is not None:
            proxy = self._proxies.get(url.scheme)
        elif urllib.request.proxy_bypass(url.netloc):
            proxy = None
        else:
            proxy = urllib.request.getproxies().get(url.scheme)
        if not proxy:
            return None
        parts = urlsplit(proxy if "://" in proxy else "http://" + proxy.removeprefix("//"))
        if parts.scheme not in _DEFAULT_PORT or not parts.hostname:
            raise UsageError(f"the proxy for {url.scheme} is not a URL http://host:port or https://host:port")
        if parts.port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{_DEFAULT_PORT[parts.scheme]}")
        return parts

    def _tls_context(self) -> ssl.SSLContext:
        with self._context_lock:
            if self._context is None:
                self._context = _tls_context(
                    verify=self._verify, client_cert=self._client_cert, names=("verify", "client_cert")
                )
            return self._context

    def _proxy_tls_context(self) -> ssl.SSLContext:
        with self._context_lock:
            if self._proxy_context is None:
                self._proxy_context = _tls_context(
                    verify=self._proxies_config.get("proxy_ca_bundle") or self._verify,
                    client_cert=self._proxies_config.get("proxy_client_cert"),
                    names=("proxy_ca_bundle", "proxy_client_cert"),
                )
            return self._proxy_context


@dataclass(frozen=True, slots=True)
class _Route:
    """The way to a URL: directly, or through a proxy, which forwards the request or opens a tunnel."""

    url: SplitResult
    proxy: SplitResult | None
    is_forwarded: bool

    @property
    def key(self) -> tuple[str, ...]:
        """Requests of equal keys may go over one connection."""
        proxy = "" if self.proxy is None else self.proxy.geturl()
        return self.url.scheme, self.host, str(self.port), proxy, str(self.is_forwarded)

    @property
    def is_secure(self) -> bool:
        return self.url.scheme == "https"

    @property
    def host(self) -> str:
        return self.url.hostname or ""

    @property
    def port(self) -> int:
        return self.url.port or _DEFAULT_PORT[self.url.scheme]

    @property
    def where(self) -> str:
        """For messages: without what a proxy's URL may hold of secrets."""
        through = f" through the proxy {self.proxy.hostname}:{self.proxy.port}" if self.proxy else ""
        return f"{self.host}:{self.port}{through}"

    @property
    def target(self) -> str:
        return self.url.geturl() if self.is_forwarded else self.url.path or "/"

    @property
    def headers(self) -> dict[str, str]:
        """Those that depend on the way. Host is as it is signed: without a port that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != _DEFAULT_PORT[self.url.scheme]:
            host = f"{host}:{self.port}"
        return {"Host": host, **(self.proxy_authorization if self.is_forwarded else {})}

    @property
    def proxy_authorization(self) -> dict[str, str]:
        if self.proxy is None or self.proxy.username is None:
            return {}
        name_and_password = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(name_and_password.encode()).decode()}


class _Timed:
    """Keeps the peer and the moment when TCP was connected, which urllib3 does not tell."""

    tcp_connected: float
    peer: str

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.tcp_connected = time.monotonic()
        try:
            address = sock.getpeername()
        except OSError:  # it has been reset already, and nobody else knows the socket yet
            sock.close()
            raise
        self.peer = f"{address[0]}:{address[1]}"
        return sock


class _PlainConnection(_Timed, HTTPConnection):
    pass


class _SecureConnection(_Timed, HTTPSConnection):
    pass


_Connection = _PlainConnection | _SecureConnection
_DEFAULT_PORT = {"http": 80, "https": 443}


def _tls_context(
    *, verify: bool | str, client_cert: str | tuple[str, str] | None, names: tuple[str, str]
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif verify is True:
        context.load_default_certs()
    else:
        try:
            if os.path.isdir(verify):
                context.load_verify_locations(capath=verify)
            else:
                context.load_verify_locations(cafile=verify)
        except OSError as error:
            raise UsageError(f"{names[0]}: {verify!r} cannot be read as a CA bundle: {error}") from error
    if client_cert is not None:
        cert, key = (client_cert, None) if isinstance(client_cert, str) else client_cert
        try:
            context.load_cert_chain(cert, key)
        except OSError as error:
            raise UsageError(
                f"{names[1]}: {cert!r} cannot be read as a certificate with key: {error}"
            ) from error
    return context


@contextlib.contextmanager
def _connect_errors(where: str, timeout: float) -> Iterator[None]:
    """What can go wrong until there is a connection, with what to do about it."""
    try:
        yield
    except urllib3.exceptions.NewConnectionError as error:  # in urllib3 a kind of ConnectTimeoutError
        if isinstance(error, urllib3.exceptions.NameResolutionError):
            reason = "the name is not known; check host, region and DNS"
        else:
            reason = f"{error.__cause__}; check host, port and that the service runs"
        raise ConnectFailed(f"cannot connect to {where}: {reason}") from error
    except (urllib3.exceptions.ConnectTimeoutError, TimeoutError) as error:
        raise TransportTimeout(
            f"cannot connect to {where} within connect_timeout={timeout:g} s; check the network and firewalls"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise ConnectFailed(
            f"cannot connect to {where}: the certificate was refused ({error.verify_message}); "
            "check the host name, verify= and AWS_CA_BUNDLE",
            retryable=False,
        ) from error
    except ssl.SSLError as error:
        raise ConnectFailed(
            f"cannot connect to {where}: TLS failed ({error.reason or error}); check that the port speaks TLS"
        ) from error
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
        proxy_refused = "Tunnel connection failed: 4" in str(error)
        raise ConnectFailed(
            f"cannot connect to {where}: {error}; check the proxy and the network",
            retryable=not proxy_refused,
        ) from error


@contextlib.contextmanager
def _answer_errors(where: str, timeout: float) -> Iterator[None]:
    """What can go wrong from then on until the head of the response is there."""
    try:
        yield
    except TimeoutError as error:
        raise TransportTimeout(f"no answer from {where} within {timeout:g} s") from error
    except http.client.RemoteDisconnected as error:
        raise TransportError(f"{where} closed the connection without an answer") from error
    except http.client.HTTPException as error:
        raise TransportError(f"{where} did not answer in HTTP/1.1: {error!r}") from error
    except OSError as error:
        raise TransportError(f"the connection to {where} broke before the answer: {error}") from error
