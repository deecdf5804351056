"""Every error that kvsfast raises, by whose fault it is.

    KvsFastError
      UsageError            the caller: a bad argument, a closed stream            (also ValueError)
      CredentialsError      no credentials: the chain is empty, SSO expired, IMDS unreachable
      MediaError            the bytes break the grammar: .offset, .path
        TruncatedMedia      the body ended inside an element
        LimitExceeded       .declared, .limit, .name
      ServiceError          the service said no: .code .status .request_id .retryable .response
                                                                     (also botocore's ClientError)
        ClientLimitExceededException, ConnectionLimitExceededException, InvalidArgumentException,
        InvalidEndpointException, NotAuthorizedException, ResourceNotFoundException
        InStreamError       written by the service into the media: .error_id .error_code .fragment_number
      TransportError        the wire; __cause__ is the original
        TransportTimeout    (also TimeoutError)
        ConnectFailed       (also ConnectionError)
        StreamClosed        close() was called
      ResumeFailed          a session gave up: .attempts, .last_token
        GapError            media is missing, and gaps="raise": .gap
      CheckpointError       a checkpoint cannot be read or written
        LeaseLost           another owner has the stream

Each carries its data as attributes and survives pickling and copying with class and fields.
"""

from __future__ import annotations

from typing import Any, ClassVar

from botocore.exceptions import ClientError

__all__ = [
    "CheckpointError",
    "ClientLimitExceededException",
    "ConnectFailed",
    "ConnectionLimitExceededException",
    "CredentialsError",
    "GapError",
    "InStreamError",
    "InvalidArgumentException",
    "InvalidEndpointException",
    "KvsFastError",
    "LeaseLost",
    "LimitExceeded",
    "MediaError",
    "NotAuthorizedException",
    "ResourceNotFoundException",
    "ResumeFailed",
    "ServiceError",
    "StreamClosed",
    "TransportError",
    "TransportTimeout",
    "TruncatedMedia",
    "UsageError",
]


def _rebuild(cls: type[KvsFastError], args: tuple[Any, ...], state: dict[str, Any]) -> KvsFastError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class KvsFastError(Exception):
    """Base of all errors of kvsfast."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The constructors take keywords, which Exception's own reduction would lose.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class UsageError(KvsFastError, ValueError):
    """The caller asked for something that cannot be: a bad argument, a closed stream, a second mode."""


class CredentialsError(KvsFastError):
    """No usable credentials were found; nothing was sent."""


class MediaError(KvsFastError):
    """The bytes break the EBML or Matroska grammar (RFC 8794, RFC 9559).

    ``offset``: byte position in the media from the first byte received.
    ``path``: names of the open elements, outermost first, e.g. ``("Segment", "Cluster")``.
    """

    offset: int
    path: tuple[str, ...]

    def __init__(self, message: str, *, offset: int = 0, path: tuple[str, ...] = ()) -> None:
        where = "\\".join(path) or "document"
        super().__init__(f"{message} (at byte {offset} in {where})")
        self.offset = offset
        self.path = path


class TruncatedMedia(MediaError):
    """The body ended inside an element (raised only by ``strict=True``)."""


class LimitExceeded(MediaError):
    """Something declared or received is larger than a limit of :class:`kvsfast.Limits`.

    ``name``: the limit's name; ``declared``: what the media asked for; ``limit``: what is allowed.
    """

    name: str
    declared: int
    limit: int

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        declared: int = 0,
        limit: int = 0,
        offset: int = 0,
        path: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{message}: {declared} > {name}={limit}", offset=offset, path=path)
        self.name = name
        self.declared = declared
        self.limit = limit


class ServiceError(KvsFastError, ClientError):
    """The service refused. A ``ClientError`` of botocore, so that ``except`` clauses can be ported.

    ``code``: the service's error name; ``status``: HTTP status; ``message``: the service's words;
    ``request_id``; ``retryable``: whether the same request may succeed later; ``retry_after``: seconds
    the service asked to wait, or None; ``response``: botocore's dict of the error.
    """

    code: str
    status: int
    message: str
    request_id: str
    retryable: bool
    retry_after: float | None
    response: dict[str, Any]  # type: ignore[assignment]  # botocore's stub has a TypedDict

    #: The default of ``retryable`` for this class.
    RETRYABLE: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "Unknown",
        status: int = 0,
        request_id: str = "",
        retryable: bool | None = None,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
        operation_name: str = "GetMedia",
    ) -> None:
        response = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "RequestId": request_id,
                "HTTPStatusCode": status,
                "HTTPHeaders": dict(headers or {}),
                "RetryAttempts": 0,
            },
        }
        ClientError.__init__(self, response, operation_name)  # type: ignore[arg-type]
        self.code = code
        self.status = status
        self.message = message
        self.request_id = request_id
        self.retryable = type(self).RETRYABLE if retryable is None else retryable
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return KvsFastError.__reduce__(self)


class ClientLimitExceededException(ServiceError):
    """More than five GetMedia calls a second on the stream."""

    RETRYABLE = True


class ConnectionLimitExceededException(ServiceError):
    """More than three open GetMedia connections on the stream."""

    RETRYABLE = True


class InvalidArgumentException(ServiceError):
    """A parameter is not valid."""


class InvalidEndpointException(ServiceError):
    """The stream's data endpoint has moved; asking GetDataEndpoint again helps."""

    RETRYABLE = True


