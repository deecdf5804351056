"""What is between a session and its connection: nothing, or a fault that strikes at a place in the media."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from kvsfast.emulator import templates
from kvsfast.emulator.connection import Connection
from kvsfast.emulator.faults import BodyFault, Cut, ErrorDocument, Place, Stall
from kvsfast.emulator.framing import LAST_CHUNK, Framing, cut, payload_size
from kvsfast.emulator.stream import Ingested

__all__ = ["BodyWriter", "EndOfBody", "FaultyWriter", "write_error_document"]


class EndOfBody(Exception):
    """A fault has ended the response; nothing more is to be written."""


class BodyWriter:
    """Passes framed bytes on, and is told where in the media they are."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin_fragment(self, position: int, fragment: Ingested, framing: Framing) -> None:
        """A fragment follows, the ``position``-th of the response."""

    def begin_frames(self, blocks: Sequence[tuple[int, int]]) -> None:
        """The Cluster follows; ``blocks`` as in StoredFragment."""

    def end_fragment(self) -> None:
        """The trailer is written."""

    def write(self, place: Place, framed: bytes) -> None:
        """Write a part of the fragment."""
        self._connection.write(framed)


class FaultyWriter(BodyWriter):
    """Lets one fault happen."""

    def __init__(self, connection: Connection, fault: BodyFault) -> None:
        super().__init__(connection)
        self._fault: BodyFault | None = fault
        self._place: Place | None = None
        self._sent = 0
        #: Media byte before which the fault strikes, as soon as it is known.
        self._strikes_at = math.inf
        if not isinstance(fault, ErrorDocument) and fault.after_bytes is not None:
            self._strikes_at = fault.after_bytes

    def begin_fragment(self, position: int, fragment: Ingested, framing: Framing) -> None:
        fault = self._fault
        if isinstance(fault, ErrorDocument):
            if fault.fragment == position:
                write_error_document(
                    self._connection, framing, fault.error_id, fault.error_code, fragment.number
                )
                raise EndOfBody
        elif fault is not None and fault.after_bytes is None and fault.fragment == position:
            self._place = fault.inside
        self._strike_if_due(b"", 0)

    def begin_frames(self, blocks: Sequence[tuple[int, int]]) -> None:
        if self._place == "frame" and blocks:
            middle = len(blocks) // 2
            begins = blocks[middle - 1][0] if middle else 0
            self._strikes_at = self._sent + (begins + blocks[middle][0]) // 2

    def end_fragment(self) -> None:
        if self._place == "end":
            self._strikes_at = self._sent
        self._strike_if_due(b"", 0)

    def write(self, place: Place, framed: bytes) -> None:
        size = payload_size(framed)
        if self._place == place != "frame":
            self._strikes_at = self._sent + size // 2
        if not self._strike_if_due(framed, size):
            self._connection.write(framed)
        self._sent += size

    def _strike_if_due(self, framed: bytes, size: int) -> bool:
        """Whether the fault lay in these bytes and they were sent with it."""
        if self._fault is None or not (
            self._strikes_at < self._sent + size or self._strikes_at == self._sent
        ):
            return False
        fault, self._fault, self._place = self._fault, None, None
        assert isinstance(fault, Cut | Stall)
        is_clean = isinstance(fault, Cut) and fault.how == "eof"
        before = cut(framed, int(self._strikes_at) - self._sent, whole_chunks=is_clean)
        self._connection.send(before)
        if is_clean:
            self._connection.send(LAST_CHUNK)
        if isinstance(fault, Cut):
            if fault.how != "eof":
                self._connection.leave(reset=fault.how == "reset")
            raise EndOfBody
        self._stall(math.inf if fault.seconds is None else fault.seconds)
        self._connection.send(framed[len(before) :])
        return True

    def _stall(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._connection.wait(left)


def write_error_document(
    connection: Connection, framing: Framing, error_id: int, error_code: str, fragment_number: str
) -> None:
    """End a body by an error that is written into the media."""
    connection.write(framing.frame_pieces(templates.error_document(error_id, error_code, fragment_number)))
    connection.write(LAST_CHUNK)
