"""Many streams in one thread: merged, fair, and one stream's trouble is its own."""

from __future__ import annotations

import gc
import itertools
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config

import kvsfast
from kvsfast import Client, StandardResume, StartSelector, Until, UsageError
from kvsfast.consume.events import Idle, Reconnected
from kvsfast.emulator import Emulator
from kvsfast.emulator.faults import Cut, ErrorDocument, HttpError, Stall
from tests.consume.test_consumer import peer_client
from tests.mkv_writer import Block, service_fragment
from tests.waiting import open_files, wait_for
from tests.wire import CHUNKED_HEAD, HANG, LAST_CHUNK, Peer, Server, http_chunk

START = StartSelector.earliest()
#: Backoff in milliseconds, so that nothing here waits.
QUICK = StandardResume(base=0.005, longest=0.02)
COUNT = 6


def media(*sizes: int, first: int = 0, count: int = COUNT) -> bytes:
    return b"".join(
        service_fragment(
            sequence=first + i,
            frames=[
                Block(bytes((i + 1,)) * size, time=40 * n, keyframe=n == 0) for n, size in enumerate(sizes)
            ],
        )
        for i in range(count)
    )


SMALL = media(3000, 200)

pytestmark = pytest.mark.usefixtures("no_environment")


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()  # what was dropped without close warns, and warnings are errors

    def left() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name.startswith("kvsfast-")} - before

    wait_for(lambda: not left())


def client_of(service: Emulator, **keywords: Any) -> Client:
    return Client(**{"config": Config(proxies={}), **service.client_options(), **keywords})


def consumers_of(client: Client, names: list[str], **options: Any) -> list[kvsfast.Consumer]:
    options = {"resume": QUICK, "until": Until(fragments=COUNT), **options}
    return [client.consume(name, START, **options) for name in names]


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_merged_streams(tls: bool) -> None:
    names = [f"door-{i}" for i in range(5)]
    with Emulator(dict.fromkeys(names, SMALL), tls=tls) as service:
        got = defaultdict(list)
        with kvsfast.consume_many(consumers_of(client_of(service), names)) as group:
            assert [each.stream for each in group.consumers] == names
            for consumer, fragment in group:
                got[consumer.stream].append(fragment.number)
                assert fragment.is_complete and len(fragment.frames) == 2
            assert not group.consumers and not group.failures
        client = client_of(service)
        for name in names:
            with client.get_media(name, START) as one:
                assert [each.number for each in one.fragments()] == got[name]


def test_frames_and_events() -> None:
    with Emulator({"a": SMALL, "b": SMALL}) as service:
        client = client_of(service)
        with kvsfast.consume_many(consumers_of(client, ["a", "b"], key_frames_only=True)) as group:
            frames = Counter((each.stream, frame.size) for each, frame in group.frames())
        assert frames == {("a", 3000): COUNT, ("b", 3000): COUNT}
        with kvsfast.consume_many(consumers_of(client, ["a", "b"])) as group:
            kinds = Counter((each.stream, type(event).__name__) for each, event in group.events())
            with pytest.raises(UsageError, match="read by events"):
                group.frames()
        for name in ("a", "b"):
            assert kinds[name, "FragmentStart"] == kinds[name, "FragmentEnd"] == COUNT
            assert kinds[name, "Frame"] == 2 * COUNT


def test_streams_take_turns() -> None:
    """A stream that has much to give does not keep one that has little from its own."""
    large, small = media(400_000, 400_000), media(100)
    seen: Counter[str] = Counter()
    with Emulator({"large": large, "small": small}, loop=True) as service:
        with kvsfast.consume_many(consumers_of(client_of(service), ["large", "small"], until=None)) as group:
            for consumer, _ in group:
                seen[consumer.stream] += 1
                if min(seen["large"], seen["small"]) == 40:  # the large one never ends
                    break


