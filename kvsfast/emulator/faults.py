"""What goes wrong, decided once per request: HTTP errors, and the ways in which a response can end badly.

    service.faults.plan("front-door", Cut("reset", inside="frame", fragment=2))
    service.faults.plan("front-door", HttpError("InternalFailure"), times=3)

Faults planned for a stream are met in order, each by one request. ``RandomFaults`` invents more, by a seed.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Literal

from kvsfast.emulator.refusal import Refusal, Spelling
from kvsfast.errors import UsageError

__all__ = [
    "BodyFault",
    "Cut",
    "ErrorDocument",
    "Fault",
    "Faults",
    "HttpError",
    "Operation",
    "Place",
    "RandomFaults",
    "Stall",
]

Operation = Literal["GetDataEndpoint", "GetMedia"]
#: Parts of a fragment, in order. In the middle of the first four; at the end of the whole fragment.
Place = Literal["header", "tags", "frame", "trailer", "end"]
PLACES: tuple[Place, ...] = ("header", "tags", "frame", "trailer", "end")


@dataclass(frozen=True, slots=True)
class HttpError:
    """An error instead of the answer, by the service's name for it; see :class:`refusal.Refusal`."""

    code: str
    message: str = "injected by the local service"
    status: int | None = None
    spelling: Spelling = "json"
    error_header: str | None = "x-amzn-ErrorType"
    suffix: str = ""
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
            retry_after=self.retry_after,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Positioned:
    """Where in a response: after so many media bytes, or at a place in its n-th fragment (from 0)."""

    after_bytes: int | None = None
    fragment: int = 0
    inside: Place = "frame"

    def __post_init__(self) -> None:
        if self.inside not in PLACES:
            raise UsageError(f"inside is {self.inside!r}, expected one of {', '.join(PLACES)}")
        if self.fragment < 0 or (self.after_bytes or 0) < 0:
            raise UsageError(
                "a fault cannot lie before the response: fragment and after_bytes are at least 0"
            )


@dataclass(frozen=True, slots=True)
class Cut(_Positioned):
    """The response ends early.

    ``how``: "eof", the HTTP body ends as it should and only the media is cut; "close", the connection is
    closed in the middle of an HTTP chunk, or, at the end of a fragment, with the terminal HTTP chunk missing;
    "reset", the connection breaks with RST after the bytes before it were received.
    """

    how: Literal["eof", "close", "reset"]

    def __post_init__(self) -> None:
        super(Cut, self).__post_init__()
        if self.how not in ("eof", "close", "reset"):
            raise UsageError(f'how is {self.how!r}, expected "eof", "close" or "reset"')


@dataclass(frozen=True, slots=True)
class Stall(_Positioned):
    """Nothing is sent for some seconds, then the response goes on. None: nothing ever comes again."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """Instead of its n-th fragment (from 0) the response has an error written into the media, and ends."""

    error_id: int
    error_code: str = "INTERNAL_ERROR"
    fragment: int = 0


BodyFault = Cut | Stall | ErrorDocument
Fault = HttpError | BodyFault

#: An answer of 200 without a body.
EMPTY_BODY = Cut("eof", after_bytes=0)


class Faults:
    """The faults that were planned, and nothing else."""

    def __init__(self) -> None:
        self._planned: dict[tuple[str, Operation], deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    def plan(self, stream: str, *faults: Fault, times: int = 1, operation: Operation = "GetMedia") -> None:
        """The next requests for the stream meet these faults, one each; the whole row ``times`` times."""
        if operation == "GetDataEndpoint" and not all(isinstance(fault, HttpError) for fault in faults):
            raise UsageError(
                "GetDataEndpoint has no media that could be cut: only an HttpError can be planned"
            )
        with self._lock:
            self._planned[stream, operation].extend(faults * times)

    def decide(self, stream: str, operation: Operation) -> Fault | None:
        """The fault of one request; it is used up."""
        with self._lock:
            planned = self._planned[stream, operation]
            return planned.popleft() if planned else None


class RandomFaults(Faults):
    """Planned faults first; otherwise each GetMedia request meets one with probability ``share``.

    What the n-th request for a stream meets depends on the seed, the stream's name and n alone.
    """

    def __init__(self, seed: int, share: float = 0.5) -> None:
        super().__init__()
        self._seed = seed
        self._share = share
        self._requests: dict[str, int] = defaultdict(int)

    def decide(self, stream: str, operation: Operation) -> Fault | None:
        planned = super().decide(stream, operation)
        if planned is not None or operation != "GetMedia":
            return planned
        with self._lock:
            self._requests[stream] += 1
            source = random.Random(f"{self._seed}/{stream}/{self._requests[stream]}")
        return _random_fault(source) if source.random() < self._share else None


def _random_fault(source: random.Random) -> Fault:
    fragment = source.randrange(4)
    inside = source.choice(PLACES)
    match source.choice(("http", "cut", "cut", "cut", "bytes", "stall", "document", "empty")):
        case "http":
            return HttpError(
                source.choice(
                    (
                        "ClientLimitExceededException",
                        "ConnectionLimitExceededException",
                        "InternalFailure",
                        "ServiceUnavailable",
                        "ThrottlingException",
                    )
                )
            )
        case "cut":
            return Cut(source.choice(("eof", "close", "reset")), fragment=fragment, inside=inside)
        case "bytes":
            return Cut(source.choice(("eof", "close", "reset")), after_bytes=int(2 ** source.uniform(0, 20)))
        case "stall":
            return Stall(source.uniform(0.01, 0.5), fragment=fragment, inside=inside)
        case "document":
            return ErrorDocument(source.choice((3000, 3002, 4503, 5000)), fragment=fragment)
        case _:
            return EMPTY_BODY
