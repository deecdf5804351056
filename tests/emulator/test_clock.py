"""A clock that a test moves: hours of the service in milliseconds, and nothing sleeps."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kvsfast.emulator import Clock, Cut, Emulator, ManualClock, Stall
from kvsfast.emulator.waking import Bell, Waker
from kvsfast.errors import UsageError
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media
from tests.emulator.wire import Document, dissect

MakeSdk = Callable[..., Sdk]

START = 1_750_000_000.0

#: Fragments of ten seconds.
SLOW = mkv.clip(3, duration=10_000, step=2000)


class Reader(threading.Thread):
    """Reads a body to its end."""

    def __init__(self, payload: Any) -> None:
        super().__init__()
        self._payload = payload
        self.body = b""
        self.start()

    def run(self) -> None:
        with contextlib.closing(self._payload):
            self.body = self._payload.read()

    def documents(self) -> list[Document]:
        self.join(30)
        assert not self.is_alive()
        return dissect(self.body)


def test_a_session_of_45_minutes(sdk: MakeSdk) -> None:
    """Its end is that of a fragment, and the next one begins where it ended."""
    clock = ManualClock()
    with Emulator(
        {"s": mkv.clip(3, duration=10_000, step=2000)},
        pace="realtime",
        loop=True,
        clock=clock,
        clock_skew=None,
    ) as service:
        client = sdk(service)
        reader = Reader(client.open("s"))
        for _ in range(270):
            clock.wait_for_sleepers()
            clock.advance(10)
        documents = reader.documents()
        assert [d.server_ms - documents[0].server_ms for d in documents] == [10_000 * n for n in range(270)]
        assert {d.millis_behind_now for d in documents} == {10_000}
        reader = Reader(client.open("s", "FRAGMENT_NUMBER", AfterFragmentNumber=documents[-1].number))
        clock.wait_for_sleepers()
        clock.advance(2700)
        resumed = reader.documents()
        assert resumed[0].server_ms - documents[-1].server_ms == 10_000


def test_a_session_that_ends_inside_a_fragment(sdk: MakeSdk) -> None:
    clock = ManualClock()
    with Emulator(
        {"s": mkv.clip(3, duration=10_000, step=2000)}, pace="realtime", loop=True, clock=clock
    ) as service:
        service.configure("s", session_seconds=15.0, session_ends_at="frame")
        with contextlib.closing(sdk(service).open("s")) as payload:
            for seconds in (12, 3):
                clock.wait_for_sleepers()
                clock.advance(seconds)
            body = payload.read()
    cut = body.rindex(mkv.EBML_HEADER)
    assert len(dissect(body[:cut])) == 1
    assert mkv.frames(1)[2] in body[cut:] and mkv.frames(1)[3] not in body  # of 14 and of 16 seconds
    assert b"CONTINUATION_TOKEN" not in body[cut:]


@pytest.mark.parametrize("whole_fragments", [True, False])
def test_a_live_fragment_whole_or_frame_by_frame(whole_fragments: bool) -> None:
    clock = ManualClock()
    with Emulator({"s": SLOW}, pace="realtime", clock=clock) as service:
        service.configure("s", whole_fragments=whole_fragments)
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(raw_get_media(service, "s"))
            received = b""
            for due in range(0, 10, 2):
                clock.wait_for_sleepers()
                sock.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    while True:
                        received += sock.recv(65536)
                assert (mkv.frames(0)[due // 2] in received) is not whole_fragments
                clock.advance(2)
            sock.settimeout(30)
            while b"CONTINUATION_TOKEN" not in received:
                received += sock.recv(65536)
            assert all(frame in received for frame in mkv.frames(0))


def test_idle_per_stream(sdk: MakeSdk) -> None:
    clock = ManualClock()
    with Emulator({"a": mkv.clip(1), "b": mkv.clip(1)}, clock=clock, limits=False) as service:
        service.configure("a", idle_seconds=5.0)
        service.configure("b", idle_seconds=3600.0)
        readers = [Reader(sdk(service).open(name)) for name in ("a", "b")]
        clock.wait_for_sleepers(2)
        clock.advance(5)
        assert len(readers[0].documents()) == 1
        assert readers[1].is_alive()
        service.configure("b", idle_seconds=4.0)  # while it waits
        assert len(readers[1].documents()) == 1


def test_pacing_per_stream(sdk: MakeSdk) -> None:
    """Five fragments a second, and so many bytes, by the clock."""
    clock = ManualClock()
    with Emulator({"s": mkv.clip(10, length=4000)}, clock=clock, limits=False) as service:
        service.configure("s", fragments_per_second=5.0)
        started = clock.now()
        reader = Reader(sdk(service).open("s"))
        for _ in range(9):
            clock.wait_for_sleepers()
            clock.advance(0.2)
        documents = reader.documents()
        assert clock.now() - started == pytest.approx(1.8)
        sent = [d.server_ms + d.millis_behind_now for d in documents]
        assert [ms - sent[0] for ms in sent] == [200 * n for n in range(10)]
        service.configure("s", fragments_per_second=None, bandwidth=20_000.0)
        started = clock.now()
        reader = Reader(sdk(service).open("s"))
        while reader.is_alive():
            if clock.sleepers:
                clock.advance(0.05)
        documents = reader.documents()
        assert len(documents) == 10
        assert clock.now() - started >= len(reader.body) / 20_000


def test_a_clients_clock_that_is_late(sdk: MakeSdk) -> None:
    """The signature is checked by the clock of the service: boto3 signs by the system's."""
    clock = ManualClock()
    with Emulator({"s": mkv.clip(1)}, clock=clock) as service:
        client = sdk(service)
        assert client.read("s")
        clock.advance(310)
        with pytest.raises(ClientError, match="Signature expired"):
            client.read("s")
    with Emulator({"s": mkv.clip(1)}, clock=Clock(-310)) as service:
        with pytest.raises(ClientError, match="Signature not yet current"):
            sdk(service).read("s")
    with Emulator({"s": mkv.clip(1)}, clock=clock, clock_skew=None) as service:
        assert sdk(service).read("s")


