"""The parts of a call that can be exchanged, as protocols: any object of the same shape will do.

Signer             signs a request                         default: kvsfast.signer.SigV4
Transport          sends a request, gives the response     default: kvsfast.transport.HttpTransport
RetryPolicy        a failure -> wait, or give up           default: kvsfast.retry.StandardRetry
EndpointResolver   a stream -> where its media is served   default: GetDataEndpoint, cached
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kvsfast.errors import KvsFastError

__all__ = [
    "Credentials",
    "CredentialsProvider",
    "Endpoint",
    "EndpointResolver",
    "Request",
    "Response",
    "RetryPolicy",
    "Signer",
    "Transport",
]


class Credentials(Protocol):
    """Keys at one moment (botocore's ReadOnlyCredentials). Never logged."""

    @property
    def access_key(self) -> str | None: ...
    @property
    def secret_key(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...


class CredentialsProvider(Protocol):
    """What gives credentials and refreshes them (botocore's Credentials). Asked before each attempt."""

    def get_frozen_credentials(self) -> Credentials:
        """The credentials that are valid now."""


@dataclass(slots=True)
class Request:
    """An HTTP request. Hooks may add and change headers; those that are there when it is signed are signed.

    Host, Accept-Encoding and Content-Length are added when it is sent.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Response(Protocol):
    """A response whose head was read and whose body was not.

    The body is read in one of two ways: ``read_body`` for a short one, or, once ``detach`` gave what had
    come with the head, ``recv_into`` straight from the socket. It is framed as ``is_chunked`` and
    ``length`` say; with neither it ends when the peer closes.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    url: str
    is_chunked: bool
    length: int | None
    peer: str
    tls: tuple[str, str] | None
    timings: Mapping[str, float]

    @property
    def recv_into(self) -> Callable[[Any], int]:
        """The socket's own method: bytes received, 0 when the peer closed; TimeoutError, OSError."""

    def detach(self) -> bytes:
        """The raw body bytes that came with the head, maybe none. Never waits."""

    def read_body(self, limit: int, timeout: float) -> bytes:
        """At most ``limit`` bytes of the body, as far as they came within ``timeout`` seconds."""

    def set_timeout(self, seconds: float) -> None:
        """How long one ``recv_into`` may wait (``math.inf``: for ever)."""

    def shutdown(self) -> None:
        """End the connection under a reader that may be blocked in ``recv_into``: it sees the end at once."""

    def close(self) -> None:
        """Give the socket back. Idempotent; not while another thread is in ``recv_into``."""


class Transport(Protocol):
    """Sends one request over one connection. Safe for use by many threads."""

    def send(self, request: Request, *, connect_timeout: float, response_timeout: float) -> Response:
        """The response, its head read. Seconds each; ``math.inf`` waits for ever.

        Raises ConnectFailed, TransportTimeout or TransportError.
        """


class Signer(Protocol):
    """Adds to a request what proves who sends it."""

    def sign(self, request: Request, credentials: Credentials, *, region: str, service: str) -> None:
        """Called once for each attempt, the request unsigned, the credentials fresh."""


class RetryPolicy(Protocol):
    """Which failures are worth another attempt, and when."""

    @property
    def max_attempts(self) -> int:
        """Attempts in all, the first included."""

    def delay(self, attempt: int, error: KvsFastError) -> float | None:
        """Seconds to wait after attempt number ``attempt`` (from 1) failed with ``error``; None: give up."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the media of a stream is served, and for whom requests to it are signed.

    ``headers`` are added to each request. ``signing_region`` None: the client's region.
    """

    url: str
    signing_region: str | None = None
    signing_name: str = "kinesisvideo"
    headers: Mapping[str, str] = field(default_factory=dict)


class EndpointResolver(Protocol):
    """Finds the data endpoint of a stream. A plain function of this shape fits."""

    def __call__(self, stream: str, *, region: str) -> Endpoint:
        """``stream``: a name or an ARN, already checked. Called before each attempt."""
