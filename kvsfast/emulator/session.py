"""One GetMedia response: the fragments of a stream from an index on, written as the service writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kvsfast.emulator import templates
from kvsfast.emulator.body import BodyWriter, EndOfBody, FaultyWriter
from kvsfast.emulator.connection import Connection
from kvsfast.emulator.faults import BodyFault
from kvsfast.emulator.framing import LAST_CHUNK, Framing
from kvsfast.emulator.media import Media, StoredFragment
from kvsfast.emulator.stream import Ingested, Stream
from kvsfast.model import StartSelector

__all__ = ["Prepared", "Session", "SessionOptions"]


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How responses go on and end. Times in seconds.

    ``session_seconds``: after this the response ends at the next border of fragments. ``idle_seconds``: how
    long it stays open when there is nothing (more) to send. ``fragments_per_second``: None for no such limit.
    """

    session_seconds: float = 2700.0
    idle_seconds: float = 0.0
    fragments_per_second: float | None = None


class _Unit(NamedTuple):
    """Framed bytes that are sent ``due_ms`` after their fragment began."""

    due_ms: int
    framed: bytes


class _Framed(NamedTuple):
    head: bytes
    body: list[_Unit]


class Prepared:
    """The media of a stream, framed once: a large string per fragment, or one per frame if it is live."""

    def __init__(self, media: Media, framing: Framing, *, by_frame: bool) -> None:
        self.framing = framing
        heads: dict[int, bytes] = {}
        self.fragments: list[_Framed] = []
        for stored in media.fragments:
            if id(stored.head) not in heads:
                heads[id(stored.head)] = framing.frame(stored.head)[0]
            body = self._by_frame(stored) if by_frame else [_Unit(0, framing.frame(stored.body)[0])]
            self.fragments.append(_Framed(heads[id(stored.head)], body))

    def _by_frame(self, stored: StoredFragment) -> list[_Unit]:
        """The body cut after each block. What follows the last one comes when the fragment closes."""
        framed = self.framing.frame(stored.body, [end for end, _ in stored.blocks])
        units: list[_Unit] = []
        due = 0
        for (_, time), unit in zip(stored.blocks, framed, strict=False):
            due = max(due, time)
            units.append(_Unit(due, unit))
        units.append(_Unit(stored.duration_ms, framed[-1]))
        return units


class Session:
    """Writes one response body, HTTP chunks and all, from fragment ``index`` on until it ends by its own.

    ``start`` is what ``index`` was found by; where that has to wait for a time to come, it is looked up again
    then.
    """

    def __init__(
        self,
        stream: Stream,
        prepared: Prepared,
        connection: Connection,
        *,
        start: StartSelector,
        index: int,
        options: SessionOptions,
        now_ms: Callable[[], int],
        fault: BodyFault | None = None,
    ) -> None:
        self._stream = stream
        self._prepared = prepared
        self._connection = connection
        self._body = BodyWriter(connection) if fault is None else FaultyWriter(connection, fault)
        self._start = start
        self._index = index
        self._options = options
        self._now_ms = now_ms
        self._ends_ms = now_ms() + round(1000 * options.session_seconds)

    def run(self) -> None:
        """Send the body to its end. Disconnected if the client leaves before."""
        try:
            self._send()
            self._connection.write(LAST_CHUNK)
        except EndOfBody:
            pass
        self._connection.flush()

    def _send(self) -> None:
        settled_ms = self._stream.settled_ms(self._start)
        if settled_ms > self._now_ms():
            self._wait_until(min(settled_ms, self._ends_ms))
            self._index = self._stream.index_of(self._start)
        first, started_ms = self._index, self._now_ms()
        while self._now_ms() < self._ends_ms and (
            self._stream.count is None or self._index < self._stream.count
        ):
            position = self._index - first
            if self._options.fragments_per_second is not None:
                self._wait_until(started_ms + round(1000 * position / self._options.fragments_per_second))
            fragment = self._stream.fragment(self._index)
            self._body.begin_fragment(position, fragment, self._prepared.framing)
            self._send_fragment(fragment)
            self._index += 1
        self._wait_until(min(self._now_ms() + round(1000 * self._options.idle_seconds), self._ends_ms))

    def _send_fragment(self, fragment: Ingested) -> None:
        framed = self._prepared.fragments[self._index % len(self._prepared.fragments)]
        frame_pieces = self._prepared.framing.frame_pieces
        stored = fragment.stored
        body = self._body
        self._wait_until_live(fragment.server_ms)
        body.write("header", framed.head)
        server, producer = templates.seconds(fragment.server_ms), templates.seconds(fragment.producer_ms)
        body.write("tags", frame_pieces(templates.before_cluster(fragment.number, server, producer)))
        body.begin_frames(stored.blocks)
        for unit in framed.body:
            self._wait_until_live(fragment.server_ms + unit.due_ms)
            body.write("frame", unit.framed)
        self._wait_until_live(fragment.closes_ms)
        behind_now = max(0, self._now_ms() - fragment.server_ms)
        body.write("trailer", frame_pieces(templates.after_cluster(behind_now, fragment.token)))
        body.end_fragment()

    def _wait_until_live(self, when_ms: int) -> None:
        if self._stream.is_live:
            self._wait_until(when_ms)

    def _wait_until(self, when_ms: int) -> None:
        if self._now_ms() < when_ms:
            self._connection.flush()
        while (left := when_ms - self._now_ms()) > 0:
            self._connection.wait(left / 1000)
