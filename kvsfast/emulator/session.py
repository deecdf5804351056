"""One GetMedia response: the fragments of a stream from an index on, written as the service writes them."""

from __future__ import annotations

import contextlib
import math

from kvsfast.emulator import templates
from kvsfast.emulator.body import BodyWriter, EndOfBody
from kvsfast.emulator.clock import Clock
from kvsfast.emulator.connection import Connection, EndOrdered
from kvsfast.emulator.faults import BodyFault, ErrorDocument
from kvsfast.emulator.framing import Framing
from kvsfast.emulator.served import Served
from kvsfast.emulator.stream import Ingested
from kvsfast.model import StartSelector
from kvsfast.tags import IN_STREAM_ERRORS

__all__ = ["FRAGMENT_NOT_FOUND", "Session"]

_NOT_FOUND = 4000
#: What GetMedia writes into the media when it is asked for a fragment that it does not have.
FRAGMENT_NOT_FOUND = ErrorDocument(_NOT_FOUND, IN_STREAM_ERRORS[_NOT_FOUND][0])


class Session:
    """Writes one response body, HTTP chunks and all, from fragment ``index`` on until it ends by its own.

    ``start`` is what ``index`` was found by. If it is a time, it is looked up again until the first fragment
    is there.
    """

    def __init__(
        self,
        served: Served,
        connection: Connection,
        clock: Clock,
        framing: Framing,
        *,
        start: StartSelector,
        index: int,
        fault: BodyFault | None = None,
    ) -> None:
        self._served = served
        self._stream = served.stream
        self._is_live = served.stream.is_live
        self._connection = connection
        self._clock = clock
        self._framing = framing
        self._body = BodyWriter(connection, framing, clock)
        self._start = start
        self._index = index
        self._fault = fault
        self._began_ms = clock.now_ms()
        self._next_ms = self._began_ms
        self._sent = 0

    def run(self) -> None:
        """Send the body to its end. Disconnected if the client leaves before."""
        with contextlib.suppress(EndOfBody):
            try:
                if self._fault is not None:
                    self._body.arm(self._fault)
                while self._find_next():
                    self._send_fragment()
                    self._index += 1
                    self._sent += 1
                self._body.end("eof")
            except EndOrdered as order:
                self._body.end(order.how)
        self._connection.flush()

    def end_by_error(self, error: ErrorDocument, number: str | None) -> None:
        """Send a body that has an error in it and nothing else."""
        with contextlib.suppress(EndOfBody):
            self._body.end_by_error(error, number)
        self._connection.flush()

    # -- from one fragment to the next

    def _find_next(self) -> bool:
        """Wait until the fragment is there that comes next. False: the response is over."""
        idle_from = self._clock.now_ms()
        while True:
            options, now = self._served.options, self._clock.now_ms()
            self._connection.bandwidth = options.bandwidth
            if self._sent == 0 and self._start.timestamp is not None:
                self._index = self._stream.index_of(self._start)
            is_there = self._stream.has(self._index)
            if options.error_document is not None:
                number = self._stream.fragment(self._index).number if is_there else None
                self._body.end_by_error(options.error_document, number)
            if now >= self._ends_ms():
                return False
            settles_ms = self._stream.settled_ms(self._start) if self._sent == 0 else now
            if settles_ms > now:
                self._wait(min(settles_ms, self._ends_ms()))
            elif not is_there:
                idle_until = idle_from + 1000 * options.idle_seconds
                if now >= idle_until:
                    return False
                self._wait(min(idle_until, self._ends_ms()))
            elif options.fragments_per_second is not None and now < self._next_ms:
                self._wait(min(self._next_ms, self._ends_ms()))
            else:
                break
        if options.fragments_per_second is not None:
            self._next_ms = now + round(1000 / options.fragments_per_second)
        self._mind_the_retention()
        return True

    def _mind_the_retention(self) -> None:
        """The fragment may have expired while the client was busy with those before it."""
        earliest = self._stream.earliest() if self._sent else 0
        if self._index < earliest:
            if self._served.options.missing != "next":
                self._body.end_by_error(FRAGMENT_NOT_FOUND, self._stream.fragment(self._index).number)
            self._index = earliest

    def _ends_ms(self) -> float:
        return self._began_ms + 1000 * self._served.options.session_seconds

    # -- one fragment

    def _send_fragment(self) -> None:
        fragment = self._stream.fragment(self._index)
        body, frame_pieces = self._body, self._framing.frame_pieces
        self._wait_until_live(fragment.server_ms)
        if self._served.options.whole_fragments:
            fragment = self._closed(fragment)
        if (poison := self._served.poison_of(fragment.number)) is not None:
            body.arm(poison, fragment=self._sent)
        body.begin_fragment(self._sent, fragment.number)
        framed = self._served.prepared.framed(fragment.stored)
        body.write("header", framed.head)
        server, producer = templates.seconds(fragment.server_ms), templates.seconds(fragment.producer_ms)
        body.write("tags", frame_pieces(templates.before_cluster(fragment.number, server, producer)))
        body.begin_frames(fragment.stored.blocks)
        for unit in framed.body:
            self._wait_until_live(fragment.server_ms + unit.due_ms)
            body.write("frame", unit.framed)
        self._closed(fragment)
        behind_now = max(0, self._clock.now_ms() - fragment.server_ms)
        body.write("trailer", frame_pieces(templates.after_cluster(behind_now, fragment.token)))
        body.end_fragment()

    def _closed(self, fragment: Ingested) -> Ingested:
        """The fragment when it is complete."""
        while fragment.closes_ms is None:
            self._wait(math.inf)
            fragment = self._stream.fragment(self._index)
        self._wait_until_live(fragment.closes_ms)
        return fragment

    def _wait_until_live(self, when_ms: int) -> None:
        if self._is_live:
            while self._clock.now_ms() < when_ms:
                self._wait(when_ms)

    def _wait(self, until_ms: float) -> None:
        """Wait for this time, or until something changes. Where it may, the response ends meanwhile."""
        if self._served.options.session_ends_at == "frame":
            ends_ms = self._ends_ms()
            if self._clock.now_ms() >= ends_ms:
                self._body.end("eof")
            until_ms = min(until_ms, ends_ms)
        self._connection.wait(until_ms / 1000)