class NotAuthorizedException(ServiceError):
    """The caller may not read this stream, or the token has expired."""


class ResourceNotFoundException(ServiceError):
    """No such stream."""


class InStreamError(ServiceError):
    """An error that the service wrote into the media after a 200, as ``AWS_KINESISVIDEO_ERROR_*`` tags.

    ``error_id``: the number (3002, 4000, 4500 ...; -1 if it was not told); ``error_code``: the name;
    ``fragment_number``: the fragment it speaks of, or None.
    """

    error_id: int
    error_code: str
    fragment_number: str | None

    def __init__(
        self,
        message: str = "",
        *,
        error_id: int = -1,
        error_code: str = "",
        fragment_number: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, code=error_code or str(error_id), status=200, retryable=retryable)
        self.error_id = error_id
        self.error_code = error_code
        self.fragment_number = fragment_number


class TransportError(KvsFastError):
    """The wire failed: a reset, a body cut short, broken HTTP framing. ``__cause__`` is the original.

    ``retryable``: whether a new connection may succeed.
    """

    retryable: bool

    def __init__(self, message: str = "", *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class TransportTimeout(TransportError, TimeoutError):
    """Nothing came for ``idle_timeout`` seconds, or connecting took too long. Reading may go on."""


class ConnectFailed(TransportError, ConnectionError):
    """No connection: DNS, a refused port, a TLS refusal, a proxy that says no."""


class StreamClosed(TransportError):
    """``close()`` was called, maybe from another thread."""

    def __init__(self, message: str = "the stream was closed") -> None:
        super().__init__(message, retryable=False)


class ResumeFailed(KvsFastError):
    """A session gave up reconnecting.

    ``attempts`` made, ``last_token`` to go on from; ``__cause__`` says why.
    """

    attempts: int
    last_token: str | None

    def __init__(self, message: str, *, attempts: int = 0, last_token: str | None = None) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.last_token = last_token


class GapError(ResumeFailed):
    """The service no longer has media that a session has not delivered (``gaps="raise"``).

    ``gap``: the :class:`kvsfast.Gap`, which says between which fragments.
    """

    gap: Any

    def __init__(self, gap: Any, *, last_token: str | None = None) -> None:
        super().__init__(
            f"media is missing behind fragment {gap.after or '-'}, up to {gap.before or '-'} ({gap.reason})",
            last_token=last_token,
        )
        self.gap = gap


class CheckpointError(KvsFastError):
    """A checkpoint cannot be read or written; ``__cause__`` says why."""


class LeaseLost(CheckpointError):
    """The stream belongs to another owner by now. Nothing was written, and reading must stop."""
