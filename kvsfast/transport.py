"""One HTTP request over one connection: the only module that knows urllib3 and http.client.

A GetMedia response lasts until somebody hangs up, so there is nothing to pool: what is shared between calls
is the TLS context. The head of a response is read by http.client. Its buffer may hold the first bytes of
the body, which ``detach`` takes out without waiting; from then on bytes go straight from the socket to the
reader's buffer by ``recv_into``. That way a timeout loses nothing and reading may go on, which the buffered
readers of http.client and urllib3 do not allow.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import logging
import math
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3.exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import parse_url
from urllib3.util.ssltransport import SSLTransport

from kvsfast.errors import ConnectFailed, TransportError, TransportTimeout, UsageError
from kvsfast.protocols import Request

__all__ = ["HttpTransport"]

log = logging.getLogger(__name__)


class HttpTransport:
    """Connections by urllib3, directly or through a proxy, with one TLS context for all of them.

    ``verify``: True (the CA bundle of the system), False (no check of certificates), or the path of a CA
    bundle (file or directory). ``client_cert``: path of a PEM file, or (certificate, key). ``proxies``:
    scheme -> proxy URL as in botocore's Config; None reads the environment (HTTPS_PROXY, NO_PROXY ...).
    ``proxies_config``: botocore's proxy_ca_bundle, proxy_client_cert, proxy_use_forwarding_for_https.
    """

    def __init__(
        self,
        *,
        verify: bool | str = True,
        client_cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        proxies_config: Mapping[str, Any] | None = None,
        tcp_keepalive: bool = False,
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
        self._context_lock = threading.Lock()

    def send(self, request: Request, *, connect_timeout: float, response_timeout: float) -> HttpResponse:
        """Connect, send, and read the head of the response. Both timeouts in seconds.

        Raises ConnectFailed (DNS, a refused port, TLS, a proxy that says no), TransportTimeout, or
        TransportError when the connection breaks before the head is complete.
        """
        route = self._route(request.url)
        conn = self._connection(route, connect_timeout)
        try:
            started = time.monotonic()
            _connect(conn, route.where, connect_timeout)
            connected = time.monotonic()
            sock = conn.sock
            sock.settimeout(_seconds(response_timeout))
            head = _exchange(conn, request, route, response_timeout)
            timings = {
                "connect": conn.tcp_connected - started,
                "tls": connected - conn.tcp_connected if route.is_secure else 0.0,
                "first_byte": time.monotonic() - connected,
            }
            return HttpResponse(conn, sock, head, request.url, timings)
        except BaseException:
            conn.close()
            raise

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
        common: dict[str, Any] = {"timeout": _seconds(timeout), "socket_options": self._socket_options}
        proxy = route.proxy
        if proxy is None:
            if route.is_secure:
                return _SecureConnection(route.host, route.port, ssl_context=self._tls_context(), **common)
            return _PlainConnection(route.host, route.port, **common)
        common["proxy"] = parse_url(proxy.geturl())
        conn: _Connection
        if route.is_secure or proxy.scheme == "https":
            proxy_context = self._proxy_tls_context() if proxy.scheme == "https" else None
            common["proxy_config"] = ProxyConfig(proxy_context, route.is_forwarded, None, None)
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
    def proxy_authorization(self) -> dict[str, str]:
        if self.proxy is None or self.proxy.username is None:
            return {}
        name_and_password = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(name_and_password.encode()).decode()}


_MOST_OF_A_RECORD = 16 * 1024  # plaintext of one TLS record (RFC 8446, section 5.1): a read gives no more


class HttpResponse:
    """A response whose head was read; see :class:`kvsfast.protocols.Response`.

    ``timings``: seconds for ``connect`` (TCP, with DNS), ``tls`` (with the proxy's CONNECT) and
    ``first_byte`` (from the request sent to the head read). ``tls``: (version, cipher) or None. ``peer``:
    address and port.
    """

    def __init__(
        self,
        conn: _Connection,
        sock: socket.socket,
        head: http.client.HTTPResponse,
        url: str,
        timings: Mapping[str, float],
    ) -> None:
        self._conn = conn
        self._sock = sock
        self._head = head
        self.status = head.status
        self.reason = head.reason
        self.headers: Mapping[str, str] = _Headers(head.getheaders())
        self.url = url
        # http.client knows only the bare word; "identity, chunked" says the same.
        self.is_chunked = (
            self.headers.get("Transfer-Encoding", "").lower().split(",")[-1].strip() == "chunked"
        )
        self.length = None if self.is_chunked else head.length
        self.timings = timings
        self.peer = conn.peer
        cipher = sock.cipher() if hasattr(sock, "cipher") else None
        self.tls = (cipher[1], cipher[0]) if cipher else None

    @property
    def recv_into(self) -> Callable[[Any], int]:
        receive = self._sock.recv_into
        if self.tls is None:
            return receive
        # A size spares SSLSocket a memoryview per record; what the buffer holds bounds it all the same.
        return lambda buffer: receive(buffer, _MOST_OF_A_RECORD)

    def detach(self) -> bytes:
        timeout = self._sock.gettimeout()
        self._sock.settimeout(0)
        try:
            return self._head.fp.read1()
        except OSError:  # nothing there (SSLWantReadError), or a reset, which the next recv_into meets again
            return b""
        finally:
            self._sock.settimeout(timeout)

    def read_body(self, limit: int, timeout: float) -> bytes:
        until = time.monotonic() + timeout
        body = bytearray()
        try:
            while len(body) < limit and (left := until - time.monotonic()) > 0:
                self._sock.settimeout(left)
                piece = self._head.read1(limit - len(body))
                if not piece:
                    break
                body += piece
        except (OSError, http.client.HTTPException) as error:
            log.debug("the body of the %d response ended after %d bytes: %s", self.status, len(body), error)
        return bytes(body)

    def set_timeout(self, seconds: float) -> None:
        self._sock.settimeout(_seconds(seconds))

    def shutdown(self) -> None:
        sock = self._sock
        while isinstance(sock, SSLTransport):  # TLS to the service inside TLS to the proxy
            sock = sock.socket
        # The plain socket's method: SSLSocket.shutdown would take the TLS object away from the blocked
        # reader.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        self._head.close()
        self._conn.close()
        self._sock.close()


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


class _Timed:
    """Keeps the peer and the moment when TCP was connected, which urllib3 does not tell."""

    tcp_connected: float
    peer: str

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.tcp_connected = time.monotonic()
        address = sock.getpeername()
        self.peer = f"{address[0]}:{address[1]}"
        return sock


class _PlainConnection(_Timed, HTTPConnection):
    pass


class _SecureConnection(_Timed, HTTPSConnection):
    pass


_Connection = _PlainConnection | _SecureConnection
_DEFAULT_PORT = {"http": 80, "https": 443}


def _seconds(timeout: float) -> float | None:
    return None if math.isinf(timeout) else timeout


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


def _connect(conn: _Connection, where: str, timeout: float) -> None:
    try:
        conn.connect()
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


def _exchange(conn: _Connection, request: Request, route: _Route, timeout: float) -> http.client.HTTPResponse:
    headers = {**route.proxy_authorization, **request.headers} if route.is_forwarded else request.headers
    where = route.where
    try:
        conn.putrequest(request.method, route.target)
        for name, value in headers.items():
            conn.putheader(name, value)
        conn.putheader("Content-Length", str(len(request.body)))
        conn.endheaders(request.body)
        # Not urllib3's own getresponse: its response hides the socket.
        return http.client.HTTPConnection.getresponse(conn)
    except TimeoutError as error:
        raise TransportTimeout(f"no answer from {where} within {timeout:g} s") from error
    except http.client.RemoteDisconnected as error:
        raise TransportError(f"{where} closed the connection without an answer") from error
    except http.client.HTTPException as error:
        raise TransportError(f"{where} did not answer in HTTP/1.1: {error!r}") from error
    except OSError as error:
        raise TransportError(f"the connection to {where} broke before the answer: {error}") from error
    except ValueError as error:
        raise UsageError(f"the request cannot be sent: {error}") from error
