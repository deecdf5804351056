"""Every error and ending of the service, by name: for tests that go through all of them, and for the command.

    @pytest.mark.parametrize("name", PRESETS)
    def test_a_client_survives(name):
        service.faults.plan("front-door", name)

Where an error's text or a spelling is documented or was seen, it is that; docs/emulator.md lists the table.
"""

from __future__ import annotations

from typing import NamedTuple

from kvsfast.emulator.faults import (
    EMPTY_BODY,
    PLACES,
    Broken,
    Cut,
    Drip,
    ErrorDocument,
    Fault,
    HttpError,
    NoAnswer,
    Stall,
)
from kvsfast.tags import IN_STREAM_ERRORS

__all__ = ["PRESETS", "Preset"]


class Preset(NamedTuple):
    """A fault and what it stands for. ``passes``: the same request may well succeed later by itself."""

    fault: Fault
    meaning: str
    passes: bool = True


_CORAL = ":http://internal.amazon.com/coral/com.amazon.coral.service/"
_EXPIRED = (
    "Signature expired: 20240101T000000Z is now earlier than 20240101T000100Z (20240101T000600Z - 5 min.)"
)
_EARLY = (
    "Signature not yet current: 20240101T001200Z is still later than 20240101T001100Z"
    " (20240101T000600Z + 5 min.)"
)
_MISMATCH = "The request signature we calculated does not match the signature you provided."

_HTTP: dict[str, Preset] = {
    # The six that the model of GetMedia names.
    "client-limit": Preset(HttpError("ClientLimitExceededException"), "400, more than five calls a second"),
    "connection-limit": Preset(
        HttpError("ConnectionLimitExceededException"), "400, more than three responses"
    ),
    "invalid-argument": Preset(HttpError("InvalidArgumentException"), "400, a bad parameter", passes=False),
    "invalid-endpoint": Preset(
        HttpError("InvalidEndpointException"), "400, GetDataEndpoint must be asked anew"
    ),
    "not-authorized": Preset(HttpError("NotAuthorizedException"), "401, as in the model", passes=False),
    "resource-not-found": Preset(HttpError("ResourceNotFoundException"), "404, no such stream", passes=False),
    # Their other spellings.
    "not-authorized-403": Preset(
        HttpError("NotAuthorizedException", status=403), "403, as in the model's prose", passes=False
    ),
    "documented-error-header": Preset(
        HttpError("ResourceNotFoundException", error_header="x-amz-ErrorType"),
        "the header's documented spelling, x-amz-ErrorType",
        passes=False,
    ),
    "error-type-suffix": Preset(
        HttpError("ClientLimitExceededException", suffix=_CORAL),
        "the error's name with a suffix after a colon",
    ),
    "type-in-body": Preset(
        HttpError("ClientLimitExceededException", spelling="type", error_header=None),
        "no header, the error's name in __type of the body",
    ),
    "lower-case-message": Preset(
        HttpError("ClientLimitExceededException", message_key="message"), "message instead of Message"
    ),
    # The front door that all AWS services share.
    "access-denied-xml": Preset(
        HttpError(
            "AccessDeniedException",
            "Unable to determine service/operation name to be authorized",
            spelling="xml",
            error_header=None,
        ),
        "403 with XML and no error header: a wrong host or path, or IAM at the front door",
        passes=False,
    ),
    "access-denied": Preset(HttpError("AccessDeniedException"), "403, IAM says no in JSON", passes=False),
    "signature-expired": Preset(
        HttpError("InvalidSignatureException", _EXPIRED), "403, the client's clock is late", passes=False
    ),
    "signature-not-yet-current": Preset(
        HttpError("InvalidSignatureException", _EARLY), "403, the client's clock is early", passes=False
    ),
    "signature-expired-bare": Preset(
        HttpError("InvalidSignatureException", _EXPIRED, error_header=None),
        "the same without an error header",
        passes=False,
    ),
    "invalid-signature": Preset(
        HttpError("InvalidSignatureException", _MISMATCH, suffix=_CORAL),
        "403, a wrong secret, with suffix",
        passes=False,
    ),
    "expired-token": Preset(
        HttpError("ExpiredTokenException", "The security token included in the request is expired"),
        "403, credentials ran out",
        passes=False,
    ),
    "unrecognized-client": Preset(
        HttpError("UnrecognizedClientException"), "403, an unknown key", passes=False
    ),
    "missing-token": Preset(
        HttpError("MissingAuthenticationTokenException"), "403, no signature arrived", passes=False
    ),
    "incomplete-signature": Preset(
        HttpError("IncompleteSignatureException"), "400, a signature that is none", passes=False
    ),
    "request-expired": Preset(HttpError("RequestExpired"), "400, the request came too late", passes=False),
    # The service is busy or broken.
    "throttling": Preset(HttpError("ThrottlingException"), "400, AWS's general throttling"),
    "throttling-retry-after": Preset(
        HttpError("ThrottlingException", retry_after=1), "throttling with a Retry-After header"
    ),
    "internal-failure": Preset(HttpError("InternalFailure"), "500"),
    "service-unavailable": Preset(HttpError("ServiceUnavailable"), "503"),
    "service-unavailable-retry-after": Preset(
        HttpError("ServiceUnavailable", retry_after=1), "503 with a Retry-After header"
    ),
    "error-empty-body": Preset(
        HttpError("InternalFailure", spelling="empty", error_header=None), "500 and nothing else"
    ),
    "error-html-body": Preset(
        HttpError("Bad Gateway", status=502, spelling="html", error_header=None),
        "502 with a proxy's HTML page",
    ),
    "error-garbage-body": Preset(
        HttpError("ServiceUnavailable", spelling="garbage", error_header=None),
        "503 with bytes that are no text",
    ),
}

