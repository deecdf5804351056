"""Checkpoints as a session uses them: what is saved, what it goes on after, who owns it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kvsfast
from kvsfast import (
    Checkpoint,
    CheckpointError,
    FragmentEnd,
    FragmentStart,
    LeaseLost,
    MemoryCheckpoints,
    SqliteCheckpoints,
    StartSelector,
    TransportError,
    Until,
    UsageError,
    Waiting,
)
from tests.consume.fake import FakeService, Reply, Stored, stored

FRAGMENTS = [stored(i) for i in range(1, 6)]
NUMBERS = [each.number for each in FRAGMENTS]
RESET = TransportError("reset")


def checkpoint_of(fragment: Stored) -> Checkpoint:
    return Checkpoint(fragment.number, fragment.number, fragment.server_ms, fragment.producer_ms)


def test_it_wins_over_the_start() -> None:
    store = MemoryCheckpoints()
    claimed = store.claim("door")
    assert claimed is not None
    claimed.save(checkpoint_of(FRAGMENTS[2]))
    claimed.release()
    service = FakeService(FRAGMENTS)
    with service.consumer(StartSelector.now(), store=store, until=Until(fragments=2)) as consumer:
        assert consumer.committed is None
        assert [fragment.number for fragment in consumer] == NUMBERS[3:]
        assert consumer.committed is not None and consumer.committed.number == NUMBERS[2]
    assert service.asked == [StartSelector.from_token(NUMBERS[2])]


def test_without_one_the_start_counts() -> None:
    service = FakeService(FRAGMENTS)
    with service.consumer(store=MemoryCheckpoints(), until=Until(fragments=1)) as consumer:
        assert [fragment.number for fragment in consumer] == NUMBERS[:1]
    assert service.asked == [StartSelector.earliest()]


def test_commit_saves_everything_that_resuming_may_need() -> None:
    store = MemoryCheckpoints()
    with FakeService(FRAGMENTS).consumer(store=store) as consumer:
        for fragment in consumer:
            consumer.commit(fragment)
            assert store.saved("door") == checkpoint_of(FRAGMENTS[NUMBERS.index(fragment.number or "")])
            if fragment.number == NUMBERS[2]:
                break
    again = FakeService(FRAGMENTS)
    with again.consumer(store=store, until=Until(fragments=2)) as consumer:
        assert [fragment.number for fragment in consumer] == NUMBERS[3:]


def test_what_was_given_and_not_committed_is_given_again() -> None:
    store = MemoryCheckpoints()
    with FakeService(FRAGMENTS).consumer(store=store, until=Until(fragments=3)) as consumer:
        given = list(consumer)
        consumer.commit(given[0])
    with FakeService(FRAGMENTS).consumer(store=store, until=Until(fragments=1)) as consumer:
        assert [fragment.number for fragment in consumer] == NUMBERS[1:2]


@pytest.mark.parametrize("mode", ["fragments", "frames", "events"])
def test_auto_commit_is_when_the_next_one_is_asked_for(mode: str) -> None:
    store = MemoryCheckpoints()
    service = FakeService(FRAGMENTS, Reply(most=2, fault=RESET))
    with service.consumer(store=store, until=Until(fragments=3), auto_commit=True) as consumer:
        items = {"fragments": consumer.__iter__, "frames": consumer.frames, "events": consumer.events}[mode]
        iterator: Any = items()
        per_fragment = {"fragments": 1, "frames": 3, "events": 5}[mode]
        for count in range(2):
            for _ in range(per_fragment):
                next(iterator)
                assert (saved := store.saved("door")) is None or saved.fragment_number == NUMBERS[count - 1]
        next(iterator)
        assert store.saved("door") == checkpoint_of(FRAGMENTS[1])
        list(iterator)
    assert store.saved("door") == checkpoint_of(FRAGMENTS[2])


def test_auto_commit_does_not_count_a_body_that_was_left() -> None:
    store = MemoryCheckpoints()
    with FakeService(FRAGMENTS).consumer(store=store, auto_commit=True) as consumer:
        for fragment in consumer:
            if fragment.number == NUMBERS[1]:
                break
    assert store.saved("door") == checkpoint_of(FRAGMENTS[0])


def test_it_only_moves_forward() -> None:
    store = MemoryCheckpoints()
    with FakeService(FRAGMENTS).consumer(store=store, until=Until(fragments=3)) as consumer:
        given = list(consumer)
        consumer.commit(given[2])
        consumer.commit(given[0])
    assert store.saved("door") == checkpoint_of(FRAGMENTS[2])


def test_of_frames_all_that_ended_is_committed() -> None:
    store = MemoryCheckpoints()
    with FakeService(FRAGMENTS).consumer(store=store) as consumer:
        for frame in consumer.frames():
            if frame.fragment.number == NUMBERS[1]:
                with pytest.raises(UsageError, match=f"fragment {NUMBERS[1]} has not ended"):
                    consumer.commit(frame)
                consumer.commit()
                break
    assert store.saved("door") == checkpoint_of(FRAGMENTS[0])


def test_of_events_an_end_and_a_start_that_has_ended() -> None:
    store = MemoryCheckpoints()
    with FakeService(FRAGMENTS).consumer(store=store) as consumer:
        starts: list[FragmentStart] = []
        for event in consumer.events():
            if isinstance(event, FragmentStart):
                starts.append(event)
                with pytest.raises(UsageError, match="has not ended"):
                    consumer.commit(event)
            if isinstance(event, FragmentEnd):
                consumer.commit(starts[-1])
                assert store.saved("door") == checkpoint_of(FRAGMENTS[len(starts) - 1])
                consumer.commit(event)
                if len(starts) == 2:
                    break


def test_nothing_to_commit() -> None:
    with FakeService(FRAGMENTS).consumer(store=MemoryCheckpoints(), until=Until(fragments=1)) as consumer:
        with pytest.raises(UsageError, match="nothing to commit yet"):
            consumer.commit()
        (fragment,) = list(consumer)
    with pytest.raises(UsageError, match="without checkpoint="):
        consumer.commit(fragment)
    with FakeService(FRAGMENTS).consumer(until=Until(fragments=1)) as consumer:
        list(consumer)
        with pytest.raises(UsageError, match="without checkpoint="):
            consumer.commit()


def test_sqlite(tmp_path: Path) -> None:
    with SqliteCheckpoints(tmp_path / "door.db") as store:
        for at in range(5):
            service = FakeService(FRAGMENTS, Reply(cut=900, fault=RESET))
            with service.consumer(store=store, until=Until(fragments=1)) as consumer:
                for fragment in consumer:
                    assert fragment.number == NUMBERS[at]
                    consumer.commit(fragment)


# -- owners


def test_waits_while_another_owner_has_it() -> None:
    store = MemoryCheckpoints()
    other = store.claim("door")
    assert other is not None
    service = FakeService(FRAGMENTS)
    told: list[Any] = []

    def tell(event: Any) -> None:
        told.append(event)
        if len(told) == 3:
            other.save(checkpoint_of(FRAGMENTS[1]))
            other.release()

    options: dict[str, Any] = {"store": store, "until": Until(fragments=1), "claim_every": 7.0}
    with service.consumer(on_event=tell, **options) as consumer:
        assert [fragment.number for fragment in consumer] == [NUMBERS[2]]
    assert told == [Waiting("door", 7.0)] * 3
    assert service.clock.pauses == [7.0] * 3


def test_waiting_is_an_event_too() -> None:
    store = MemoryCheckpoints()
    other = store.claim("door")
    assert other is not None
    with FakeService(FRAGMENTS).consumer(store=store) as consumer:
        events = consumer.events()
        assert next(events) == Waiting("door", 5.0)
        other.release()
        assert isinstance(next(events), FragmentStart)


class Contested:
    """A checkpoint that another owner asks for, or has taken, from the ``after``-th fragment on."""

    def __init__(self, error: CheckpointError | None, after: int) -> None:
        self.error = error
        self.after = after
        self.store = MemoryCheckpoints()
        self.asked = self.claims = 0

    def claim(self, stream: str) -> Contested | None:
        self.claims += 1
        self.inner = self.store.claim(stream)
        return self if self.inner else None

    def close(self) -> None:
        self.store.close()

    def load(self) -> Checkpoint | None:
        return self.store.saved("door")

    def save(self, checkpoint: Checkpoint) -> None:
        if self.error is not None and self.claims == 1 and self.asked >= self.after:
            raise self.error
        assert self.inner is not None
        self.inner.save(checkpoint)

    def may_continue(self) -> bool:
        self.asked += 1
        if self.claims > 1 or self.asked < self.after:
            return True
        if self.error is not None:
            raise self.error
        return False

    def release(self) -> None:
        if self.inner is not None:
            self.inner.release()


@pytest.mark.parametrize("mode", ["fragments", "frames"])
def test_it_is_handed_over_between_fragments_and_claimed_again(mode: str) -> None:
    store = Contested(None, after=4)
    service = FakeService(FRAGMENTS)
    with service.consumer(store=store, until=Until(fragments=5), auto_commit=True) as consumer:
        found = list(consumer) if mode == "fragments" else list(consumer.frames())
    assert len(found) == (5 if mode == "fragments" else 15)
    assert store.claims == 2
    assert service.clock.pauses[0] == 5.0
    assert store.store.saved("door") == checkpoint_of(FRAGMENTS[4])


@pytest.mark.parametrize("auto_commit", [True, False])
def test_a_lease_that_is_lost_ends_the_session(auto_commit: bool) -> None:
    lost = LeaseLost("somebody else has it")
    service = FakeService(FRAGMENTS)
    with service.consumer(store=Contested(lost, after=4), auto_commit=auto_commit) as consumer:
        with pytest.raises(LeaseLost):
            for fragment in consumer:
                if not auto_commit:
                    consumer.commit(fragment)
        assert consumer.end is kvsfast.SessionEnd.FAILED
        assert not service.open_bodies
        with pytest.raises(LeaseLost):
            next(iter(consumer))


def test_a_store_that_cannot_be_reached_is_an_error_at_once() -> None:
    class Unreachable(MemoryCheckpoints):
        def claim(self, stream: str) -> Any:
            raise CheckpointError("no such table")

    service = FakeService(FRAGMENTS)
    with (
        service.consumer(store=Unreachable()) as consumer,
        pytest.raises(CheckpointError, match="no such table"),
    ):
        list(consumer)
    assert service.asked == []


def test_memory_store() -> None:
    store = MemoryCheckpoints()
    one = store.claim("door")
    assert one is not None and store.claim("door") is None and store.claim("other") is not None
    one.release()
    two = store.claim("door")
    one.release()  # of a former owner: changes nothing
    assert two is not None and store.claim("door") is None
    store.close()
    assert store.claim("door") is not None
