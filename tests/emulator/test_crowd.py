"""Hundreds of responses at once, and nothing left of them."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from kvsfast.emulator import Emulator, ManualClock
from tests.emulator import mkv
from tests.emulator.conftest import raw_get_media
from tests.emulator.wire import dissect, http_chunks
from tests.waiting import PATIENCE, nothing_stays_behind, open_files, wait_for

CROWD = 200


def connect(service: Emulator, stack: contextlib.ExitStack, count: int) -> list[socket.socket]:
    """So many sockets that have each asked for a stream of its own turn."""
    address = urlsplit(service.media_endpoint_url)
    request = raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    socks = []
    for _ in range(count):
        socks.append(
            stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=30))
        )
        socks[-1].sendall(request)
    return socks


def read_together(socks: list[socket.socket], until: bytes | None = None) -> list[bytes]:
    """What comes on each of them, until its end or, of each, until these bytes came."""
    received = [bytearray() for _ in socks]
    with selectors.DefaultSelector() as selector:
        for index, sock in enumerate(socks):
            selector.register(sock, selectors.EVENT_READ, index)
        deadline = time.monotonic() + 60
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} responses do not go on"
            for key, _ in selector.select(1.0):
                block = key.fileobj.recv(65536)  # type: ignore[union-attr]
                received[key.data] += block
                if not block or (until is not None and until in received[key.data][-200_000:]):
                    selector.unregister(key.fileobj)
    return [bytes(each) for each in received]


def test_a_crowd_is_fed_and_ends() -> None:
    clock = ManualClock()
    with nothing_stays_behind(), contextlib.ExitStack() as stack:
        threads = set(threading.enumerate())
        service = stack.enter_context(Emulator({"s": []}, limits=False, clock=clock, idle_seconds=60.0))
        socks = connect(service, stack, CROWD)
        clock.wait_for_sleepers(CROWD)
        assert service.open_connections("s") == CROWD
        with service.producer("s") as camera:
            for _ in range(5):
                camera.send(mkv.clip(1))
                clock.wait_for_sleepers(CROWD)
                clock.advance(1.0)
        clock.wait_for_sleepers(CROWD)
        clock.advance(60.0)
        for answer in read_together(socks):
            documents = dissect(b"".join(http_chunks(answer.partition(b"\r\n\r\n")[2])))
            assert [document.number for document in documents] == [each.number for each in camera.sent]
        service.close()
        assert service.open_connections("s") == 0
        assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize("state", ["waiting", "sending", "stalled", "unread"])
def test_the_service_closes_under_a_crowd(state: str) -> None:
    """Whatever its responses are busy with, nothing is waited for."""
    threads = set(threading.enumerate())
    source = mkv.clip(2, length=100_000) if state == "unread" else mkv.clip(2)
    with nothing_stays_behind(), contextlib.ExitStack() as stack:
        service = stack.enter_context(
            Emulator(
                {"s": source},
                limits=False,
                loop=state != "waiting",
                idle_seconds=3600.0,
                bandwidth=20_000.0 if state == "sending" else None,
            )
        )
        if state == "stalled":
            service.faults.plan("s", "stall", times=CROWD)
        socks = connect(service, stack, CROWD)
        heads = (
            read_together(socks, b"\r\n\r\n") if state == "unread" else read_together(socks, mkv.frames(0)[0])
        )
        assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)
        assert service.open_connections("s") == CROWD
        started = time.monotonic()
        service.close()
        assert time.monotonic() - started < PATIENCE  # that it does not wait for any of them
        assert service.open_connections("s") == 0
        assert set(threading.enumerate()) <= threads


def test_clients_that_leave_free_their_slots() -> None:
    with contextlib.ExitStack() as outer:
        service = outer.enter_context(Emulator({"s": mkv.clip(2)}, limits=False, idle_seconds=3600.0))
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                read_together(connect(service, stack, CROWD), b"CONTINUATION_TOKEN")
            wait_for(lambda: service.open_connections("s") == 0)
        assert open_files() < CROWD
