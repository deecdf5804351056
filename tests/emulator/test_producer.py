"""The life of a stream: a test is the producer, and the service goes on around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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
