"""What is between a session and its connection: nothing, or faults that strike at a place in the media."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

from kvsfast.emulator import templates
from kvsfast.emulator.clock import Clock
from kvsfast.emulator.connection import Connection
from kvsfast.emulator.faults import BodyFault, Broken, Cut, Drip, Ending, ErrorDocument, Place, Stall
from kvsfast.emulator.framing import LAST_CHUNK, Framing, cut, http_chunks, payload_size

__all__ = ["BodyWriter", "EndOfBody"]

#: What is put in place of an element's beginning: no element's ID begins with a zero byte (RFC 8794, section
#: 5).
BROKEN_BYTES = bytes(8)
BROKEN_CHUNK_SIZE = b"no number\r\n"


class EndOfBody(Exception):
    """A fault has ended the response; nothing more is to be written."""


class _Armed:
    """A fault that waits for its place. ``strikes_at``: the media byte before it, once it is known."""

    def __init__(self, fault: BodyFault, fragment: int, strikes_at: float) -> None:
        self.fault = fault
        self.fragment = fragment
        self.strikes_at = strikes_at
        self.place: Place | None = None


class BodyWriter:
    """Passes framed bytes on, is told where in the media they are, and lets faults happen there.

    Faults are armed for the whole response or, by ``fragment``, for one that is about to begin. They may
    strike one after the other until one of them ends the response.
    """

    def __init__(self, connection: Connection, framing: Framing, clock: Clock) -> None:
        self._connection = connection
        self._framing = framing
        self._clock = clock
        self._armed: list[_Armed] = []
        self._sent = 0
        self._drip: Drip | None = None
        self._drips = 0.0

    def arm(self, fault: BodyFault, *, fragment: int | None = None) -> None:
        """Let this happen: where the fault says, or in the ``fragment``-th of the response."""
        after_bytes = None if isinstance(fault, ErrorDocument) else fault.after_bytes
        strikes_at = math.inf if after_bytes is None else self._sent + after_bytes
        self._armed.append(_Armed(fault, fault.fragment if fragment is None else fragment, strikes_at))
        self._strike_if_due(b"", 0)

    def begin_fragment(self, position: int, number: str) -> None:
        """A fragment follows, the ``position``-th of the response."""
        for armed in self._armed:
            if armed.fragment != position or armed.strikes_at < math.inf:
                continue
            if isinstance(armed.fault, ErrorDocument):
                self.end_by_error(armed.fault, number)
            else:
                armed.place = armed.fault.inside
        if self._armed:
            self._strike_if_due(b"", 0)

    def begin_frames(self, blocks: Sequence[tuple[int, int]]) -> None:
        """The Cluster follows; ``blocks`` as in StoredFragment."""
        for armed in self._armed:
            if armed.place == "frame" and blocks:
                middle = len(blocks) // 2
                begins = blocks[middle - 1][0] if middle else 0
                inside = 0 if isinstance(armed.fault, Broken) else (blocks[middle][0] - begins) // 2
                armed.strikes_at = self._sent + begins + inside

    def write(self, place: Place, framed: bytes) -> None:
        """Write a part of the fragment."""
        if not self._armed and self._drip is None:
            self._connection.write(framed)
            return
        size = payload_size(framed)
        for armed in self._armed:
            if armed.place == place != "frame":
                armed.strikes_at = self._sent + (0 if isinstance(armed.fault, Broken) else size // 2)
        if not self._strike_if_due(framed, size):
            self._pass_on(framed)
        self._sent += size

    def end_fragment(self) -> None:
        """The trailer is written."""
        for armed in self._armed:
            if armed.place == "end":
                armed.strikes_at = self._sent
        if self._armed:
            self._strike_if_due(b"", 0)

    def end(self, how: Ending) -> NoReturn:
        """End the body at a border of HTTP chunks."""
        if how == "eof":
            self._connection.send(LAST_CHUNK)
        else:
            self._connection.leave(how)
        raise EndOfBody

    def end_by_error(self, error: ErrorDocument, number: str | None) -> NoReturn:
        """End the body by an error that is written into the media."""
        documents = templates.error_document(
            error.error_id, error.error_code, number, is_exception=error.names == "exception"
        )
        self._connection.write(self._framing.frame_pieces(documents))
        self.end("eof")

    def _strike_if_due(self, framed: bytes, size: int) -> bool:
        """Whether a fault lay in these bytes and they were sent with it."""
        due = [
            armed
            for armed in self._armed
            if armed.strikes_at < self._sent + size
            or (armed.strikes_at <= self._sent and not isinstance(armed.fault, Broken))
        ]
        if not due:
            return False
        first = min(due, key=lambda armed: armed.strikes_at)
        self._armed.remove(first)
        self._strike(first.fault, framed, max(0, int(first.strikes_at) - self._sent))
        return True

    def _strike(self, fault: BodyFault, framed: bytes, offset: int) -> None:
        """Let the fault happen at payload byte ``offset`` of these HTTP chunks."""
        match fault:
            case Cut():
                self._pass_on(cut(framed, offset, whole_chunks=fault.how == "eof"))
                self.end(fault.how)
            case Broken(what="framing"):
                self._pass_on(cut(framed, offset, whole_chunks=True))
                self._connection.send(BROKEN_CHUNK_SIZE)
                self.end("close")
            case Broken():
                self._pass_on(_overwritten(framed, offset))
            case Stall():
                before = cut(framed, offset, whole_chunks=False)
                self._pass_on(before)
                until = math.inf if fault.seconds is None else self._clock.now() + fault.seconds
                self._wait(until)
                self._pass_on(framed[len(before) :])
            case Drip():
                before = cut(framed, offset, whole_chunks=False)
                self._pass_on(before)
                self._drip, self._drips = fault, math.inf if fault.count is None else fault.count
                self._pass_on(framed[len(before) :])

    def _pass_on(self, framed: bytes) -> None:
        """Send bytes that may be parts of HTTP chunks, one by one while it drips."""
        sent = 0
        while self._drip is not None and sent < len(framed):
            self._connection.send(framed[sent : sent + 1])
            sent += 1
            self._drips -= 1
            self._wait(self._clock.now() + self._drip.seconds)
            if self._drips <= 0:
                self._drip = None
        self._connection.send(framed[sent:])

    def _wait(self, until: float) -> None:
        while self._clock.now() < until:
            self._connection.wait(until, inside_chunk=True)


def _overwritten(framed: bytes, offset: int) -> bytes:
    """The HTTP chunks with broken bytes from payload byte ``offset`` on, as far as they reach."""
    broken = bytearray(framed)
    left = BROKEN_BYTES
    for data, end in http_chunks(framed):
        if offset < end - data and left:
            size = min(len(left), end - data - offset)
            broken[data + offset : data + offset + size] = left[:size]
            left, offset = left[size:], 0
        else:
            offset = max(0, offset - (end - data))
    return bytes(broken)
