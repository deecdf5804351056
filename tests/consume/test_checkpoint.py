"""The contract, by the store that lives in memory, and by one that somebody might have written."""

from __future__ import annotations

import threading

import pytest

from kvsfast.consume.checkpoint import Checkpoint, CheckpointStore, StreamCheckpoint
from kvsfast.consume.memory import MemoryCheckpoints
from kvsfast.errors import LeaseLost, UsageError
from tests.consume.store_contract import FIRST, NewStore, StoreContract, claimed


class OwnCheckpoints:
    """Checkpoints in a dict that several stores may share. Whoever claims last has the stream."""

    def __init__(self, kept: dict[str, Checkpoint], owners: dict[str, object]) -> None:
        self.kept = kept
        self.owners = owners
        self.is_closed = False
        self.lock = threading.Lock()

    def claim(self, stream: str) -> StreamCheckpoint | None:
        if self.is_closed:
            raise UsageError("the store is closed")
        return OwnCheckpoint(self, stream)

    def close(self) -> None:
        self.is_closed = True


class OwnCheckpoint:
    def __init__(self, store: OwnCheckpoints, stream: str) -> None:
        self.store = store
        self.stream = stream
        store.owners[stream] = self

    def load(self) -> Checkpoint | None:
        return self.store.kept.get(self.stream)

    def save(self, checkpoint: Checkpoint) -> None:
        with self.store.lock:
            if self.store.owners.get(self.stream) is not self:
                raise LeaseLost(f"{self.stream} is not ours any more")
            self.store.kept[self.stream] = checkpoint

    def may_continue(self) -> bool:
        return True

    def release(self) -> None:
        with self.store.lock:
            if self.store.owners.get(self.stream) is self:
                del self.store.owners[self.stream]


class TestOwn(StoreContract):
    @pytest.fixture
    def new_store(self) -> NewStore:
        kept: dict[str, Checkpoint] = {}
        owners: dict[str, object] = {}

        def new() -> CheckpointStore:
            return OwnCheckpoints(kept, owners)

        return new


class TestMemory(StoreContract):
    """One object is all there is of it, also after it was closed."""

    @pytest.fixture
    def new_store(self) -> NewStore:
        store = MemoryCheckpoints()
        return lambda: store

    def test_a_closed_store_claims_nothing(self, store: CheckpointStore) -> None:
        claimed(store).save(FIRST)
        store.close()
        assert claimed(store).load() == FIRST
