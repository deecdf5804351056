"""Heads of HTTP/1.1 messages (RFC 9112): that of a request made, that of a response received.

The bytes of a response's head are collected here, within one time limit, and taken apart by http.client.
"""

from __future__ import annotations

import http.client
import io
import re
import time
from typing import Any

from kvsfast.connection import socket_timeout
from kvsfast.errors import UsageError
from kvsfast.protocols import Request

#: A response's head may be so long, in bytes.
MAX_HEAD = 64 * 1024

# RFC 9110, section 5: a name is a token; a value is visible, with blanks inside.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


def request_head(request: Request, target: str, more: dict[str, str]) -> bytes:
    """The head of a request, with ``more`` headers, Accept-Encoding and Content-Length. UsageError: a header
    cannot be sent."""
    headers = {
        **more,
        "Accept-Encoding": "identity",
        **request.headers,
        "Content-Length": str(len(request.body)),
    }
    for name, value in headers.items():
        if not (_NAME.fullmatch(name) and isinstance(value, str) and _VALUE.fullmatch(value)):
            raise UsageError(
                f"the request cannot be sent: header {name!r} has a value that HTTP cannot carry"
            )
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
    try:
        return "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError as error:
        raise UsageError(f"the request cannot be sent: {error.reason} in its head") from None


_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1[0-9][0-9]\b")


def receive_head(sock: Any, until: float) -> tuple[http.client.HTTPResponse, bytes]:
    """The head of the final response, and what came with it of the body."""
    received = bytearray()
    while True:
        end = _END_OF_HEAD.search(received)
        if end is not None:
            head, rest = bytes(received[: end.end()]), received[end.end() :]
            if not _INTERIM.match(head):
                response = http.client.HTTPResponse(_Canned(head), method="POST")  # type: ignore[arg-type]
                response.begin()
                return response, bytes(rest)
            received = rest  # 100 Continue and the like (RFC 9110, section 15.2)
            continue
        if len(received) > MAX_HEAD:
            raise http.client.HTTPException(f"the head is longer than {MAX_HEAD} bytes")
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(socket_timeout(left))
        piece = sock.recv(16 * 1024)
        if not piece:
            if received:
                raise http.client.HTTPException(f"the head ended after {len(received)} bytes")
            raise http.client.RemoteDisconnected("no answer")
        received += piece


class _Canned:
    """Bytes in the place of a socket, as http.client reads them."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)
