"""A stream of the local service: which fragment has which number and times, and where a start selector
points.

A fragment is known by its index, counted from the first one ever ingested; the media repeats every
``len(media)`` fragments when the stream loops. There are three ways in which fragments come to be:

* stored: all were there before the service started, the last one ended at that moment;
* live: they are ingested in real time from the moment the service started;
* stored, and looping: the stored ones first, then each further one is ingested when somebody first asks for
  it,
  since a reader at full speed would otherwise outrun the clock.
"""

from __future__ import annotations

import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from kvsfast.emulator.media import Media, StoredFragment
from kvsfast.emulator.numbers import FragmentNumber
from kvsfast.errors import UsageError
from kvsfast.model import StartSelector, StartSelectorType

__all__ = ["FragmentNotFound", "Ingested", "Stream"]

#: Producers' clocks are not the service's, and media takes its time to get there.
PRODUCER_DELAY_MS = 250

#: Cluster times beyond this are epoch milliseconds and not counted from a session's start (it is in 1973).
_ABSOLUTE_MS = 10**11


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FragmentNotFound(LookupError):
    """The stream has no fragment of this number or token (any more)."""


class Ingested(NamedTuple):
    """A fragment in the stream. Times are epoch milliseconds; ``closes_ms``: when the next one begins."""

    number: str
    token: str
    server_ms: int
    closes_ms: int
    producer_ms: int
    stored: StoredFragment


