"""What a session tells besides media: where it had to wait, to reconnect, or could not keep its promise.

``consumer.events()`` gives these among the events of the media; the iterators of fragments and frames give
them to ``on_event=``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kvsfast.consume.policy import Ending
from kvsfast.errors import KvsFastError
from kvsfast.model import StartSelector

__all__ = [
    "DigestMismatch",
    "Gap",
    "GapReason",
    "Idle",
    "Reconnected",
    "Rewound",
    "SessionEvent",
    "StreamReset",
    "Waiting",
]


@dataclass(frozen=True, slots=True)
class Idle:
    """No media came for ``seconds``, over reconnects too. Told again after each further ``idle_after``.

    It is not the end: the producer may have paused.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A response ended, and the next one is open.

    ``ending``: how the one before ended, ``error`` with which error (None: cleanly). ``start``: where the new
    one begins. ``calls``: how many it took since then. ``seconds``: how long it took.
    """

    ending: Ending
    error: KvsFastError | None
    start: StartSelector
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream was created anew: a fragment with a lower number was received later by the service.

    The new fragment is delivered, and order is counted from it. Times: server timestamps, epoch milliseconds.
    """

    old_number: str
    new_number: str
    old_server_timestamp_ms: int
    new_server_timestamp_ms: int


class GapReason(enum.StrEnum):
    """Why media is missing."""

    #: The service no longer has, or never had, the fragment to go on from: retention has passed.
    NOT_FOUND = "not found"
    #: A fragment that was broken each time was stepped over (``poison="skip"``).
    POISON = "poison"
    #: The consumer was too slow and went to the newest fragment (``when_behind="newest"``).
    BEHIND = "behind"
    #: A fragment was cut in the middle of being handed over, and cannot be had any more.
    CUT = "cut"
    #: The first response told no Date, so a start by NOW could only be repeated as NOW.
    NO_DATE = "no date"


@dataclass(frozen=True, slots=True)
class Gap:
    """Media is missing between two fragments, and was or may have been in the stream.

    ``after``: the last fragment before it; ``before``: the first one behind it. None: none is known. The
    times are their server timestamps in epoch milliseconds. A jump in fragment numbers alone is no gap.
    """

    reason: GapReason
    after: str | None = None
    before: str | None = None
    after_server_timestamp_ms: int | None = None
    before_server_timestamp_ms: int | None = None
    error: KvsFastError | None = None


@dataclass(frozen=True, slots=True)
class DigestMismatch:
    """A fragment that was cut came again, and is not what it was.

    Frames that were handed over are skipped by their index all the same. ``index``: the first frame that
    differs, counted from 0 over all tracks; ``expected`` and ``found``: its (size in bytes, time in ns,
    hash), ``found`` None where the fragment now has fewer frames.
    """

    number: str
    index: int
    expected: tuple[int, int, int]
    found: tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Rewound:
    """A fragment under a new number whose producer timestamp does not lie behind those delivered: the
    producer sent the same media again (``rewinds``). Times in epoch milliseconds."""

    number: str
    producer_timestamp_ms: int
    latest_producer_timestamp_ms: int
    delivered: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another owner has the stream's checkpoint; the session asks again in ``seconds``."""

    stream: str
    seconds: float


SessionEvent = Idle | Reconnected | StreamReset | Gap | DigestMismatch | Rewound | Waiting
