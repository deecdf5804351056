"""A producer, a service that fails at random, and a consumer that is killed and started again at random.

Whatever happens: what is delivered is what was produced, in order, each once in a run; and a run begins
behind what was committed before it. For fragments, for frames and for events.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kvsfast import (
    Client,
    ConnectFailed,
    ConnectionLimitExceededException,
    Consumer,
    Fragment,
    FragmentEnd,
    FragmentStart,
    Frame,
    MediaError,
    MemoryCheckpoints,
    ServiceError,
    SqliteCheckpoints,
    StandardResume,
    StartSelector,
    TransportError,
)
from kvsfast.emulator import Emulator, RandomFaults
from kvsfast.limiter import Limiter
from tests.consume.fake import FakeService, Reply, Stored, stored
from tests.mkv_writer import Block, error_document, service_fragment

ERRORS = st.sampled_from(
    [
        ServiceError("busy", code="ServiceUnavailable", status=503, retryable=True),
        ConnectionLimitExceededException(),
        ConnectFailed("DNS"),
        TransportError("no head"),
    ]
)
#: What happens behind the last byte: a clean end, silence of some length, or an error.
FAULTS = st.one_of(
    st.none(),
    st.sampled_from([TransportError("reset"), MediaError("damage")]),
    st.floats(0.1, 200.0),
)
CUTS = st.builds(Reply, cut=st.integers(0, 4000), fault=FAULTS, piece=st.integers(1, 900))
REPLIES = st.one_of(
    CUTS,
    CUTS,
    st.builds(Reply, most=st.integers(0, 3), fault=FAULTS),
    st.builds(Reply, again=st.integers(1, 3)),
    st.builds(Reply, error=ERRORS),
    st.builds(Reply, media=st.sampled_from([b"", error_document("INTERNAL", 5000)])),
)


def items_of(fragment: Stored, mode: str) -> list[Any]:
    """What a fragment gives in a mode."""
    if mode == "fragments":
        return [fragment.number]
    frames = [(fragment.number, payload) for payload in fragment.frames]
    if mode == "frames":
        return [*frames]
    return [("start", fragment.number), *frames, ("end", fragment.number)]


class Model(RuleBasedStateMachine):
    """The stream is ``produced``; ``next`` is the index of the fragment and ``given`` the number of its items
    that the consumer gave, of those behind ``committed``."""

    @initialize(mode=st.sampled_from(["fragments", "frames", "events"]), auto_commit=st.booleans())
    def begin(self, mode: str, auto_commit: bool) -> None:
        self.mode = mode
        self.auto_commit = auto_commit
        self.service = FakeService()
        self.service.knows_what_it_lacks = True
        self.service.default = Reply(again=1)  # every response begins with what may have been delivered
        self.store = MemoryCheckpoints()
        self.produced: list[Stored] = []
        self.sequence = 0
        self.committed = 0  # how many fragments
        self.gone = 0  # how many were in a stream that is no more
        self.start_consumer()

    def start_consumer(self) -> None:
        self.consumer: Consumer = self.service.consumer(
            store=self.store,
            auto_commit=self.auto_commit,
            max_refetches=10**6,
            resume=StandardResume(),
            idle_after=7.0,
        )
        ways = {
            "fragments": self.consumer.__iter__,
            "frames": self.consumer.frames,
            "events": self.consumer.events,
        }
        self.items: Any = ways[self.mode]()
        self.next = self.committed
        self.given = 0

    @rule(
        count=st.integers(1, 3),
        frames=st.integers(1, 6),
        jump=st.booleans(),
        size=st.sampled_from([3, 40, 300]),
    )
    def produce(self, count: int, frames: int, jump: bool, size: int) -> None:
        if jump:
            self.sequence = (self.sequence // 1000 + 1) * 1000
        for _ in range(count):
            self.sequence += 1
            self.service.clock.pass_by(2.0)
            at = self.service.clock.now - self.service.started
            fragment = stored(self.sequence, at=at, frames=frames, size=size)
            self.produced.append(fragment)
            self.service.fragments.append(fragment)

    @rule(replies=st.lists(REPLIES, min_size=1, max_size=5))
    def plan(self, replies: list[Reply]) -> None:
        self.service.replies.extend(replies)

    def expected(self) -> Any:
        return items_of(self.produced[self.next], self.mode)[self.given]

    @precondition(lambda self: self.next < len(self.produced))
    @rule(count=st.integers(1, 12))
    def read(self, count: int) -> None:
        while count and self.next < len(self.produced):
            count -= 1
            if self.auto_commit and self.given == 0:
                self.committed = self.next
            found = next(self.items)
            while not isinstance(found, Fragment | Frame | FragmentStart | FragmentEnd):
                found = next(self.items)
            assert value_of(found) == self.expected()
            self.given += 1
            if self.given == len(items_of(self.produced[self.next], self.mode)):
                self.next += 1
                self.given = 0

    @precondition(lambda self: not self.auto_commit and self.consumer.position is not None)
    @rule()
    def commit(self) -> None:
        """All fragments that were given whole. Of the last frames given, the end of their fragment may not
        have arrived."""
        self.consumer.commit()
        committed = self.consumer.committed
        assert committed is not None
        numbers = [fragment.number for fragment in self.produced]
        self.committed = max(self.gone, numbers.index(committed.number) + 1)
        assert self.next - 1 <= self.committed <= self.next

    @rule(is_killed=st.booleans())
    def restart(self, is_killed: bool) -> None:
        if is_killed:
            self.service.open_bodies.clear()  # the system closes what a dead process had open
            self.store.close()
        else:
            self.consumer.close()
            assert not self.service.open_bodies
        self.start_consumer()

    @precondition(lambda self: self.committed > 0)
    @rule()
    def forget_what_was_committed(self) -> None:
        """Retention passes over fragments that nobody will ask for again, the one to go on from among
        them."""
        first = self.produced[min(self.committed, self.next) - 1 :]
        kept = {fragment.number for fragment in first[1:]}
        self.service.fragments = [each for each in self.service.fragments if each.number in kept]

    @precondition(lambda self: self.next == len(self.produced) > 0)
    @rule(count=st.integers(1, 3))
    def create_the_stream_anew(self, count: int) -> None:
        """When all was given. Nothing of it can be had again, committed or not."""
        self.service.fragments = []
        self.sequence = 0
        self.committed = self.gone = self.next
        self.produce(count, 2, False, 40)

    @invariant()
    def nothing_came_again_as_something_else(self) -> None:
        if hasattr(self, "consumer"):
            assert self.consumer.stats.mismatches == 0

    def teardown(self) -> None:
        if hasattr(self, "consumer"):
            self.read(10**6)
            self.consumer.close()
            assert not self.service.open_bodies


def value_of(item: Any) -> Any:
    if isinstance(item, Frame):
        return item.fragment.number, bytes(item)
    if isinstance(item, FragmentStart):
        return "start", item.number
    if isinstance(item, FragmentEnd):
        assert item.is_complete
        return "end", item.number
    return item.number


Model.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestModel = Model.TestCase


# -- the same on sockets, smaller

MEDIA = b"".join(
    service_fragment(sequence=i, frames=[Block(bytes([i, n]) * 700, 40 * n, 1, n == 0) for n in range(6)])
    for i in range(10)
)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("mode", ["fragments", "frames"])
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), runs=st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=6))
def test_on_sockets(
    mode: str, seed: int, runs: list[tuple[int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each run gives so many items and ends, with what it gave committed or not; the last gives the rest."""
    path: Path = tmp_path_factory.mktemp("model") / "door.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kvsfast.opening.shared_limiter", Limiter(calls_per_second=1000))
        with Emulator({"door": MEDIA}, faults=RandomFaults(seed), limits=False) as service:
            client = Client(config=Config(proxies={}), idle_timeout=0.3, **service.client_options())
            stream = service.stream("door")
            numbers = [stream.fragment(index).number for index in range(10)]
            with SqliteCheckpoints(path, synchronous="OFF") as store:
                committed = 0
                for count, commits in [*runs, (10**6, True)]:
                    expected = numbers[committed:]
                    if mode == "frames":
                        expected = [number for number in expected for _ in range(6)]
                    with client.consume(
                        "door",
                        StartSelector.earliest(),
                        checkpoint=store,
                        resume=StandardResume(base=0.001, longest=0.01),
                        max_refetches=10**6,
                    ) as consumer:
                        items: Any = iter(consumer) if mode == "fragments" else consumer.frames()
                        found = [next(items) for _ in expected[:count]]
                        given = [getattr(item, "fragment", item).number for item in found]
                        assert given == expected[:count]
                        if commits and consumer.position is not None and found:
                            consumer.commit()
                            assert consumer.committed is not None
                            committed = numbers.index(consumer.committed.number) + 1
