"""How far a stream was read, kept where it outlives the process: what a store must be able to do.

    CheckpointStore     a place for the checkpoints of many streams   claim(stream)
    StreamCheckpoint    the right to read and write one of them       load, save, release

A store without leases (a file of one process) claims whatever it is asked for. A store that several machines
share gives a stream to one owner at a time, and refuses what a former owner writes (:class:`LeaseLost`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Checkpoint", "CheckpointStore", "StreamCheckpoint"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last fragment that was committed.

    ``fragment_number`` as the service writes it; ``continuation_token``: what the service goes on from, None
    if it was not told; the two timestamps in milliseconds since 1970, None if they were not told.
    """

    fragment_number: str
    continuation_token: str | None = None
    server_timestamp_ms: int | None = None
    producer_timestamp_ms: int | None = None


class StreamCheckpoint(Protocol):
    """One stream's checkpoint, claimed. Used by one session, not always from one thread."""

    def load(self) -> Checkpoint | None:
        """What was saved last, by whoever owned it; None: nothing yet. CheckpointError: it cannot be read."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Durable when this returns. LeaseLost: the stream belongs to somebody else by now, and nothing was
        written. CheckpointError: it cannot be written."""

    def release(self) -> None:
        """Give the stream back, so that another owner need not wait. Idempotent; never raises."""


class CheckpointStore(Protocol):
    """Checkpoints by the stream's name. Used by many threads."""

    def claim(self, stream: str) -> StreamCheckpoint | None:
        """The stream's checkpoint, or None while another owner has it: then it is worth asking again in
        a few seconds. CheckpointError: the store cannot be reached."""

    def close(self) -> None:
        """Release what is still claimed. Idempotent."""
