"""Starting and ending without leftovers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import pytest

from kvsfast.emulator import Emulator
from kvsfast.errors import UsageError
from tests.emulator import mkv
from tests.emulator.conftest import connected, raw_get_media
from tests.emulator.wire import read_all
from tests.waiting import nothing_stays_behind


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("pace", ["max", "realtime"])
def test_nothing_is_left(tls: bool, pace: str) -> None:
    with contextlib.ExitStack() as everything:
        everything.enter_context(nothing_stays_behind())
        options: dict[str, Any] = {"tls": tls, "pace": pace, "loop": True, "limits": False}
        service = everything.enter_context(Emulator({"s": mkv.clip(3)}, **options))
        with contextlib.ExitStack() as stack:
            reading = [stack.enter_context(connected(service, service.media_endpoint_url)) for _ in range(3)]
            idle = stack.enter_context(connected(service, service.endpoint_url))
            for sock in reading:
                sock.sendall(raw_get_media(service, "s"))
            assert all(sock.recv(10) for sock in reading)
            assert idle.fileno() >= 0
            service.close()  # with clients that read, that do not, and that said nothing
            for sock in reading:
                with contextlib.suppress(ConnectionError):
                    read_all(sock)


def test_clients_that_leave_are_no_errors(caplog: pytest.LogCaptureFixture) -> None:
    with Emulator({"s": mkv.clip(3)}, loop=True, limits=False) as service:
        for _ in range(5):
            with connected(service, service.media_endpoint_url) as sock:
                sock.sendall(raw_get_media(service, "s"))
                assert sock.recv(1000)
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(raw_get_media(service, "s")[:200])
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]


def test_closing_twice_and_before_the_start() -> None:
    service = Emulator({"s": mkv.clip(1)})
    service.close()
    service = Emulator({"s": mkv.clip(1)}).start()
    service.close()
    service.close()
    with pytest.raises(UsageError, match="started before"):
        service.start()


def test_a_port_of_ones_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"port": port}, {"media_port": port}):
            with nothing_stays_behind(), pytest.raises(OSError, match="in use"):
                Emulator({"s": mkv.clip(1)}, tls=True, **ports).start()
    with Emulator({"s": mkv.clip(1)}, port=port) as service:
        assert service.endpoint_url == f"http://127.0.0.1:{port}"


def test_serve_forever_ends_by_close() -> None:
    service = Emulator({"s": mkv.clip(1)}).start()
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    with connected(service, service.media_endpoint_url) as sock:
        sock.sendall(raw_get_media(service, "s"))
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    assert thread.is_alive()
    service.close()
    thread.join(30)
    assert not thread.is_alive()


def test_two_at_once() -> None:
    with Emulator({"s": mkv.clip(1)}) as one, Emulator({"s": mkv.clip(2)}) as other:
        assert (
            len({one.endpoint_url, one.media_endpoint_url, other.endpoint_url, other.media_endpoint_url}) == 4
        )


def test_a_slow_reader_does_not_hold_up_the_close() -> None:
    with Emulator({"s": mkv.clip(2, length=100_000)}, loop=True) as service:
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(raw_get_media(service, "s"))
            assert sock.recv(10)
            time.sleep(0.2)  # the service now waits for room in the socket
            started = time.monotonic()
            service.close()
            assert time.monotonic() - started < 30
