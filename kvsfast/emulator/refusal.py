"""The service says no: its error names, their HTTP status, and the several ways in which it spells them."""

from __future__ import annotations

import json
from typing import Literal, get_args

from kvsfast.errors import UsageError

__all__ = ["ERRORS", "Refusal", "Spelling", "unknown_operation"]

#: Names of errors -> (HTTP status, written by the front door). GetMedia's own errors say ``Message``, those
#: of the front door that all AWS services share say ``message``.
ERRORS: dict[str, tuple[int, bool]] = {
    "ClientLimitExceededException": (400, False),
    "ConnectionLimitExceededException": (400, False),
    "InvalidArgumentException": (400, False),
    "InvalidEndpointException": (400, False),
    "NotAuthorizedException": (401, False),
    "ResourceNotFoundException": (404, False),
    "AccessDeniedException": (403, False),
    "SerializationException": (400, False),
    "ThrottlingException": (400, False),
    "InternalFailure": (500, False),
    "ServiceUnavailable": (503, False),
    "RequestExpired": (400, False),
    "IncompleteSignatureException": (400, True),
    "MissingAuthenticationTokenException": (403, True),
    "InvalidSignatureException": (403, True),
    "UnrecognizedClientException": (403, True),
    "ExpiredTokenException": (403, True),
}

Spelling = Literal["json", "type", "xml", "html", "garbage", "empty"]

#: What a proxy or a load balancer in front of the service may say.
_HTML = "<html><head><title>{status}</title></head><body><h1>{status} {code}</h1>{message}</body></html>\n"
#: No text in any encoding that a client would try.
_GARBAGE = bytes(range(0x80, 0x100)) + b"\0{"


class Refusal(Exception):
    """An HTTP error response. A name that is not in ERRORS needs a status.

    ``error_header``: the header that names the error, or None for no such header. ``suffix``: what the
    service sometimes puts behind the name, e.g. ``:http://internal.amazon.com/coral/``. ``spelling`` of the
    body: "json"; "type", JSON that has the error's name in ``__type``; the front door's "xml"; "html" as of a
    proxy; "garbage", bytes that are no text; "empty", no body at all. ``message_key``: ``Message`` or
    ``message``, by default as the error is known for. ``retry_after``: seconds, sent as Retry-After.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int | None = None,
        spelling: Spelling = "json",
        error_header: str | None = "x-amzn-ErrorType",
        suffix: str = "",
        message_key: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        if status is None and code not in ERRORS:
            raise UsageError(f"{code!r} needs a status: it is none of {', '.join(ERRORS)}")
        if spelling not in get_args(Spelling):
            raise UsageError(f"spelling is {spelling!r}, expected one of {', '.join(get_args(Spelling))}")
        known_status, by_front_door = ERRORS.get(code, (0, False))
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = known_status if status is None else status
        self.headers: dict[str, str] = {}
        if error_header is not None:
            self.headers[error_header] = code + suffix
        if retry_after is not None:
            self.headers["Retry-After"] = f"{retry_after:g}"
        told = {message_key or ("message" if by_front_door else "Message"): message}
        match spelling:
            case "json" | "type":
                self.headers["Content-Type"] = "application/json"
                name = {"__type": code + suffix} if spelling == "type" else {}
                self.body = json.dumps({**name, **told}).encode()
            case "xml":
                self.body = f"<{code}>\n  <Message>{message}</Message>\n</{code}>\n".encode()
            case "html":
                self.headers["Content-Type"] = "text/html"
                self.body = _HTML.format(status=self.status, code=code, message=message).encode()
            case "garbage":
                self.body = _GARBAGE
            case "empty":
                self.body = b""


def unknown_operation() -> Refusal:
    """What a host says that does not serve the operation, e.g. to GetMedia at a guessed endpoint."""
    return Refusal(
        "AccessDeniedException",
        "Unable to determine service/operation name to be authorized",
        spelling="xml",
        error_header=None,
    )
