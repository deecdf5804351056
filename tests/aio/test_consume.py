"""A session on an event loop: what :mod:`tests.consume` shows of the blocking one, by the same lanes."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kvsfast import (
    KvsFastError,
    ResourceNotFoundException,
    StandardResume,
    StartSelector,
    Until,
    UsageError,
    aio,
)
from kvsfast.consume.events import Reconnected
from kvsfast.consume.session import SessionEnd
from kvsfast.emulator import Emulator
from kvsfast.emulator.faults import Cut, ErrorDocument, HttpError, Stall
from tests.aio.test_aio import client_of, run
from tests.consume.test_many import COUNT, QUICK, SMALL

START = StartSelector.earliest()
SLOW = StandardResume(base=100, longest=100)

pytestmark = pytest.mark.usefixtures("no_environment")


async def numbers(items: AsyncIterator[Any]) -> list[str]:
    return [item.number async for item in items]


FAULTS = (
    Cut("reset", fragment=1),
    ErrorDocument(5000, fragment=1),
    Cut("eof", fragment=2, inside="end"),
    HttpError("ServiceUnavailable"),
    Cut("close", fragment=0, inside="trailer"),
)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_nothing_is_lost_and_nothing_comes_twice(tls: bool) -> None:
    async def main() -> None:
        async with client_of(service) as client:
            async with client.get_media("door", START) as media:
                expected = [each.number async for each in media.fragments()]
                sizes = [3000, 200] * COUNT
            for mode in ("fragments", "frames", "events"):
                service.faults.plan("door", *FAULTS)
                options = {"resume": QUICK, "until": Until(fragments=COUNT)}
                async with client.consume("door", START, **options) as consumer:  # type: ignore[arg-type]
                    if mode == "fragments":
                        assert await numbers(aiter(consumer)) == expected
                    elif mode == "frames":
                        assert [frame.size async for frame in consumer.frames()] == sizes
                    else:
                        kinds = Counter([type(event).__name__ async for event in consumer.events()])
                        assert (kinds["FragmentStart"], kinds["Frame"], kinds["FragmentEnd"]) == (
                            COUNT,
                            2 * COUNT,
                            COUNT,
                        )
                        assert kinds[Reconnected.__name__] >= 3
                    assert consumer.end == SessionEnd.UNTIL and consumer.stats.reconnects >= 3
                    assert consumer.position and consumer.position.number == expected[-1]

    with Emulator({"door": SMALL}, limits=False, tls=tls) as service:
        run(main())


def test_checkpoints(tmp_path: Any) -> None:
    path = tmp_path / "door.db"

    async def main() -> None:
        async with client_of(service) as client:
            got: list[str | None] = []
            for count in (2, 3):
                async with client.consume(
                    "door", START, checkpoint=path, resume=QUICK, until=Until(fragments=count)
                ) as fragments:
                    async for fragment in fragments:
                        got.append(fragment.number)
                        await fragments.commit(fragment)
                    assert fragments.committed and fragments.committed.number == got[-1]
            assert len(set(got)) == 5
            async with client.consume(
                "door", START, checkpoint=path, resume=QUICK, auto_commit=True
            ) as fragments:
                async for fragment in fragments:
                    assert fragment.number not in got
                    break
            # What the loop was left with was not asked past, so it is not committed.
            async with client.consume(
                "door", START, checkpoint=path, resume=QUICK, until=Until(fragments=1)
            ) as fragments:
                assert await numbers(aiter(fragments)) == [fragment.number]

    with Emulator({"door": SMALL}, limits=False) as service:
        run(main())


def test_a_cancelled_wait_loses_nothing() -> None:
    async def main() -> None:
        async with client_of(service) as client:
            service.faults.plan("door", HttpError("ServiceUnavailable"), Stall(0.3, fragment=1), Cut("reset"))
            async with client.consume(
                "door", START, resume=StandardResume(base=0.1), until=Until(fragments=COUNT)
            ) as consumer:
                got = []
                while consumer.end is None:
                    try:
                        got.append(await asyncio.wait_for(anext(aiter(consumer)), 0.01))
                    except TimeoutError:
                        continue
                    except StopAsyncIteration:
                        break
            assert len({each.number for each in got}) == len(got) == COUNT

    with Emulator({"door": SMALL}, limits=False) as service:
        run(main())


@pytest.mark.parametrize("wait", ["media", "backoff", "answer"])
def test_close_ends_every_wait(wait: str) -> None:
    async def main() -> None:
        if wait == "media":
            service.faults.plan("door", Stall(after_bytes=0))
        elif wait == "backoff":
            service.configure("door", refusal=HttpError("ServiceUnavailable"))
        else:
            from kvsfast.emulator.faults import NoAnswer

            service.faults.plan("door", NoAnswer("stall", 0.5))
        async with client_of(service) as client:
            consumer = client.consume("door", START, resume=SLOW)
            reading = asyncio.create_task(numbers(aiter(consumer)))
            await asyncio.sleep(0.2)
            with pytest.raises(UsageError, match="another task"):
                await anext(aiter(consumer))
            await consumer.close()
            assert await reading == [] and consumer.end == SessionEnd.CLOSED
            await consumer.close()
            with pytest.raises(UsageError, match="closed"):
                async with consumer:
                    pass

    with Emulator({"door": SMALL}) as service:
        run(main())


def test_one_mode_and_no_read_ahead() -> None:
    async def main() -> None:
        async with client_of(service) as client, client.consume("door", START) as consumer:
            await anext(consumer.frames())
            with pytest.raises(UsageError, match="read by frames"):
                consumer.events()
        async with client_of(service) as client, client.consume("door", START, prefetch_bytes=1) as ahead:
            with pytest.raises(UsageError, match="prefetch_bytes"):
                await anext(aiter(ahead))

    with Emulator({"door": SMALL}) as service:
        run(main())


def test_many_streams_in_one_task() -> None:
    names = [f"stream-{i:03}" for i in range(100)]
    refused, stalled = names[3], names[33]
    failed: dict[str, KvsFastError] = {}

    async def main() -> None:
        service.configure(refused, refusal=HttpError("NotAuthorizedException"))
        service.faults.plan(stalled, Stall(fragment=2))
        async with client_of(service, idle_timeout=0.5, threads=4) as client:
            consumers = [
                client.consume(name, START, resume=QUICK, until=Until(fragments=COUNT)) for name in names
            ]
            got = defaultdict(list)
            async with aio.consume_many(
                consumers, on_failure=lambda each, error: failed.update({each.stream: error})
            ) as group:
                async for consumer, fragment in group:
                    got[consumer.stream].append(fragment.number)
                assert not group.consumers and len(group.failures) == 1 and not group.stats
            assert [len(got[name]) for name in names] == [0 if name == refused else COUNT for name in names]
            assert list(failed) == [refused]
            threads = [each for each in threading.enumerate() if each.name.startswith("kvsfast")]
            assert sum("emulator" not in each.name for each in threads) <= 4

    with Emulator(dict.fromkeys(names, SMALL), limits=False) as service:
        run(main())


def test_a_group_commits_what_was_dealt_with(tmp_path: Any) -> None:
    """An item that waits for its turn is not dealt with yet."""
    path = tmp_path / "doors.db"

    async def main() -> None:
        async with client_of(service) as client:
            seen = defaultdict(list)

            def consumers(**options: Any) -> list[aio.Consumer]:
                return [
                    client.consume(name, START, checkpoint=path, resume=QUICK, auto_commit=True, **options)
                    for name in ("a", "b")
                ]

            async with aio.consume_many(consumers()) as group:
                async for consumer, fragment in group:
                    seen[consumer.stream].append(fragment.number)
                    if sum(map(len, seen.values())) == 5:
                        break
            last = consumer.stream
            seen[last].pop()  # the loop was left in the middle of this one
            async with aio.consume_many(consumers(until=Until(number="9" * 47))) as group:
                async for consumer, fragment in group:
                    seen[consumer.stream].append(fragment.number)
                    if len(seen["a"]) == len(seen["b"]) == COUNT:
                        break
            for name in ("a", "b"):
                assert len(set(seen[name])) == len(seen[name]) == COUNT

    with Emulator({"a": SMALL, "b": SMALL}, limits=False) as service:
        run(main())


def test_failures_members_and_closing() -> None:
    async def main() -> None:
        async with client_of(service) as client:
            one = client.consume("a", START, resume=QUICK, until=Until(fragments=COUNT))
            gone = client.consume("nobody", START, resume=QUICK)
            async with aio.consume_many([one, gone]) as group:
                count = 0
                with pytest.raises(ExceptionGroup) as caught:
                    async for _ in group:
                        count += 1
                assert count == COUNT
                assert isinstance(caught.value.exceptions[0], ResourceNotFoundException)
                with pytest.raises(UsageError, match="read by fragments"):
                    group.frames()
            with pytest.raises(UsageError, match="closed"):
                group.add(one)
            with pytest.raises(UsageError, match=r"expected what aio\.Client"):
                aio.consume_many([7])  # type: ignore[list-item]
            service.faults.plan("a", Stall(after_bytes=0))
            waiting = client.consume("a", START)
            group = aio.consume_many([waiting])
            with pytest.raises(UsageError, match="already"):
                group.add(waiting)

            async def read() -> int:
                return len([item async for item in group.frames()])

            reading = asyncio.create_task(read())
            await asyncio.sleep(0.1)
            await group.close()
            assert await reading == 0

    with Emulator({"a": SMALL}, limits=False) as service:
        run(main())
