"""How far a stream was read, kept where it outlives the process: what a store must be able to do.

    CheckpointStore     a place for the checkpoints of many streams   claim(stream)
    StreamCheckpoint    the right to read and write one of them       load, save, may_continue, release

A store without leases (a file on one machine) gives a stream to whoever claims it last. A store that several
machines share gives it to one owner at a time. Either refuses what a former owner writes: LeaseLost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from kvsfast.errors import CheckpointError

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


_NUMBER = re.compile(r"[0-9]{1,128}")


def checked(
    where: str,
    fragment_number: object,
    continuation_token: object,
    server_timestamp_ms: object,
    producer_timestamp_ms: object,
) -> Checkpoint:
    """A checkpoint from what a store holds. CheckpointError: it cannot be one, ``where`` it was."""
    token, server_ms, producer_ms = continuation_token, server_timestamp_ms, producer_timestamp_ms
    if not isinstance(fragment_number, str) or not _NUMBER.fullmatch(fragment_number):
        raise CheckpointError(f"{where}: the fragment number is {fragment_number!r}, expected digits")
    if not (token is None or isinstance(token, str)):
        raise CheckpointError(f"{where}: the continuation token is {token!r}, expected a string")
    if not (server_ms is None or isinstance(server_ms, int)):
        raise CheckpointError(f"{where}: the server timestamp is {server_ms!r}, expected milliseconds")
    if not (producer_ms is None or isinstance(producer_ms, int)):
        raise CheckpointError(f"{where}: the producer timestamp is {producer_ms!r}, expected milliseconds")
    return Checkpoint(fragment_number, token, server_ms, producer_ms)


class StreamCheckpoint(Protocol):
    """One stream's checkpoint, claimed. Used by one session, not always from one thread."""

    def load(self) -> Checkpoint | None:
        """What was saved last, by whoever owned it; None: nothing yet. CheckpointError: it cannot be read."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Durable when this returns. LeaseLost: the stream belongs to somebody else by now, or was released,
        and nothing was written. CheckpointError: it cannot be written."""

    def may_continue(self) -> bool:
        """To be asked between fragments: it costs nothing and waits for nothing.

        False: another owner asks for the stream; save what was delivered, and release it soon. LeaseLost: the
        lease is gone, and what is delivered from now on somebody else may deliver as well.
        """

    def release(self) -> None:
        """Give the stream back, so that another owner need not wait. Idempotent; never raises."""


class CheckpointStore(Protocol):
    """Checkpoints by the stream's name. Used by many threads."""

    def claim(self, stream: str) -> StreamCheckpoint | None:
        """The stream's checkpoint, or None while another owner has it: then it is worth asking again in
        a few seconds. Of what this store gave away already: None as well, or the second claim ends the
        first one's right to write. CheckpointError: the store cannot be reached. UsageError: it is closed."""

    def close(self) -> None:
        """Release what is still claimed. Idempotent."""
