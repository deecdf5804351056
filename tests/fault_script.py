"""What a fault proxy can do, and where in a response: plain values, to be planned or invented from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, Protocol

from tests.response_parts import MEDIA, Part, Span


class Place(Protocol):
    """Where a fault strikes."""

    def find(self, span: Span, wire_at: int, media_at: int) -> int | None:
        """How many bytes of the span are still sent, or None: it is not in there.

        Before it came ``wire_at`` bytes of the response and ``media_at`` of its media.
        """


@dataclass(frozen=True, slots=True)
class AtWire:
    """After so many bytes of the response as it is on the wire, its head included."""

    count: int

    def find(self, span: Span, wire_at: int, media_at: int) -> int | None:
        return self.count - wire_at if 0 <= self.count - wire_at < len(span.data) else None


@dataclass(frozen=True, slots=True)
class AtMedia:
    """After so many bytes of media."""

    count: int

    def find(self, span: Span, wire_at: int, media_at: int) -> int | None:
        inside = span.part in MEDIA and 0 <= self.count - media_at < len(span.data)
        return self.count - media_at if inside else None


@dataclass(frozen=True, slots=True)
class Inside:
    """In the ``nth`` (from 0) of a part, after ``offset`` bytes of it, at most before its last byte."""

    part: Part
    nth: int = 0
    offset: int = 1

    def find(self, span: Span, wire_at: int, media_at: int) -> int | None:
        if (span.part, span.nth) != (self.part, self.nth):
            return None
        if span.at <= self.offset < span.at + len(span.data):
            return self.offset - span.at
        return len(span.data) - 1 if span.ends and span.at <= self.offset else None


#: Everything of the body is sent but the HTTP chunk that ends it.
BEFORE_LAST_CHUNK = Inside("last", 0, 0)


# -- what


@dataclass(frozen=True, slots=True)
class Break:
    """The response ends there.

    ``how``: "reset" sends RST; "close" closes, over TLS without its notice; "half-close" ends the sending
    side, over TLS with its notice, and goes on listening; "alert" sends a fatal TLS alert in the clear, and
    closes; "tear" closes in the middle of a TLS record with the bytes that follow. Over TCP the last two are
    "close".
    """

    how: Literal["reset", "close", "half-close", "alert", "tear"]
    where: Place


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing comes for some seconds, then the response goes on. None: not before the client gives up."""

    where: Place
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Drip:
    """From a place on bytes come one by one, ``seconds`` apart, at most ``count`` of them; then as before."""

    where: Place
    count: int = 100
    seconds: float = 0.001


@dataclass(frozen=True, slots=True)
class Respond:
    """An answer of the proxy's own; the service is not asked. ``code``: in the service's error header."""

    status: int
    code: str | None = None
    body: bytes = b"<html><body>of the fault proxy</body></html>"


@dataclass(frozen=True, slots=True)
class Hangup:
    """The connection ends: as soon as it is accepted, or ``after_request``, which is not answered."""

    reset: bool = True
    after_request: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """The connection is accepted and nothing is said, not even TLS; then it ends. None: not before the client
    gives up."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RefuseTls:
    """Instead of the handshake comes a fatal alert (RFC 8446, section 6.2; 40 is handshake_failure)."""

    description: int = 40


InResponse = Break | Stall | Drip
Fault = InResponse | Respond | Hangup | Silence | RefuseTls


@dataclass(frozen=True, slots=True)
class RefuseConnections:
    """The connection meets ``first``. When it has ended, nobody listens for some seconds: the system refuses
    further ones."""

    seconds: float = 0.05
    first: Fault | None = None


Planned = Fault | RefuseConnections | None
#: What a response has that can be looked into.
PARTS: tuple[Part, ...] = ("head", "size", "crlf", "last", "header", "frame", "tags", "trailer", "other")


def random_fault(
    dice: random.Random, *, tls: bool = False, sealed: bool = False, longest: float = 0.02
) -> Fault:
    """A fault of any kind, somewhere in the first fragments.

    ``tls``: there is TLS; ``sealed``: and it passes through. ``longest``: seconds of what only takes time.
    """
    kinds = ["break"] * 8 + ["stall", "drip", "hangup", "silence"]
    if not sealed:
        kinds += ["respond", "end", "no answer"]
    if tls or sealed:
        kinds.append("handshake")
    where = AtWire(int(2 ** dice.uniform(0, 14))) if sealed else _random_place(dice)
    match dice.choice(kinds):
        case "break":
            return Break(dice.choice(("reset", "close", "half-close", "alert", "tear")), where)
        case "end":
            return Break(dice.choice(("close", "half-close")), BEFORE_LAST_CHUNK)
        case "stall":
            return Stall(where, dice.uniform(0, longest))
        case "drip":
            return Drip(where, dice.randrange(1, 200), longest / 200)
        case "respond":
            return Respond(dice.choice((500, 503)))
        case "silence":
            return Silence(dice.uniform(0, longest))
        case "handshake":
            return RefuseTls(dice.choice((40, 80)))
        case kind:
            return Hangup(dice.random() < 0.5, kind == "no answer")


def _random_place(dice: random.Random) -> Place:
    match dice.randrange(3):
        case 0:
            return AtWire(int(2 ** dice.uniform(0, 14)))
        case 1:
            return AtMedia(int(2 ** dice.uniform(0, 14)))
        case _:
            return Inside(dice.choice(PARTS), int(2 ** dice.uniform(0, 6)) - 1, dice.randrange(16))
