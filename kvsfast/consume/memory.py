"""Checkpoints that live as long as the process: for tests, and for sessions that follow each other in it."""

from __future__ import annotations

import threading

from kvsfast.consume.checkpoint import Checkpoint
from kvsfast.errors import LeaseLost

__all__ = ["MemoryCheckpoints"]


class MemoryCheckpoints:
    """A store of checkpoints in memory. One owner per stream: a second one waits until the first gives it
    back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved: dict[str, Checkpoint] = {}
        self._owners: dict[str, _Claimed] = {}

    def claim(self, stream: str) -> _Claimed | None:
        """The stream's checkpoint, or None while another owner has it."""
        with self._lock:
            if stream in self._owners:
                return None
            self._owners[stream] = claimed = _Claimed(self, stream)
            return claimed

    def saved(self, stream: str) -> Checkpoint | None:
        """What was saved last, without a claim."""
        return self._saved.get(stream)

    def close(self) -> None:
        """Give back all that is claimed."""
        with self._lock:
            self._owners.clear()

    def save(self, claimed: _Claimed, checkpoint: Checkpoint) -> None:
        """What an owner does. LeaseLost: it is none any more."""
        with self._lock:
            if self._owners.get(claimed.stream) is not claimed:
                raise LeaseLost(f"{claimed.stream} was released, or belongs to somebody else by now")
            self._saved[claimed.stream] = checkpoint

    def release(self, claimed: _Claimed) -> None:
        """What an owner does at its end."""
        with self._lock:
            if self._owners.get(claimed.stream) is claimed:
                del self._owners[claimed.stream]


class _Claimed:
    def __init__(self, store: MemoryCheckpoints, stream: str) -> None:
        self._store = store
        self.stream = stream

    def load(self) -> Checkpoint | None:
        return self._store.saved(self.stream)

    def save(self, checkpoint: Checkpoint) -> None:
        self._store.save(self, checkpoint)

    def may_continue(self) -> bool:
        return True

    def release(self) -> None:
        self._store.release(self)
