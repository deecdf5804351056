"""The checkpoint of one session: claimed before the first call, loaded, saved when the user commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvsfast.consume.checkpoint import Checkpoint, CheckpointStore, StreamCheckpoint
from kvsfast.consume.order import Order, position_of
from kvsfast.consume.policy import Position
from kvsfast.errors import UsageError
from kvsfast.steps import Steps, Work

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame

__all__ = ["Bookmark", "position_to_commit"]


class Bookmark:
    """What is committed only moves forward: an older fragment committed late changes nothing."""

    def __init__(self, store: CheckpointStore | None, stream: str) -> None:
        self._store = store
        self._stream = stream
        self._claimed: StreamCheckpoint | None = None
        self._committed = Order()

    @property
    def is_needed(self) -> bool:
        """Whether the checkpoint is still to be claimed."""
        return self._store is not None and self._claimed is None

    @property
    def committed(self) -> Position | None:
        return self._committed.latest

    def claim(self) -> Steps[bool]:
        """Claim and load. False: another owner has it."""
        store = self._store
        assert store is not None
        claimed = yield Work(lambda: store.claim(self._stream), lambda late: late and late.release())
        if claimed is None:
            return False
        self._claimed = claimed
        saved: Checkpoint | None = yield Work(claimed.load)
        if saved is not None:
            self._committed.advance(
                Position(
                    saved.fragment_number,
                    saved.continuation_token,
                    saved.server_timestamp_ms,
                    saved.producer_timestamp_ms,
                )
            )
        return True

    def may_continue(self) -> bool:
        """False: another owner asks for the checkpoint. LeaseLost: it has it. Waits for nothing."""
        return self._claimed is None or self._claimed.may_continue()

    def save(self, position: Position) -> Steps[None]:
        """Durable when it is done. CheckpointError or LeaseLost: it is not."""
        claimed = self._claimed
        if claimed is None:
            raise UsageError("there is nothing to commit to: consume was called without checkpoint=")
        if self._committed.has_passed(position):
            return
        checkpoint = Checkpoint(
            position.number, position.token, position.server_timestamp_ms, position.producer_timestamp_ms
        )
        yield Work(lambda: claimed.save(checkpoint))
        self._committed.advance(position)

    def release(self) -> Steps[None]:
        """Give the checkpoint back."""
        claimed, self._claimed = self._claimed, None
        if claimed is not None:
            yield Work(claimed.release)


def position_to_commit(what: Fragment | FragmentEnd | FragmentStart | Frame | None, order: Order) -> Position:
    """Where a fragment, or the fragment of a frame, ends; of None the last one that was given whole.

    UsageError: it has no number, or it has not ended yet.
    """
    latest = order.latest
    if what is None:
        if latest is None:
            raise UsageError("there is nothing to commit yet: no fragment has ended")
        return latest
    token = getattr(what, "continuation_token", None)
    start: Any = getattr(what, "start", None) or getattr(what, "fragment", None) or what
    position = position_of(start, token)
    if position is None:
        raise UsageError(f"{what!r} has no fragment number to commit")
    if latest is not None and latest.number == position.number:
        return latest
    if not order.has_passed(position):
        raise UsageError(f"{what!r} cannot be committed: fragment {position.number} has not ended yet")
    return position
