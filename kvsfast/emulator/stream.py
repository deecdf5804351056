"""A stream of the local service: which fragment has which number and times, and where a start selector points.

A fragment is known by its index, counted from the first one ever ingested; the media repeats every ``len(media)``
fragments when the stream loops. There are three ways in which fragments come to be:

* stored: all were there before the service started, the last one ended at that moment;
* live: they are ingested in real time from the moment the service started;
* stored, and looping: the stored ones first, then each further one is ingested when somebody first asks for it,
  since a reader at full speed would otherwise outrun the clock.
"""

from __future__ import annotations

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
    """A fragment as it is in the stream. Times are epoch milliseconds; ``closes_ms``: when the next one begins."""

    number: str
    token: str
    server_ms: int
    closes_ms: int
    producer_ms: int
    stored: StoredFragment


class Stream:
    """One stream, from the moment the service starts.

    ``now_ms``: the service's clock. ``live``, ``loop``: see the module. ``retention_ms``: how far back EARLIEST
    reaches (None: to the beginning). ``producer_start_ms``: producer time of the first fragment; by default the
    Cluster's own time if that is an epoch time, else a little before its server time. ``opaque_tokens``: continuation
    tokens that are not fragment numbers.
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
        self._offsets = [fragment.offset_ms for fragment in media]
        self._origin_ms = self._started_ms - (0 if live else media.duration_ms)
        if producer_start_ms is None:
            producer_start_ms = self._origin_ms - PRODUCER_DELAY_MS
            if media and media[0].timestamp_ms >= _ABSOLUTE_MS:
                producer_start_ms = media[0].timestamp_ms
        self._producer_origin_ms = producer_start_ms
        #: How many fragments there will ever be; None: it goes on for ever.
        self.count: int | None = None if loop and media else len(media)
        # Server times of the fragments that were ingested on demand.
        self._on_demand: array[int] | None = array("q") if loop and not live else None
        self._lock = threading.Lock()

    @property
    def created_ms(self) -> int:
        """When the stream was created, as its ARN tells."""
        return min(self._origin_ms, self._started_ms)

    def fragment(self, index: int) -> Ingested:
        """The fragment of this index; of a live stream also one that is still to come."""
        lap, position = divmod(index, len(self.media))
        stored = self.media[position]
        server_ms = self._server_ms(index)
        number = str(FragmentNumber.of(index + 1, server_ms, self._seed))
        return Ingested(
            number,
            f"t.{index + 1:x}.{hash_of(number)}" if self._opaque_tokens else number,
            server_ms,
            server_ms + stored.duration_ms,
            self._producer_origin_ms + lap * self.media.duration_ms + stored.offset_ms,
            stored,
        )

    def index_of(self, start: StartSelector) -> int:
        """Where the selector points; ``count`` or more if nothing there will ever be.

        After a fragment number or a token the next fragment; for a time the first fragment at or after it; NOW is
        the newest fragment, of a live stream the one being ingested. FragmentNotFound for an unknown number,
        UsageError for one that cannot be.
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

    def _server_ms(self, index: int) -> int:
        lap, position = divmod(index, len(self.media))
        if self._on_demand is None or lap == 0:
            return self._origin_ms + lap * self.media.duration_ms + self._offsets[position]
        with self._lock:
            later = index - len(self.media)
            while len(self._on_demand) <= later:
                self._on_demand.append(max(self._now_ms(), self._on_demand[-1] if self._on_demand else self._started_ms))
            return self._on_demand[later]

    def _ingested(self) -> int:
        """How many fragments there are by now, the one being ingested included."""
        if self._on_demand is not None:
            return len(self.media) + len(self._on_demand)
        return self._upto(self._now_ms() - self._origin_ms, bisect_right) if self.is_live else len(self.media)

    def _upto(self, offset_ms: int, bisect: Callable[[list[int], int], int]) -> int:
        """How many fragments lie before this place on the time line, over all laps."""
        if offset_ms < 0 or not self.media:
            return 0
        lap, rest = divmod(offset_ms, self.media.duration_ms)
        found = lap * len(self.media) + bisect(self._offsets, rest)
        return found if self.count is None else min(found, self.count)

    def _newest(self) -> int:
        is_over = self.is_live and self.count is not None and self._now_ms() >= self._origin_ms + self.media.duration_ms
        return self._ingested() if is_over else max(0, self._ingested() - 1)

    def _earliest(self) -> int:
        if self._retention_ms is None:
            return 0
        return min(self._at_server_time(self._now_ms() - self._retention_ms), self._ingested())

    def _at_server_time(self, when_ms: int) -> int:
        if self._on_demand and when_ms > self._started_ms:
            return len(self.media) + bisect_left(self._on_demand, when_ms)
        found = self._upto(when_ms - self._origin_ms, bisect_left)
        return found if self._on_demand is None else min(found, len(self.media))

    def _at_producer_time(self, when_ms: int) -> int:
        return self._upto(when_ms - self._producer_origin_ms, bisect_left)

    def _after_number(self, number: str) -> int:
        parsed = FragmentNumber.parse(number)
        index = parsed.sequence - 1
        if not self._earliest() <= index < self._ingested() or self.fragment(index).number != number:
            raise FragmentNotFound(number)
        return index + 1

    def _after_token(self, token: str) -> int:
        if not self._opaque_tokens:
            return self._after_number(token)
        try:
            index = int(token.split(".")[1], 16) - 1
        except (IndexError, ValueError):
            raise UsageError(f"ContinuationToken {token!r} was not made by this service") from None
        if not self._earliest() <= index < self._ingested() or self.fragment(index).token != token:
            raise FragmentNotFound(token)
        return index + 1


def epoch_ms(when: datetime) -> int:
    """Epoch milliseconds of an aware datetime, a fraction of a millisecond rounded up.

    Up, because the selectors ask for the first fragment at or after the time.
    """
    return -((when - _EPOCH) // -timedelta(milliseconds=1))


def hash_of(number: str) -> str:
    """Something in a token that does not tell the number."""
    return f"{int(number) * 0x9E3779B97F4A7C15 >> 70 & 0xFFFFFFFFFFFF:012x}"
