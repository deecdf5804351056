"""What every checkpoint store must do: a class of tests, to be run for a store by inheriting from it.

class TestMine(StoreContract):
    @pytest.fixture
    def new_store(self):
        return lambda: MyStore(...)         # each call another store on the same place
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvsfast.consume.checkpoint import Checkpoint, CheckpointStore, StreamCheckpoint
from kvsfast.errors import LeaseLost, UsageError

NewStore = Callable[[], CheckpointStore]

FIRST = Checkpoint("91343852333181432392682062607743920146159169392")
SECOND = Checkpoint(
    "91343852333181432397633822764885441041239433710",
    "91343852333181432397633822764885441041239433710",
    1511852111126,
    1511852110513,
)
#: Of a re-created stream: its numbers begin again, and may be lower.
LOWER = Checkpoint("1", "t.1.abc-DEF_", 0, -5000)
AN_ARN = "arn:aws:kinesisvideo:us-east-1:123456789012:stream/front-door/1511852108513"


def claimed(store: CheckpointStore, stream: str = "front-door") -> StreamCheckpoint:
    checkpoint = store.claim(stream)
    assert checkpoint is not None
    return checkpoint


class StoreContract:
    @pytest.fixture
    def new_store(self) -> NewStore:
        raise NotImplementedError("a fixture that makes a store, on the same place each time")

    @pytest.fixture
    def store(self, new_store: NewStore) -> CheckpointStore:
        return new_store()

    def test_nothing_is_there_at_first(self, store: CheckpointStore) -> None:
        assert claimed(store).load() is None

    @pytest.mark.parametrize("checkpoint", [FIRST, SECOND, LOWER])
    def test_what_was_saved_is_loaded(self, store: CheckpointStore, checkpoint: Checkpoint) -> None:
        mine = claimed(store)
        mine.save(checkpoint)
        assert mine.load() == checkpoint

    def test_the_last_one_counts_whatever_its_number(self, store: CheckpointStore) -> None:
        mine = claimed(store)
        for checkpoint in (FIRST, SECOND, LOWER, FIRST):
            mine.save(checkpoint)
            assert mine.load() == checkpoint

    def test_streams_do_not_touch_each_other(self, store: CheckpointStore) -> None:
        one, other = claimed(store, "front-door"), claimed(store, AN_ARN)
        one.save(FIRST)
        other.save(SECOND)
        assert (one.load(), other.load()) == (FIRST, SECOND)
        assert claimed(store, "Front-Door").load() is None

    def test_a_released_stream_goes_on_in_another_store(self, new_store: NewStore) -> None:
        mine = claimed(new_store())
        mine.save(SECOND)
        mine.release()
        mine.release()
        theirs = claimed(new_store())
        assert theirs.load() == SECOND
        theirs.save(LOWER)
        assert theirs.load() == LOWER

    def test_closing_releases(self, new_store: NewStore) -> None:
        store = new_store()
        mine = claimed(store)
        mine.save(FIRST)
        store.close()
        store.close()
        theirs = claimed(new_store())
        assert theirs.load() == FIRST

    def test_a_closed_store_claims_nothing(self, store: CheckpointStore) -> None:
        store.close()
        with pytest.raises(UsageError, match="closed"):
            store.claim("front-door")

    def test_what_was_released_is_not_saved(self, store: CheckpointStore) -> None:
        mine = claimed(store)
        mine.save(FIRST)
        mine.release()
        with pytest.raises(LeaseLost):
            mine.save(SECOND)
        assert claimed(store).load() == FIRST

    def test_one_of_two_claims_has_the_right_to_write(self, store: CheckpointStore) -> None:
        before = claimed(store)
        before.save(FIRST)
        now = store.claim("front-door")
        if now is None:
            before.save(SECOND)
            assert before.load() == SECOND
            return
        with pytest.raises(LeaseLost):
            before.save(SECOND)
        assert now.load() == FIRST
        now.save(SECOND)
        before.release()
        now.save(LOWER)
        assert now.load() == LOWER

    def test_an_owner_may_continue(self, store: CheckpointStore) -> None:
        mine = claimed(store)
        mine.save(FIRST)
        assert mine.may_continue()

    def test_many_threads(self, store: CheckpointStore) -> None:
        def work(index: int) -> Checkpoint | None:
            mine = claimed(store, f"stream-{index}")
            start.wait(30)
            for number in range(10):
                mine.save(Checkpoint(str(1000 * index + number)))
            return mine.load()

        start = threading.Barrier(8)
        with ThreadPoolExecutor(8) as threads:
            last = list(threads.map(work, range(8)))
        assert last == [Checkpoint(str(1000 * index + 9)) for index in range(8)]
