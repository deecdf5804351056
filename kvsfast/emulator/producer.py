"""A producer inside the process: puts fragments into a stream while it is read, step by step.

with service.producer("front-door") as producer:
    first, second = producer.send(two_clusters)
    producer.send(another, hold=True)        # the last one stays open until the next one, or the end
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from kvsfast.emulator.media import Media, Source, StoredFragment
from kvsfast.emulator.stream import Ingested, Stream
from kvsfast.emulator.timeline import PRODUCER_DELAY_MS, is_absolute
from kvsfast.errors import UsageError

__all__ = ["Producer"]


class Producer:
    """One session of a producer: what is sent is in the stream at once, under numbers that rise by one.

    The next session goes on at the next 1000 + 1, as PutMedia was seen to do. ``start_ms``: producer time of
    the first fragment in epoch milliseconds; by default a little before now. Clusters with an epoch time keep
    that.
    """

    def __init__(self, stream: Stream, now_ms: int, start_ms: int | None = None) -> None:
        self._stream = stream
        self._sequence = stream.begin_session()
        self._next_ms = now_ms - PRODUCER_DELAY_MS if start_ms is None else start_ms
        self._is_over = False
        #: What was sent in this session, in order.
        self.sent: list[Ingested] = []

    def send(self, source: Source, *, hold: bool = False) -> list[Ingested]:
        """Put in the fragments of a file (path or bytes), one after the other; their numbers and times.

        Producer time goes on from what was sent before. ``hold``: the last fragment stays open. Its frames
        are sent, but its trailer only when the next fragment begins, or the session ends: only then does the
        service know that it is complete.
        """
        media = Media(source)
        origin_ms = self._next_ms
        added = []
        for stored in media.fragments:
            absolute = stored.timestamp_ms if is_absolute(stored) else origin_ms + stored.offset_ms
            is_open = hold and stored is media.fragments[-1]
            added.append(self._put(stored, absolute, is_open=is_open))
        self._next_ms = origin_ms + media.duration_ms
        return added

    def rewind(self, count: int) -> list[Ingested]:
        """Send the last ``count`` fragments again: same media, same producer times, new numbers.

        Producers do so after a dropped connection; the service keeps both.
        """
        if not 0 < count <= len(self.sent):
            raise UsageError(
                f"cannot rewind by {count}: {len(self.sent)} fragments were sent in this session"
            )
        return [self._put(old.stored, old.producer_ms, is_open=False) for old in self.sent[-count:]]

    def close_fragment(self) -> None:
        """The fragment that is held open is complete."""
        self._stream.close_last()

    def end(self) -> None:
        """Leave. Once is enough."""
        if not self._is_over:
            self._is_over = True
            self._stream.end_session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def _put(self, stored: StoredFragment, producer_ms: int, *, is_open: bool) -> Ingested:
        if self._is_over:
            raise UsageError("the session of this producer is over")
        fragment = self._stream.append(self._sequence, stored, producer_ms=producer_ms, is_open=is_open)
        self._sequence += 1
        self.sent.append(fragment)
        return fragment
