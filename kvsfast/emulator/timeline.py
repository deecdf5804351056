"""Media on a stream's time line: which fragment is ingested when, by itself.

A fragment is known by its index; the media repeats every ``len(media)`` fragments when it loops. There are
three ways in which fragments come to be:

* stored: all were there before the service started, the last one ended at that moment;
* live: they are ingested in real time from the moment the service started;
* stored, and looping: the stored ones first, then each further one is ingested when somebody first asks for
  it, since a reader at full speed would otherwise outrun the clock.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import NamedTuple

from kvsfast.emulator.media import Media, StoredFragment

__all__ = ["Place", "Timeline", "is_absolute", "next_session"]

#: Producers' clocks are not the service's, and media takes its time to get there.
PRODUCER_DELAY_MS = 250

#: Cluster times beyond this are epoch milliseconds and not counted from a session's start (it is in 1973).
_ABSOLUTE_MS = 10**11


class Place(NamedTuple):
    """Where a fragment lies. Times are epoch milliseconds; ``closes_ms``: when the next one begins."""

    sequence: int
    server_ms: int
    closes_ms: int
    producer_ms: int
    stored: StoredFragment


class Timeline:
    """``live``, ``loop``: see the module. ``producer_start_ms``: producer time of the first fragment; by
    default
    the Cluster's own time if that is an epoch time, else a little before its server time."""

    def __init__(
        self,
        media: Media,
        now_ms: Callable[[], int],
        *,
        live: bool = False,
        loop: bool = False,
        producer_start_ms: int | None = None,
    ) -> None:
        self.is_live = live
        self.started_ms = now_ms()
        self.origin_ms = self.started_ms - (0 if live else media.duration_ms)
        #: How many fragments there will ever be; None: it goes on for ever.
        self.count: int | None = None if loop and media.fragments else len(media.fragments)
        self._media = media
        self._now_ms = now_ms
        self._fragments = media.fragments
        self._offsets = [fragment.offset_ms for fragment in media.fragments]
        self._sequences, self._sequences_per_lap = _sequences(media)
        if producer_start_ms is None:
            producer_start_ms = self.origin_ms - PRODUCER_DELAY_MS
            if self._fragments and is_absolute(self._fragments[0]):
                producer_start_ms = self._fragments[0].timestamp_ms
        self._producer_origin_ms = producer_start_ms
        # Server times of the fragments that were ingested on demand.
        self._on_demand: array[int] | None = array("q") if self.count is None and not live else None
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> Place:
        """The fragment of this index, also one that is still to come."""
        lap, position = divmod(index, len(self._fragments))
        stored = self._fragments[position]
        server_ms = self._server_ms(index)
        return Place(
            lap * self._sequences_per_lap + self._sequences[position],
            server_ms,
            server_ms + stored.duration_ms,
            self._producer_origin_ms + lap * self._media.duration_ms + stored.offset_ms,
            stored,
        )

    @property
    def last_sequence(self) -> int:
        """Of a time line that ends: the last sequence number; 0 if it is empty."""
        return self._sequences[-1] if self._sequences else 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is ingested any more."""
        return self.count is not None and (
            not self.is_live or self._now_ms() >= self.origin_ms + self._media.duration_ms
        )

    def ingested(self) -> int:
        """How many fragments there are by now, the one being ingested included."""
        if self._on_demand is not None:
            return len(self._fragments) + len(self._on_demand)
        return (
            self._upto(self._now_ms() - self.origin_ms, bisect_right)
            if self.is_live
            else len(self._fragments)
        )

    def at_server_time(self, when_ms: int) -> int:
        """The first fragment at or after the time."""
        if self._on_demand and when_ms > self.started_ms:
            return len(self._fragments) + bisect_left(self._on_demand, when_ms)
        found = self._upto(when_ms - self.origin_ms, bisect_left)
        return found if self._on_demand is None else min(found, len(self._fragments))

    def at_producer_time(self, when_ms: int) -> int:
        """The first fragment at or after the time."""
        return self._upto(when_ms - self._producer_origin_ms, bisect_left)

    def at_sequence(self, sequence: int) -> int:
        """The first fragment whose sequence number is at least this."""
        if not self._fragments:
            return 0
        lap, rest = divmod(max(0, sequence - 1), self._sequences_per_lap)
        return lap * len(self._fragments) + bisect_left(self._sequences, rest + 1)

    def settled_ms(self, when_ms: int) -> int:
        """From when on ``at_server_time`` can tell: what is ingested on demand knows no times to come."""
        return self.started_ms if self._on_demand is None else when_ms

    def _server_ms(self, index: int) -> int:
        lap, position = divmod(index, len(self._fragments))
        if self._on_demand is None or lap == 0:
            return self.origin_ms + lap * self._media.duration_ms + self._offsets[position]
        with self._lock:
            later = index - len(self._fragments)
            while len(self._on_demand) <= later:
                self._on_demand.append(
                    max(self._now_ms(), self._on_demand[-1] if self._on_demand else self.started_ms)
                )
            return self._on_demand[later]

    def _upto(self, offset_ms: int, bisect: Callable[[list[int], int], int]) -> int:
        """How many fragments lie before this place on the time line, over all laps."""
        if offset_ms < 0 or not self._fragments:
            return 0
        lap, rest = divmod(offset_ms, self._media.duration_ms)
        found = lap * len(self._fragments) + bisect(self._offsets, rest)
        return found if self.count is None else min(found, self.count)


def is_absolute(fragment: StoredFragment) -> bool:
    """Whether a Cluster's time is an epoch time."""
    return fragment.timestamp_ms >= _ABSOLUTE_MS


def next_session(sequence: int) -> int:
    """The first sequence number of the session of a producer that follows: 1, 1001, 2001 ..."""
    return -(-sequence // 1000) * 1000 + 1


def _sequences(media: Media) -> tuple[list[int], int]:
    """The sequence number of each fragment, and how many a lap takes.

    One up per fragment; each further file is a new session of a producer, which goes on at the next 1000 + 1.
    """
    sequences: list[int] = []
    for position in range(len(media.fragments)):
        last = sequences[-1] if sequences else 0
        is_new_session = position in media.sessions and position > 0
        sequences.append(next_session(last) if is_new_session else last + 1)
    last = sequences[-1] if sequences else 1
    return sequences, last if len(media.sessions) < 2 else next_session(last) - 1
