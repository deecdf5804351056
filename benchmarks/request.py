"""A GetMedia request by botocore's signer and http.client: for contenders and the reference, which must not
be kvsfast."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.job import Server

__all__ = ["open_body", "signed"]

#: Seconds without a byte before a contender gives up; the same that kvsfast has by default.
IDLE_TIMEOUT = 60.0


def signed(server: Server) -> tuple[str, dict[str, str], bytes]:
    """URL, headers and body."""
    url = server.media_endpoint_url + "/getMedia"
    body = json.dumps(
        {"StreamName": server.stream, "StartSelector": {"StartSelectorType": "EARLIEST"}}
    ).encode()
    request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
    SigV4Auth(Credentials(server.access_key, server.secret_key), "kinesisvideo", server.region).add_auth(
        request
    )
    return url, dict(request.headers.items()), body


def open_body(server: Server) -> tuple[socket.socket, bytes]:
    """The socket of a response whose head was read, and what of the body came with the head."""
    url, headers, body = signed(server)
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 0)
    sock = socket.create_connection(address, IDLE_TIMEOUT)
    if server.ca is not None:
        sock = ssl.create_default_context(cafile=server.ca).wrap_socket(sock, server_hostname=address[0])
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    received = b""
    while b"\r\n\r\n" not in received:
        piece = sock.recv(4096)
        if not piece:
            raise http.client.RemoteDisconnected(f"no answer after {len(received)} bytes")
        received += piece
    response_head, _, early = received.partition(b"\r\n\r\n")
    if b" 200 " not in response_head.splitlines()[0]:
        raise http.client.HTTPException(response_head.decode("latin-1"))
    return sock, early