def test_the_troubles_of_three_hundred_streams_stay_their_own() -> None:
    """One is poisoned, one stalls, one is created anew, one is refused: the others get theirs."""
    names = [f"stream-{i:03}" for i in range(300)]
    poisoned, stalled, anew, refused = names[7], names[77], names[177], names[277]
    events: dict[str, list[object]] = defaultdict(list)
    failed: dict[str, str] = {}
    got: dict[str, list[str]] = defaultdict(list)
    threads: set[int] = set()
    with Emulator(dict.fromkeys(names, SMALL), limits=False) as service:
        service.poison(poisoned, service.stream(poisoned).fragments()[3].number, Cut("reset"))
        service.faults.plan(stalled, Stall(fragment=2), times=1)
        service.configure(refused, refusal=HttpError("NotAuthorizedException"))
        client = client_of(service, idle_timeout=2.0)
        consumers = [
            client.consume(
                name,
                START,
                resume=QUICK,
                until=Until(fragments=2 * COUNT if name == anew else COUNT),
                max_refetches=2,
                idle_after=0.2,
                on_event=events[name].append,
            )
            for name in names
        ]
        with kvsfast.consume_many(
            consumers,
            threads=4,
            on_failure=lambda each, error: failed.update({each.stream: type(error).__name__}),
        ) as group:
            for consumer, fragment in group:
                threads.add(threading.get_ident())
                got[consumer.stream].append(fragment.number or "")
                if consumer.stream == anew and len(got[anew]) == COUNT:
                    service.recreate_stream(anew, SMALL)
            running = [each for each in threading.enumerate() if each.name.startswith("kvsfast-many")]
            assert len(running) <= 4
        wait_for(lambda: service.open_connections(stalled) == 0)
    assert threads == {threading.get_ident()}
    assert failed == {poisoned: "ResumeFailed", refused: "NotAuthorizedException"}
    assert set(map(type, events[stalled])) >= {Idle, Reconnected}
    assert any(type(event).__name__ == "StreamReset" for event in events[anew])
    wanted = dict.fromkeys(names, COUNT) | {poisoned: 3, refused: 0, anew: 2 * COUNT}
    assert {name: len(got[name]) for name in names} == wanted
    assert all(len(set(numbers)) == len(numbers) for numbers in got.values())


def test_failures_are_raised_in_the_end() -> None:
    with Emulator({"a": SMALL, "b": SMALL}) as service:
        service.configure("b", refusal=HttpError("ResourceNotFoundException"))
        with kvsfast.consume_many(consumers_of(client_of(service), ["a", "b"])) as group:
            items = iter(group)
            whole = 0
            with pytest.raises(ExceptionGroup, match="1 streams were given up") as caught:
                for consumer, _ in items:
                    assert consumer.stream == "a"
                    whole += 1
            assert whole == COUNT
            (error,) = caught.value.exceptions
            assert isinstance(error, kvsfast.ResourceNotFoundException)
            assert [each.stream for each in group.failures] == ["b"] and "1 failed" in repr(group)
            assert list(items) == []  # told once


def test_each_has_its_own_checkpoint(tmp_path: Any) -> None:
    path = tmp_path / "doors.db"
    names = ["a", "b"]
    with Emulator(dict.fromkeys(names, SMALL)) as service:
        client = client_of(service)

        def session(limit: int) -> dict[str, list[str | None]]:
            got = defaultdict(list)
            with kvsfast.consume_many(
                consumers_of(client, names, checkpoint=path, until=Until(fragments=limit))
            ) as group:
                for consumer, fragment in group:
                    got[consumer.stream].append(fragment.number)
                    consumer.commit(fragment)
            return got

        first, second = session(2), session(COUNT - 2)
    for name in names:
        numbers = first[name] + second[name]
        assert len(numbers) == len(set(numbers)) == COUNT and numbers == sorted(numbers, key=str)


def test_streams_join_and_leave() -> None:
    with Emulator({"a": SMALL, "b": SMALL, "c": SMALL}, loop=True) as service:
        client = client_of(service)
        a, b = consumers_of(client, ["a", "b"], until=None)
        seen: Counter[str] = Counter()
        with kvsfast.consume_many([a]) as group:
            for consumer, _ in group:
                seen[consumer.stream] += 1
                if seen["a"] == 10 and not seen["b"]:
                    group.add(b)
                if seen["b"] == 10 and a.end is None:
                    a.close()
                    group.add(*consumers_of(client, ["c"], until=Until(fragments=5)))
                if seen["c"] == 5:
                    b.close()
            assert seen["c"] == 5 and a.end == b.end == kvsfast.SessionEnd.CLOSED
            with pytest.raises(UsageError, match="read already, or closed"):
                group.add(a)
            with pytest.raises(UsageError, match=r"expected what client\.consume"):
                group.add("a")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="closed"):
            group.add(*consumers_of(client, ["c"]))


def waiting(service: Emulator) -> None:
    """A response that brings nothing."""
    service.faults.plan("a", Stall(after_bytes=0))


def in_backoff(service: Emulator) -> None:
    service.configure("a", refusal=HttpError("ServiceUnavailable"))