def test_the_date_is_that_of_the_clock(sdk: MakeSdk) -> None:
    """Clients take the service's time from it."""
    clock = ManualClock(START)
    with Emulator({"s": mkv.clip(1)}, clock=clock, clock_skew=None) as service:
        client = sdk(service)
        for _ in range(2):
            answer = client.media(service.media_endpoint_url).get_media(
                StreamName="s", StartSelector={"StartSelectorType": "EARLIEST"}
            )
            answer["Payload"].close()
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            assert parsedate_to_datetime(date).timestamp() == clock.now()
            clock.advance(86_400)


def test_call_limits_by_the_clock(sdk: MakeSdk) -> None:
    clock = ManualClock()
    with Emulator({"s": mkv.clip(1)}, clock=clock) as service:
        client = sdk(service)
        for _ in range(2):
            for _ in range(5):
                assert client.read("s")
            with pytest.raises(ClientError, match="ClientLimitExceeded"):
                client.read("s")
            clock.advance(1.0)
        service.configure("s", limits=False)
        for _ in range(7):
            assert client.read("s")


def test_a_stall_and_a_stalled_answer_by_the_clock(sdk: MakeSdk) -> None:
    clock = ManualClock()
    with Emulator({"s": mkv.clip(2)}, clock=clock) as service:
        service.faults.plan("s", Stall(600.0))
        reader = Reader(sdk(service).open("s"))
        clock.wait_for_sleepers()
        clock.advance(600)
        assert len(reader.documents()) == 2
        assert clock.sleepers == 0


def test_the_clock_itself() -> None:
    clock = ManualClock(START)
    assert (clock.now(), clock.now_ms()) == (START, 1_750_000_000_000)
    assert clock.advance(0.001) == START + 0.001
    assert clock.now_ms() == 1_750_000_000_001
    with pytest.raises(UsageError, match="cannot be moved by -1 seconds"):
        clock.advance(-1)
    with pytest.raises(TimeoutError, match="0 responses wait"):
        clock.wait_for_sleepers(timeout=0.01)
    assert abs(Clock(60).now() - time.time() - 60) < 1
    assert ManualClock().now() == pytest.approx(time.time(), abs=60)


def test_milliseconds_are_never_missed() -> None:
    """Waiting for a time that is told in milliseconds ends: the float is not below it."""
    for ms in range(1_750_000_000_000, 1_750_000_005_000):
        assert ManualClock(ms / 1000).now_ms() == ms


@pytest.mark.parametrize("by", ["eventfd", "pipe"])
def test_a_waker(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)
    bell, waker = Bell(), Waker()
    os.set_blocking(waker.fileno(), False)
    with bell.heard_by(waker):
        bell.ring()
        bell.ring()
    assert waker.is_awake
    waker.clear()
    assert not waker.is_awake
    with pytest.raises(BlockingIOError):
        os.read(waker.fileno(), 8)
    bell.ring()  # nobody listens
    assert not waker.is_awake
    for _ in range(20_000 if by == "pipe" else 2):  # more than a pipe holds
        waker.wake()
    waker.close()
    waker.close()
    waker.wake()


def test_cuts_by_order_while_nothing_moves(sdk: MakeSdk) -> None:
    """On a clock that stands, responses still end, and the service still closes at once."""
    clock = ManualClock()
    with Emulator({"s": mkv.clip(1)}, clock=clock, pace="realtime", loop=True) as service:
        with contextlib.closing(sdk(service).open("s")) as payload:
            clock.wait_for_sleepers()
            service.end_responses("s", "close")
            with pytest.raises(Exception, match="Connection broken"):
                payload.read()
        service.faults.plan("s", Cut("half-close", inside="header"))
        payload = sdk(service).open("s")
    payload.close()
