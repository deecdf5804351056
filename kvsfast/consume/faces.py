"""What the blocking and the asyncio face of a session, and of many, have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kvsfast.errors import KvsFastError, UsageError

if TYPE_CHECKING:
    from kvsfast.consume.policy import Position
    from kvsfast.consume.session import Session, SessionEnd
    from kvsfast.consume.stats import ConsumerStats

__all__ = ["GroupFace", "SessionFace"]


class SessionFace:
    """How far a session is."""

    _session: Session

    @property
    def stats(self) -> ConsumerStats:
        """How it is doing, as a frozen snapshot."""
        return self._session.stats

    @property
    def position(self) -> Position | None:
        """The last fragment that was given whole: what a next session could go on after."""
        return self._session.position

    @property
    def committed(self) -> Position | None:
        """The last fragment that was committed, by this consumer or before it."""
        return self._session.committed

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._session.stream

    @property
    def end(self) -> SessionEnd | None:
        """Why it is over; None: it is not."""
        return self._session.end


Member = TypeVar("Member", bound=SessionFace)


class GroupFace(Generic[Member]):
    """Who is in a group, how it is read, and what became of its streams.

    ``_members``: those that are not over. ``_name``: as ``repr`` tells it.
    """

    _name: str
    _members: Mapping[Member, Any]

    def __init__(self, on_failure: Callable[[Member, KvsFastError], object] | None) -> None:
        if on_failure is not None and not callable(on_failure):
            raise UsageError(f"on_failure is {on_failure!r}, expected a function")
        self._on_failure = on_failure
        self._failures: dict[Member, KvsFastError] = {}
        self._mode = ""
        self._is_closed = False

    @property
    def consumers(self) -> list[Member]:
        """Those that are not over."""
        return list(self._members)

    @property
    def failures(self) -> Mapping[Member, KvsFastError]:
        """The streams that were given up, and why."""
        return self._failures

    @property
    def stats(self) -> dict[str, ConsumerStats]:
        """How each stream that is not over is doing, by its name."""
        return {consumer.stream: consumer.stats for consumer in self.consumers}

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._members)} open"
        return f"<{self._name} {state}, {len(self._failures)} failed>"

    def _fix_mode(self, mode: str) -> None:
        if self._mode and self._mode != mode:
            raise UsageError(f"the group is being read by {self._mode}; it cannot be read by {mode} as well")
        self._mode = mode

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("the group is closed")

    def _failed(self, consumer: Member, error: KvsFastError) -> None:
        self._failures[consumer] = error
        if self._on_failure is not None:
            self._on_failure(consumer, error)

    def _give_failures(self) -> None:
        """At the end, unless there is somebody who was told of each."""
        if self._failures and self._on_failure is None:
            failures = list(self._failures.values())
            self._on_failure = lambda consumer, error: None  # told once
            raise ExceptionGroup(f"{len(failures)} streams were given up", failures)
