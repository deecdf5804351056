"""A stream of the local service: which fragment has which number and times, and where a start selector
points.

First comes what the service was started with, on its time line; then what producers put in while it runs. The
oldest fragments may expire. A fragment is known by its index, counted from the first one ever ingested.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from kvsfast.emulator.media import Media, StoredFragment
from kvsfast.emulator.numbers import FragmentNumber
from kvsfast.emulator.timeline import Timeline, next_session
from kvsfast.emulator.waking import Bell
from kvsfast.errors import UsageError
from kvsfast.model import StartSelector, StartSelectorType

__all__ = ["FragmentNotFound", "Ingested", "Stream"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FragmentNotFound(LookupError):
    """The stream has no fragment of this number or token (any more). ``next_index``: of the one after it."""

    def __init__(self, number: str, next_index: int) -> None:
        super().__init__(number)
        self.next_index = next_index


class Ingested(NamedTuple):
    """A fragment in the stream. Times are epoch milliseconds.

    ``closes_ms``: when the next one begins; None as long as a producer holds it open.
    """

    number: str
    token: str
    server_ms: int
    closes_ms: int | None
    producer_ms: int
    stored: StoredFragment


class Stream:
    """One stream, from the moment the service starts.

    ``now_ms``: the service's clock. ``live``, ``loop``, ``producer_start_ms``: see :mod:`timeline`.
    ``retention_ms``: how far back EARLIEST reaches (None: to the beginning); may be changed at any time.
    ``opaque_tokens``: continuation tokens that are not fragment numbers. ``bell`` is rung when something new
    is there, or something old is not.
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
        self.retention_ms = retention_ms
        self.bell = Bell()
        self._timeline = Timeline(media, now_ms, live=live, loop=loop, producer_start_ms=producer_start_ms)
        self._now_ms = now_ms
        self._opaque_tokens = opaque_tokens
        self._seed = seed
        self._produced: list[Ingested] = []
        self._sequences: list[int] = []
        self._is_producing = False
        self._trimmed = 0
        self._lock = threading.RLock()

    @property
    def is_live(self) -> bool:
        """Whether what the service was started with is ingested in real time."""
        return self._timeline.is_live

    @property
    def created_ms(self) -> int:
        """When the stream was created, as its ARN tells."""
        return min(self._timeline.origin_ms, self._timeline.started_ms)

    @property
    def count(self) -> int | None:
        """How many fragments there are and, of live media, will be; None: it goes on for ever."""
        settled = self._timeline.count
        return None if settled is None else settled + len(self._produced)

    def has(self, index: int) -> bool:
        """Whether this fragment was ingested or, of live media, will be."""
        settled = self._timeline.count
        return settled is None or index < settled + len(self._produced)

    def fragment(self, index: int) -> Ingested:
        """The fragment of this index; of live media also one that is still to come."""
        if self._timeline.count is not None and index >= self._timeline.count:
            return self._produced[index - self._timeline.count]
        place = self._timeline[index]
        number = self._number(place.sequence, place.server_ms)
        return Ingested(number, self._token(index, number), *place[1:])

    def fragments(self) -> list[Ingested]:
        """All that are there by now and did not expire, the one being ingested included."""
        return [self.fragment(index) for index in range(self.earliest(), self.ingested())]

    def ingested(self) -> int:
        """How many fragments there are by now, the one being ingested included."""
        return self._timeline.ingested() + len(self._produced)

    def earliest(self) -> int:
        """The oldest fragment that did not expire."""
        if self.retention_ms is None and self._trimmed == 0:
            return 0
        ingested = self.ingested()
        if self.retention_ms is None:
            return min(self._trimmed, ingested)
        retained = self._at_server_time(self._now_ms() - self.retention_ms)
        return min(max(self._trimmed, retained), ingested)

    # -- where a response begins

    def index_of(self, start: StartSelector, *, now: Literal["newest", "next"] = "newest") -> int:
        """Where the selector points; ``count`` or more if nothing is there yet.

        After a fragment number or a token the next fragment; for a time the first fragment at or after it;
        NOW is the newest fragment, of live media the one being ingested, or the next one to come.
        FragmentNotFound for an unknown number, UsageError for one that cannot be.
        """
        match start.type:
            case StartSelectorType.NOW:
                return self.ingested() if now == "next" else self._newest()
            case StartSelectorType.EARLIEST:
                return self.earliest()
            case StartSelectorType.FRAGMENT_NUMBER:
                assert start.fragment_number is not None
                return self._after_number(start.fragment_number)
            case StartSelectorType.CONTINUATION_TOKEN:
                assert start.token is not None
                return self._after_token(start.token)
            case StartSelectorType.SERVER_TIMESTAMP:
                assert start.timestamp is not None
                return max(self._at_server_time(epoch_ms(start.timestamp)), self.earliest())
            case StartSelectorType.PRODUCER_TIMESTAMP:
                assert start.timestamp is not None
                return max(self._at_producer_time(epoch_ms(start.timestamp)), self.earliest())

    def settled_ms(self, start: StartSelector) -> int:
        """From when on ``index_of`` can tell."""
        if start.timestamp is None:
            return self._timeline.started_ms
        return self._timeline.settled_ms(epoch_ms(start.timestamp))

    def _newest(self) -> int:
        ingested = self.ingested()
        if self._timeline.is_live and self._timeline.is_over and not self._is_producing:
            return ingested
        return max(0, ingested - 1)

    def _at_server_time(self, when_ms: int) -> int:
        index = self._timeline.at_server_time(when_ms)
        if self._timeline.count is None or index < self._timeline.count:
            return index
        return index + bisect_left(self._produced, when_ms, key=lambda fragment: fragment.server_ms)

    def _at_producer_time(self, when_ms: int) -> int:
        index = self._timeline.at_producer_time(when_ms)
        if self._timeline.count is None or index < self._timeline.count:
            return index
        # Producers rewind: their times need not rise.
        later = (at for at, fragment in enumerate(self._produced) if fragment.producer_ms >= when_ms)
        return index + next(later, len(self._produced))

    def _after_number(self, number: str) -> int:
        sequence = FragmentNumber.parse(number).sequence
        index = self._timeline.at_sequence(sequence)
        if self._timeline.count is not None and index >= self._timeline.count:
            index = self._timeline.count + bisect_left(self._sequences, sequence)
        if not self._is_there(index) or self.fragment(index).number != number:
            is_older = index < self.ingested() and self.fragment(index).number <= number
            raise FragmentNotFound(number, max(index + is_older, self.earliest()))
        return index + 1

    def _after_token(self, token: str) -> int:
        if not self._opaque_tokens:
            return self._after_number(token)
        match = _OPAQUE.fullmatch(token)
        if match is None:
            raise UsageError(f"ContinuationToken {token!r} was not made by this service")
        index = int(match[1], 16) - 1
        if not self._is_there(index) or self.fragment(index).token != token:
            raise FragmentNotFound(token, max(min(index + 1, self.ingested()), self.earliest()))
        return index + 1

    def _is_there(self, index: int) -> bool:
        return self.earliest() <= index < self.ingested()

    # -- what producers and time do to it

    def begin_session(self) -> int:
        """A producer connects: the sequence number of its first fragment. UsageError while one is connected.

        The service was started with media that is not over yet: nothing else can be put in meanwhile.
        """
        with self._lock:
            if not self._timeline.is_over:
                raise UsageError(f"the media that stream {self.name} was made from still goes on")
            if self._is_producing:
                raise UsageError(
                    f"stream {self.name} has a producer already: the service lets in one at a time"
                )
            self._is_producing = True
            last = self._sequences[-1] if self._sequences else self._timeline.last_sequence
            return next_session(last) if last else 1

    def end_session(self) -> None:
        """The producer leaves; its last fragment is complete."""
        with self._lock:
            self.close_last()
            self._is_producing = False
        self.bell.ring()

    def append(self, sequence: int, stored: StoredFragment, *, producer_ms: int, is_open: bool) -> Ingested:
        """A fragment arrives; the one before it is complete."""
        with self._lock:
            self.close_last()
            server_ms = max(self._now_ms(), self._last_ms())
            number = self._number(sequence, server_ms)
            fragment = Ingested(
                number,
                self._token(self.ingested(), number),
                server_ms,
                None if is_open else server_ms,
                producer_ms,
                stored,
            )
            self._produced.append(fragment)
            self._sequences.append(sequence)
        self.bell.ring()
        return fragment

    def close_last(self) -> None:
        """The fragment that a producer held open is complete."""
        with self._lock:
            if self._produced and self._produced[-1].closes_ms is None:
                self._produced[-1] = self._produced[-1]._replace(closes_ms=self._now_ms())
        self.bell.ring()

    def trim(self, count: int) -> list[str]:
        """The oldest ``count`` fragments that are there expire now. Tells their numbers."""
        with self._lock:
            earliest = self.earliest()
            self._trimmed = min(earliest + count, self.ingested())
            expired = [self.fragment(index).number for index in range(earliest, self._trimmed)]
        self.bell.ring()
        return expired

    def _last_ms(self) -> int:
        return self._produced[-1].server_ms if self._produced else self._timeline.started_ms

    def _number(self, sequence: int, server_ms: int) -> str:
        return str(FragmentNumber.of(sequence, server_ms, self._seed))

    def _token(self, index: int, number: str) -> str:
        return _opaque(index, number) if self._opaque_tokens else number


def _opaque(index: int, number: str) -> str:
    """A token that does not tell the fragment number."""
    return f"t.{index + 1:x}.{int(number) * 0x9E3779B97F4A7C15 >> 70 & 0xFFFFFFFFFFFF:012x}"


_OPAQUE = re.compile(r"t\.([0-9a-f]{1,16})\.[0-9a-f]{12}")


def epoch_ms(when: datetime) -> int:
    """Epoch milliseconds of an aware datetime, a fraction of a millisecond rounded up.

    Up, because the selectors ask for the first fragment at or after the time.
    """
    return -((when - _EPOCH) // -timedelta(milliseconds=1))