class Stream:
    """One stream, from the moment the service starts.

    ``now_ms``: the service's clock. ``live``, ``loop``: see the module. ``retention_ms``: how far back
    EARLIEST reaches (None: to the beginning). ``producer_start_ms``: producer time of the first fragment; by
    default the Cluster's own time if that is an epoch time, else a little before its server time.
    ``opaque_tokens``: continuation tokens that are not fragment numbers.
    """

    def __init__(
        self,
        name: str,
        media: Media,
        *,
        now_ms: Callable[[], int],
        live: bool = False,
        loop: bool = False,
        retention_ms: int | None = None,
        producer_start_ms: int | None = None,
        opaque_tokens: bool = False,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.media = media
        self.is_live = live
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._retention_ms = retention_ms
        self._opaque_tokens = opaque_tokens
        self._seed = seed
        self._fragments = media.fragments
        self._offsets = [fragment.offset_ms for fragment in media.fragments]
        self._sequences, self._sequences_per_lap = _sequences(media)
        self._origin_ms = self._started_ms - (0 if live else media.duration_ms)
        if producer_start_ms is None:
            producer_start_ms = self._origin_ms - PRODUCER_DELAY_MS
            if self._fragments and self._fragments[0].timestamp_ms >= _ABSOLUTE_MS:
                producer_start_ms = self._fragments[0].timestamp_ms
        self._producer_origin_ms = producer_start_ms
        #: How many fragments there will ever be; None: it goes on for ever.
        self.count: int | None = None if loop and self._fragments else len(self._fragments)
        # Server times of the fragments that were ingested on demand.
        self._on_demand: array[int] | None = array("q") if loop and not live else None
        self._lock = threading.Lock()

    @property
    def created_ms(self) -> int:
        """When the stream was created, as its ARN tells."""
        return min(self._origin_ms, self._started_ms)

    def fragment(self, index: int) -> Ingested:
        """The fragment of this index; of a live stream also one that is still to come."""
        lap, position = divmod(index, len(self._fragments))
        stored = self._fragments[position]
        sequence = lap * self._sequences_per_lap + self._sequences[position]
        server_ms = self._server_ms(index)
        number = str(FragmentNumber.of(sequence, server_ms, self._seed))
        return Ingested(
            number,
            _opaque(index, number) if self._opaque_tokens else number,
            server_ms,
            server_ms + stored.duration_ms,
            self._producer_origin_ms + lap * self.media.duration_ms + stored.offset_ms,
            stored,
        )

    def index_of(self, start: StartSelector) -> int:
        """Where the selector points; ``count`` or more if nothing there will ever be.

        After a fragment number or a token the next fragment; for a time the first fragment at or after it;
        NOW is the newest fragment, of a live stream the one being ingested. FragmentNotFound for an unknown
        number, UsageError for one that cannot be.
        """
        match start.type:
            case StartSelectorType.NOW:
                return self._newest()
            case StartSelectorType.EARLIEST:
                return self._earliest()
            case StartSelectorType.FRAGMENT_NUMBER:
                assert start.fragment_number is not None
                return self._after_number(start.fragment_number)
            case StartSelectorType.CONTINUATION_TOKEN:
                assert start.token is not None
                return self._after_token(start.token)
            case StartSelectorType.SERVER_TIMESTAMP:
                assert start.timestamp is not None
                return max(self._at_server_time(epoch_ms(start.timestamp)), self._earliest())
            case StartSelectorType.PRODUCER_TIMESTAMP:
                assert start.timestamp is not None
                return max(self._at_producer_time(epoch_ms(start.timestamp)), self._earliest())

    def settled_ms(self, start: StartSelector) -> int:
        """From when on ``index_of`` can tell: media ingested on demand knows nothing of times to come."""
        if self._on_demand is None or start.timestamp is None:
            return self._started_ms
        return epoch_ms(start.timestamp)

    def _server_ms(self, index: int) -> int:
        lap, position = divmod(index, len(self._fragments))
        if self._on_demand is None or lap == 0:
            return self._origin_ms + lap * self.media.duration_ms + self._offsets[position]
        with self._lock:
            later = index - len(self._fragments)
            while len(self._on_demand) <= later:
                self._on_demand.append(
                    max(self._now_ms(), self._on_demand[-1] if self._on_demand else self._started_ms)
                )
            return self._on_demand[later]

    def _ingested(self) -> int:
        """How many fragments there are by now, the one being ingested included."""
        if self._on_demand is not None:
            return len(self._fragments) + len(self._on_demand)
        return (
            self._upto(self._now_ms() - self._origin_ms, bisect_right)
            if self.is_live
            else len(self._fragments)
        )

    def _upto(self, offset_ms: int, bisect: Callable[[list[int], int], int]) -> int:
        """How many fragments lie before this place on the time line, over all laps."""
        if offset_ms < 0 or not self._fragments:
            return 0
        lap, rest = divmod(offset_ms, self.media.duration_ms)
        found = lap * len(self._fragments) + bisect(self._offsets, rest)
        return found if self.count is None else min(found, self.count)

    def _newest(self) -> int:
        is_over = (
            self.is_live
            and self.count is not None
            and self._now_ms() >= self._origin_ms + self.media.duration_ms
        )
        return self._ingested() if is_over else max(0, self._ingested() - 1)

    def _earliest(self) -> int:
        if self._retention_ms is None:
            return 0
        return min(self._at_server_time(self._now_ms() - self._retention_ms), self._ingested())

    def _at_server_time(self, when_ms: int) -> int:
        if self._on_demand and when_ms > self._started_ms:
            return len(self._fragments) + bisect_left(self._on_demand, when_ms)
        found = self._upto(when_ms - self._origin_ms, bisect_left)
        return found if self._on_demand is None else min(found, len(self._fragments))

    def _at_producer_time(self, when_ms: int) -> int:
        return self._upto(when_ms - self._producer_origin_ms, bisect_left)

    def _after_number(self, number: str) -> int:
        lap, sequence = divmod(FragmentNumber.parse(number).sequence - 1, self._sequences_per_lap)
        position = bisect_right(self._sequences, sequence + 1) - 1
        index = lap * len(self._fragments) + position
        if position < 0 or not self._is_there(index) or self.fragment(index).number != number:
            raise FragmentNotFound(number)
        return index + 1

    def _after_token(self, token: str) -> int:
        if not self._opaque_tokens:
            return self._after_number(token)
        match = _OPAQUE.fullmatch(token)
        if match is None:
            raise UsageError(f"ContinuationToken {token!r} was not made by this service")
        index = int(match[1], 16) - 1
        if not self._is_there(index) or self.fragment(index).token != token:
            raise FragmentNotFound(token)
        return index + 1

    def _is_there(self, index: int) -> bool:
        return self._earliest() <= index < self._ingested()


def _sequences(media: Media) -> tuple[list[int], int]:
    """The sequence number of each fragment, and how many a lap takes.

    One up per fragment; each further file is a new session of a producer, which goes on at the next 1000 + 1.
    """
    sequences: list[int] = []
    for position in range(len(media.fragments)):
        last = sequences[-1] if sequences else 0
        is_new_session = position in media.sessions and position > 0
        sequences.append(_next_thousand(last) + 1 if is_new_session else last + 1)
    last = sequences[-1] if sequences else 1
    return sequences, last if len(media.sessions) < 2 else _next_thousand(last)


def _next_thousand(sequence: int) -> int:
    return -(-sequence // 1000) * 1000


def _opaque(index: int, number: str) -> str:
    """A token that does not tell the fragment number."""
    return f"t.{index + 1:x}.{int(number) * 0x9E3779B97F4A7C15 >> 70 & 0xFFFFFFFFFFFF:012x}"


_OPAQUE = re.compile(r"t\.([0-9a-f]{1,16})\.[0-9a-f]{12}")


def epoch_ms(when: datetime) -> int:
    """Epoch milliseconds of an aware datetime, a fraction of a millisecond rounded up.

    Up, because the selectors ask for the first fragment at or after the time.
    """
    return -((when - _EPOCH) // -timedelta(milliseconds=1))
