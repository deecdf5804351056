"""The life of a stream: a test is the producer, and the service goes on around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from kvsfast.emulator import Emulator, ManualClock
from kvsfast.emulator.numbers import FragmentNumber
from kvsfast.emulator.stream import Ingested
from kvsfast.errors import UsageError
from tests.emulator import mkv
from tests.emulator.conftest import Sdk
from tests.emulator.wire import Document, dissect

MakeSdk = Callable[..., Sdk]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(clock: ManualClock) -> Iterator[Emulator]:
    """A stream that holds nothing yet; responses stay open for 60 seconds of a clock that stands."""
    with Emulator({"s": []}, clock=clock, idle_seconds=60.0, limits=False) as one:
        yield one


def cluster(n: int, **how: Any) -> bytes:
    """A file of one fragment whose frames tell which one it is."""
    return mkv.document(mkv.INFO, mkv.TRACKS, mkv.cluster(0, mkv.blocks(n, **how)))


def sequences(fragments: list[Ingested]) -> list[int]:
    return [FragmentNumber.parse(fragment.number).sequence for fragment in fragments]


def told(documents: list[Document]) -> list[tuple[str, bytes]]:
    return [(document.number, document.media) for document in documents]


def made(fragments: list[Ingested]) -> list[tuple[str, bytes]]:
    return [(fragment.number, bytes(fragment.stored.body)) for fragment in fragments]


def rest(payload: Any, clock: ManualClock) -> list[Document]:
    """What an open response still has to say, when nothing more is produced."""
    clock.wait_for_sleepers()
    clock.advance(60)
    return dissect(payload.read())


def test_what_is_produced_is_delivered(service: Emulator, clock: ManualClock, sdk: MakeSdk) -> None:
    with contextlib.closing(sdk(service).open("s")) as payload:
        with service.producer("s") as camera:
            for n in range(3):
                camera.send(cluster(n))
                clock.advance(1)
        assert told(rest(payload, clock)) == made(camera.sent)
    assert sequences(camera.sent) == [1, 2, 3]
    assert made(service.stream("s").fragments()) == made(camera.sent)
    assert [b.server_ms - a.server_ms for a, b in zip(camera.sent, camera.sent[1:], strict=False)] == [
        1000,
        1000,
    ]


def test_a_session_that_follows_has_the_next_thousand(service: Emulator, sdk: MakeSdk) -> None:
    every: list[Ingested] = []
    for count in (2, 1, 3):
        with service.producer("s") as camera:
            every += camera.send(mkv.clip(count))
            with pytest.raises(UsageError, match="one at a time"):
                service.producer("s")
    assert sequences(every) == [1, 2, 1001, 2001, 2002, 2003]
    service.configure("s", idle_seconds=0)
    client = sdk(service)
    for index, fragment in enumerate(every):
        documents = dissect(client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=fragment.number))
        assert told(documents) == made(every[index + 1 :])
    with pytest.raises(UsageError, match="is over"):
        camera.send(cluster(0))


def test_a_fragment_that_is_held_has_no_trailer_yet(
    service: Emulator, clock: ManualClock, sdk: MakeSdk
) -> None:
    with service.producer("s") as camera, contextlib.closing(sdk(service).open("s")) as payload:
        camera.send(cluster(0), hold=True)
        body = b""
        while mkv.frames(0)[-1] not in body:
            body += payload.read(1)
        clock.wait_for_sleepers()
        clock.advance(2)
        assert service.stream("s").fragments()[0].closes_ms is None
        camera.send(cluster(1), hold=True)
        clock.wait_for_sleepers()
        clock.advance(3)
        camera.close_fragment()
        documents = dissect(body + rest_of(payload, clock))
    assert told(documents) == made(camera.sent)
    assert [document.millis_behind_now for document in documents] == [2000, 3000]


def rest_of(payload: Any, clock: ManualClock) -> bytes:
    """The end of the idle time is waited for, by which the body ends."""
    received = bytearray()
    while received.count(b"CONTINUATION_TOKEN") < 2:
        received += payload.read(1)
    received += payload.read(6 + 47)
    clock.wait_for_sleepers()
    clock.advance(60)
    return bytes(received + payload.read())


def test_a_producer_that_rewinds_sends_the_same_under_new_numbers(
    service: Emulator, clock: ManualClock, sdk: MakeSdk
) -> None:
    service.configure("s", idle_seconds=0)
    with service.producer("s", start=1_700_000_000.5) as camera:
        camera.send(mkv.clip(4))
        clock.advance(5)
        again = camera.rewind(2)
        with pytest.raises(UsageError, match="cannot rewind by 9: 6 fragments"):
            camera.rewind(9)
        camera.send(mkv.clip(1))
    documents = dissect(sdk(service).read("s"))
    assert told(documents) == made(camera.sent)
    times = [1_700_000_000_500 + ms for ms in (0, 200, 400, 600, 400, 600, 800)]
    assert [document.producer_ms for document in documents] == times
    assert [document.media for document in documents[4:6]] == [document.media for document in documents[2:4]]
    assert sequences(again) == [5, 6]
    assert [d.server_ms - documents[0].server_ms for d in documents] == [0] * 4 + [5000] * 3
    # The first fragment at or after a time, in the order of the stream.
    when = datetime.fromtimestamp(1_700_000_001, UTC)
    from_there = dissect(sdk(service).read("s", "PRODUCER_TIMESTAMP", StartTimestamp=when))
    assert told(from_there) == made(camera.sent[3:])


def test_clusters_with_an_epoch_time_keep_it(service: Emulator) -> None:
    with service.producer("s") as camera:
        camera.send(mkv.clip(2, start=1_646_229_468_350))
    assert [fragment.producer_ms for fragment in camera.sent] == [1_646_229_468_350, 1_646_229_468_550]


def test_producing_after_stored_media(clock: ManualClock, sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(2)}, clock=clock, limits=False) as service:
        client = sdk(service)
        before = service.stream("s").fragments()
        clock.advance(1)
        with service.producer("s") as camera:
            camera.send(mkv.clip(1))
        every = made(before) + made(camera.sent)
        assert sequences(before + camera.sent) == [1, 2, 1001]
        assert told(dissect(client.read("s"))) == every
        for index, (number, _) in enumerate(every):
            found = dissect(client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=number))
            assert told(found) == every[index + 1 :]
        for fragment in before + camera.sent:
            when = datetime.fromtimestamp(fragment.server_ms / 1000, UTC)
            found = dissect(client.read("s", "SERVER_TIMESTAMP", StartTimestamp=when))
            assert found[0].number == fragment.number
        assert told(dissect(client.read("s", "NOW"))) == every[2:]


@pytest.mark.parametrize("options", [{"loop": True}, {"pace": "realtime"}])
def test_nothing_is_put_in_between(options: dict[str, Any], clock: ManualClock) -> None:
    with Emulator({"s": mkv.clip(2)}, clock=clock, **options) as service:
        with pytest.raises(UsageError, match="still goes on"):
            service.producer("s")
        clock.advance(0.4)
        if "pace" in options:
            service.producer("s").end()


def test_now_is_the_newest_or_the_next(service: Emulator, clock: ManualClock, sdk: MakeSdk) -> None:
    client = sdk(service)
    service.configure("s", idle_seconds=0)
    assert client.read("s", "NOW") == b""
    with service.producer("s") as camera:
        camera.send(mkv.clip(2))
        assert told(dissect(client.read("s", "NOW"))) == made(camera.sent[1:])
        service.configure("s", now="next", idle_seconds=60)
        with contextlib.closing(client.open("s", "NOW")) as payload:
            clock.wait_for_sleepers()
            camera.send(mkv.clip(1))
            assert told(rest(payload, clock)) == made(camera.sent[2:])


def test_a_time_to_come_begins_with_the_first_fragment_at_or_after_it(
    service: Emulator, clock: ManualClock, sdk: MakeSdk
) -> None:
    when = datetime.fromtimestamp(clock.now() + 10, UTC)
    with contextlib.closing(sdk(service).open("s", "SERVER_TIMESTAMP", StartTimestamp=when)) as payload:
        with service.producer("s") as camera:
            for n in range(5):
                clock.wait_for_sleepers()
                camera.send(cluster(n))
                clock.advance(4)
        assert told(rest(payload, clock)) == made(camera.sent[3:])


def test_opaque_tokens(clock: ManualClock, sdk: MakeSdk) -> None:
    with Emulator({"s": []}, clock=clock, opaque_tokens=True, limits=False) as service:
        with service.producer("s") as camera:
            camera.send(mkv.clip(3))
        for index, fragment in enumerate(camera.sent):
            assert fragment.token != fragment.number
            found = dissect(sdk(service).read("s", "CONTINUATION_TOKEN", ContinuationToken=fragment.token))
            assert told(found) == made(camera.sent[index + 1 :])