_CONNECTION: dict[str, Preset] = {
    "no-answer-close": Preset(NoAnswer("close"), "the connection is closed in place of an answer"),
    "no-answer-fin": Preset(NoAnswer("fin"), "the same without TLS's close_notify"),
    "no-answer-reset": Preset(NoAnswer("reset"), "the connection is reset in place of an answer"),
    "no-answer-alert": Preset(NoAnswer("alert"), "a TLS alert in place of an answer"),
    "no-answer-half-close": Preset(NoAnswer("half-close"), "FIN in place of an answer, the rest stays open"),
    "no-answer-stall": Preset(NoAnswer("stall"), "no answer, and the connection stays open"),
}

_WHERE = {
    "header": "in-header",
    "tags": "in-tags",
    "frame": "in-frame",
    "trailer": "in-trailer",
    "end": "after-fragment",
}
_ENDINGS: dict[str, Preset] = {
    "empty-body": Preset(EMPTY_BODY, "200 and a body without a byte"),
    **{
        f"eof-{_WHERE[place]}": Preset(Cut("eof", inside=place), "the HTTP body ends well")
        for place in PLACES
    },
    **{
        f"close-{_WHERE[place]}": Preset(Cut("close", inside=place), "closed inside an HTTP chunk")
        for place in PLACES[:-1]
    },
    "no-terminal-chunk": Preset(
        Cut("close", inside="end"), "closed after a fragment without the last HTTP chunk"
    ),
    **{f"reset-{_WHERE[place]}": Preset(Cut("reset", inside=place), "RST") for place in PLACES},
    "half-close": Preset(Cut("half-close"), "FIN inside a frame; the connection and its slot stay"),
    "tls-no-close-notify": Preset(Cut("fin"), "FIN inside a frame without close_notify"),
    "tls-no-close-notify-after-fragment": Preset(Cut("fin", inside="end"), "the same after a fragment"),
    "tls-alert": Preset(Cut("alert"), "a fatal TLS alert inside a frame"),
    "stall": Preset(Stall(), "nothing comes any more, from a frame on"),
    "stall-after-fragment": Preset(Stall(inside="end"), "the same after a fragment"),
    "pause": Preset(Stall(0.2), "nothing comes for 0.2 seconds, then it goes on"),
    "drip": Preset(Drip(0.002, 50), "50 bytes one by one, then it goes on"),
}

_BROKEN: dict[str, Preset] = {
    **{
        f"broken-{_WHERE[place].removeprefix('in-')}": Preset(
            Broken(inside=place), "bytes that are no element"
        )
        for place in PLACES[:-1]
    },
    "broken-framing": Preset(Broken(what="framing"), "a chunk size that is no number"),
}

#: Asked for a fragment that is not there, more of the same does not help; the client must start elsewhere.
_LASTING = {4000}
#: No such number is known to anyone.
_UNKNOWN_ID = 31337
_DOCUMENTS: dict[str, Preset] = {
    **{
        f"in-stream-{number}": Preset(ErrorDocument(number, code), meaning, passes and number not in _LASTING)
        for number, (code, meaning, passes) in IN_STREAM_ERRORS.items()
    },
    "in-stream-unknown": Preset(
        ErrorDocument(_UNKNOWN_ID, "SOMETHING_NEW"), "a number nobody knows", passes=False
    ),
    "in-stream-exception-names": Preset(
        ErrorDocument(5000, "internal error", names="exception"), "5000 under the other documented tag names"
    ),
}

#: Name -> what it is.
PRESETS: dict[str, Preset] = {**_HTTP, **_CONNECTION, **_ENDINGS, **_BROKEN, **_DOCUMENTS}