@pytest.mark.parametrize("whose", ["group", "consumer"])
@pytest.mark.parametrize("trouble", [waiting, in_backoff])
def test_close_from_another_thread_ends_every_wait(trouble: Callable[[Emulator], None], whose: str) -> None:
    with Emulator({"a": SMALL}) as service:
        trouble(service)
        slow = StandardResume(base=100, longest=100)
        (consumer,) = consumers_of(client_of(service), ["a"], resume=slow, until=None)
        with kvsfast.consume_many([consumer]) as group:
            closing = threading.Timer(0.2, (group if whose == "group" else consumer).close)
            closing.start()
            assert list(group) == []
            closing.join(HANG)
            assert consumer.end == kvsfast.SessionEnd.CLOSED
        group.close()


def leave_early() -> None:
    with Emulator({"a": SMALL, "b": SMALL}, loop=True) as service:
        with kvsfast.consume_many(consumers_of(client_of(service), ["a", "b"], until=None)) as group:
            for _, fragment in group:
                assert fragment.number
                break
            assert len(group.stats) == 2


def test_leaving_early_gives_everything_back() -> None:
    before = open_files()
    leave_early()
    # A call that was under way is given up, and what it brings is closed when it comes.
    wait_for(lambda: open_files() <= before)


def test_an_error_in_the_media_is_ridden_out_by_the_policy() -> None:
    with Emulator({"a": SMALL, "b": SMALL}) as service:
        service.faults.plan(
            "a", ErrorDocument(5000, fragment=2), Cut("reset", fragment=1), Cut("close", fragment=1)
        )
        with kvsfast.consume_many(consumers_of(client_of(service), ["a", "b"])) as group:
            got = Counter(consumer.stream for consumer, _ in group)
    assert got == {"a": COUNT, "b": COUNT}


def test_silence_is_told_of_a_stream_that_trickled_before() -> None:
    """For longer than ``idle_after`` there is always a little, so that each wait is over before it is due;
    then there is nothing, and then the rest."""
    fragment = service_fragment(sequence=1, frames=[Block(b"x" * 3000, time=40 * n) for n in range(20)])
    body = http_chunk(fragment) + LAST_CHUNK
    told = threading.Event()

    def trickle(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        for at in range(0, 40_000, 4000):
            peer.send(body[at : at + 4000])
            time.sleep(0.05)
        told.clear()
        assert told.wait(HANG), "the silence was not told"
        peer.send(body[40_000:])

    def tell(event: object) -> None:
        if isinstance(event, Idle):
            told.set()

    with Server(trickle) as server:
        client = peer_client(server)
        one = client.consume(
            "a", START, until=Until(fragments=1), idle_after=0.2, on_event=tell, resume=QUICK
        )
        with kvsfast.consume_many([one]) as group:
            assert [frame.size for _, frame in group.frames()] == [3000] * 20
        assert len(server.requests) == 1


def test_an_interrupt_of_the_wait_ends_no_stream() -> None:
    """Who goes on iterating gets what is left, once."""
    fragment = service_fragment(sequence=1, frames=[Block(b"x" * 3000, time=40 * n) for n in range(20)])
    body = http_chunk(fragment) + LAST_CHUNK
    interrupted = threading.Event()

    def halting(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD + body[:30_000])
        assert interrupted.wait(HANG)
        peer.send(body[30_000:])

    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    with Server(halting) as server:
        client = peer_client(server)
        one = client.consume("a", START, until=Until(fragments=1), resume=QUICK)
        previous = signal.signal(signal.SIGALRM, handler)
        try:
            with kvsfast.consume_many([one]) as group:
                items = group.frames()
                got = [frame.size for _, frame in itertools.islice(items, 8)]
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                with pytest.raises(KeyboardInterrupt):
                    while True:
                        got.append(next(items)[1].size)
                interrupted.set()
                got += [frame.size for _, frame in items]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert got == [3000] * 20 and len(server.requests) == 1


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match="threads is 0"):
        kvsfast.consume_many([], threads=0)
    with pytest.raises(UsageError, match="on_failure is 7"):
        kvsfast.consume_many([], on_failure=7)  # type: ignore[arg-type]
    with kvsfast.consume_many([]) as group:
        assert list(group) == []
    with Emulator({"a": SMALL}) as service:
        client = client_of(service)
        (ahead,) = consumers_of(client, ["a"], prefetch_bytes=100_000)
        with kvsfast.consume_many([ahead]) as group, pytest.raises(ExceptionGroup) as caught:
            list(group)
        assert "prefetch_bytes" in str(caught.value.exceptions[0])
        (one,) = consumers_of(client, ["a"])
        with kvsfast.consume_many([one]), pytest.raises(UsageError, match="belongs to a group"):
            iter(one)
