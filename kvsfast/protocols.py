"""The parts of a call that can be exchanged, as protocols: any object of the same shape will do.

Signer             signs a request                         default: kvsfast.signer.SigV4
Transport          sends a request, gives the response     default: kvsfast.transport.HttpTransport
RetryPolicy        a failure -> wait, or give up           default: kvsfast.retry.StandardRetry
EndpointResolver   a stream -> where its media is served   default: GetDataEndpoint, cached
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from kvsfast.errors import KvsFastError, UsageError

__all__ = [
    "Credentials",
    "CredentialsProvider",
    "Endpoint",
    "EndpointOptions",
    "EndpointResolver",
    "Request",
    "Response",
    "RetryPacing",
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

    ``detach`` gives what of the body had come with the head, ``recv_into`` the rest, straight from the
    socket. It is framed as ``is_chunked`` and ``length`` say; with neither it ends when the peer closes.
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
        """The socket's own method: bytes received, 0 when the peer closed; TimeoutError, OSError, and
        BlockingIOError where it may not wait and nothing is there."""

    def detach(self) -> bytes:
        """The raw body bytes that came with the head, maybe none. Never waits."""

    def fileno(self) -> int:
        """The socket's descriptor, for who waits in a loop of readiness (asyncio, selectors)."""

    def pending(self) -> int:
        """Bytes, at most, that ``recv_into`` gives without asking the network, or 1 for an end that has come;
        0: what comes next makes the descriptor readable."""

    def set_timeout(self, seconds: float) -> None:
        """How long one ``recv_into`` may wait (``math.inf``: for ever; 0: not at all)."""

    def shutdown(self) -> None:
        """End the connection under a reader that may be blocked in ``recv_into``: it sees the end at once."""

    def finish(self) -> None:
        """The body was read to its end: instead of ``close``, the connection may be kept for the next
        request."""

    def close(self) -> None:
        """Close the connection. Idempotent; not while another thread is in ``recv_into``."""


class Transport(Protocol):
    """Sends one request over one connection. Safe for use by many threads."""

    def send(self, request: Request, *, connect_timeout: float, response_timeout: float) -> Response:
        """The response, its head read whole within ``response_timeout``. Seconds each; ``math.inf`` waits
        for ever.

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


@runtime_checkable
class RetryPacing(Protocol):
    """What a retry policy may do besides: hold attempts back, and learn from what worked."""

    def hold(self) -> float:
        """Seconds to wait before the next attempt is sent; 0: it counts as sent now. Asked before each
        attempt, and again after each wait."""

    def succeeded(self, after: KvsFastError | None) -> None:
        """A call got its response. ``after``: the failure of the attempt before, None if it was the first."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the media of a stream is served, and for whom requests to it are signed.

    ``headers`` are added to each request. ``signing_region`` None: the client's region.
    """

    url: str
    signing_region: str | None = None
    signing_name: str = "kinesisvideo"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """What is asked of an endpoint. For the control plane, botocore's rules hold (FIPS hosts, dual stack,
    GovCloud, China); the data endpoint is what the control plane answers.

    ``disable_https``: plain HTTP. ``fips``, ``dual_stack``: hosts of that kind. ``stream``: name or ARN of
    the stream whose endpoint is looked for, set for each call.
    """

    disable_https: bool = False
    fips: bool = False
    dual_stack: bool = False
    stream: str = ""

    def __post_init__(self) -> None:
        for name in ("disable_https", "fips", "dual_stack"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected True or False")


class EndpointResolver(Protocol):
    """Finds the data endpoint of a stream. A plain function of this shape fits."""

    def __call__(self, region: str, options: EndpointOptions) -> Endpoint:
        """``options.stream``: a name or an ARN, already checked. Called before each attempt; may block."""
