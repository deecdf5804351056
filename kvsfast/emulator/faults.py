"""What can go wrong: HTTP errors, no answer at all, and the ways in which a response can end badly or be
broken.

    service.faults.plan("front-door", Cut("reset", inside="frame", fragment=2))
    service.faults.plan("front-door", HttpError("InternalFailure"), times=3)
    service.faults.plan("front-door", "tls-alert")                     # by name, see presets

These are values and say only what happens; :mod:`plans` says to whom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from kvsfast.emulator.connection import Leaving
from kvsfast.emulator.refusal import Refusal, Spelling
from kvsfast.errors import UsageError

__all__ = [
    "EMPTY_BODY",
    "ENDINGS",
    "PLACES",
    "BodyFault",
    "Broken",
    "Cut",
    "Drip",
    "Ending",
    "ErrorDocument",
    "Fault",
    "HttpError",
    "NoAnswer",
    "Operation",
    "Place",
    "Stall",
]

Operation = Literal["GetDataEndpoint", "GetMedia"]
#: Parts of a fragment, in order. In the middle of the first four; at the end of the whole fragment.
Place = Literal["header", "tags", "frame", "trailer", "end"]
PLACES: tuple[Place, ...] = get_args(Place)
Ending = Literal["eof"] | Leaving
ENDINGS: tuple[Ending, ...] = ("eof", *get_args(Leaving))


def _must_be_one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}, expected one of {', '.join(map(str, allowed))}")


@dataclass(frozen=True, slots=True)
class HttpError:
    """An error instead of the answer, by the service's name for it; see :class:`refusal.Refusal`."""

    code: str
    message: str = "injected by the local service"
    status: int | None = None
    spelling: Spelling = "json"
    error_header: str | None = "x-amzn-ErrorType"
    suffix: str = ""
    message_key: str | None = None
    retry_after: float | None = None

    def __post_init__(self) -> None:
        self.refusal()

    def refusal(self) -> Refusal:
        """The response."""
        return Refusal(
            self.code,
            self.message,
            status=self.status,
            spelling=self.spelling,
            error_header=self.error_header,
            suffix=self.suffix,
            message_key=self.message_key,
            retry_after=self.retry_after,
        )


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request is read, and no byte comes back: the connection ends, or stays silent.

    ``how``: "close", "reset", "fin", "half-close" or "alert" as of :class:`Cut`; "stall", nothing happens for
    ``seconds`` (None: until the client leaves), then the connection is closed.
    """

    how: Leaving | Literal["stall"] = "close"
    seconds: float | None = None

    def __post_init__(self) -> None:
        _must_be_one_of("how", self.how, (*get_args(Leaving), "stall"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Positioned:
    """Where in a response: after so many media bytes, or at a place in its n-th fragment (from 0)."""

    after_bytes: int | None = None
    fragment: int = 0
    inside: Place = "frame"

    def __post_init__(self) -> None:
        _must_be_one_of("inside", self.inside, PLACES)
        if self.fragment < 0 or (self.after_bytes or 0) < 0:
            raise UsageError(
                "a fault cannot lie before the response: fragment and after_bytes are at least 0"
            )


@dataclass(frozen=True, slots=True)
class Cut(_Positioned):
    """The response ends early.

    ``how``: "eof", the HTTP body ends as it should and only the media is cut. All others end in the middle of
    an HTTP chunk, or, at the end of a fragment, with the terminal HTTP chunk missing: "close", the connection
    is closed in order; "fin", over TLS without its close_notify; "half-close", the service closes its side
    and keeps the connection, and its slot, until the client leaves; "reset", RST after the bytes before it
    were received; "alert", a fatal TLS alert. Over plain TCP "fin" and "alert" are a "close".
    """

    how: Ending

    def __post_init__(self) -> None:
        super(Cut, self).__post_init__()
        _must_be_one_of("how", self.how, ENDINGS)


@dataclass(frozen=True, slots=True)
class Stall(_Positioned):
    """Nothing is sent for some seconds, then the response goes on. None: nothing ever comes again."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Drip(_Positioned):
    """From the place on, one byte of the response (framing and all) every ``seconds``, ``count`` times.

    Then it goes on at full speed; with None it drips to its end.
    """

    seconds: float = 0.1
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Broken(_Positioned):
    """The response goes on with bytes that cannot be.

    ``what``: "media", eight zero bytes in place of the beginning of an element (at ``inside``: the EBML
    header, the first Tags, a block in the middle, the trailer); "framing", a chunk size that is no number,
    and the connection is closed.
    """

    what: Literal["media", "framing"] = "media"

    def __post_init__(self) -> None:
        super(Broken, self).__post_init__()
        _must_be_one_of("what", self.what, ("media", "framing"))
        if self.what == "media" and self.inside == "end" and self.after_bytes is None:
            raise UsageError("there is no element at the end of a fragment whose bytes could be broken")


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """Instead of its n-th fragment (from 0) the response has an error written into the media, and ends.

    ``names``: "error", ERROR_CODE and ERROR_ID as seen from the service; "exception", EXCEPTION_ERROR_CODE
    with the number and EXCEPTION_MESSAGE, as GetMediaForFragmentList is documented (API reference).
    """

    error_id: int
    error_code: str = "INTERNAL_ERROR"
    fragment: int = 0
    names: Literal["error", "exception"] = "error"

    def __post_init__(self) -> None:
        _must_be_one_of("names", self.names, ("error", "exception"))


BodyFault = Cut | Stall | Drip | Broken | ErrorDocument
Fault = HttpError | NoAnswer | BodyFault

#: An answer of 200 without a body.
EMPTY_BODY = Cut("eof", after_bytes=0)
