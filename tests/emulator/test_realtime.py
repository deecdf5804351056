"""Media that comes to be while it is read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from kvsfast.emulator import Emulator, ManualClock
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media
from tests.emulator.wire import dissect, http_chunks, read_all
from tests.waiting import wait_for

MakeSdk = Callable[..., Sdk]


def test_fragments_come_when_they_are_due(sdk: MakeSdk) -> None:
    clip = mkv.clip(4)
    with Emulator({"s": clip}, pace="realtime", idle_seconds=0.1) as service:
        body = sdk(service).read("s")
    ended = time.time() * 1000
    documents = dissect(body)
    assert (
        b"".join(document.media for document in documents)
        == clip[clip.index(mkv.cluster(0, mkv.blocks(0))) :]
    )
    assert [d.server_ms - documents[0].server_ms for d in documents] == [0, 200, 400, 600]
    # A trailer is written when the fragment closes, so it is never younger than its own length.
    assert all(d.millis_behind_now >= 200 for d in documents)
    assert ended >= documents[-1].server_ms + 200


def test_frames_come_when_they_are_due() -> None:
    """And not before, nor does the trailer before the fragment closes. (That nothing is held back longer is
    shown on a clock that stands, in test_clock: no machine is too slow for that.)"""
    clip = mkv.clip(2, duration=1000, step=200)
    with Emulator({"s": clip}, pace="realtime", idle_seconds=0.0) as service:
        starts = service.stream("s").fragment(0).server_ms
        arrivals: dict[int, float] = {}
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(
                raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            )
            received = b""
            while block := sock.recv(65536):
                received += block
                for index, frame in enumerate(mkv.frames(0)):
                    if index not in arrivals and frame in received:
                        arrivals[index] = time.time() * 1000 - starts
                if 5 not in arrivals and b"CONTINUATION_TOKEN" in received:
                    arrivals[5] = time.time() * 1000 - starts
    due = [0, 200, 400, 600, 800, 1000]
    assert sorted(arrivals) == list(range(6))
    assert all(arrivals[index] >= due[index] - 1 for index in range(6))
    assert len(dissect(b"".join(http_chunks(received.partition(b"\r\n\r\n")[2])))) == 2


def test_now_is_the_fragment_being_ingested(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(4)}, pace="realtime", loop=True, session_seconds=1.5) as service:
        time.sleep(0.5)
        asked = time.time() * 1000
        documents = dissect(sdk(service).read("s", "NOW"))
        assert documents[0].server_ms + 200 > asked
        assert documents[0].server_ms <= time.time() * 1000
        assert [d.server_ms - documents[0].server_ms for d in documents] == [
            200 * n for n in range(len(documents))
        ]


def test_a_time_to_come_is_waited_for(sdk: MakeSdk) -> None:
    for pace in ("realtime", "max"):
        with Emulator({"s": mkv.clip(4)}, pace=pace, loop=True) as service:
            when = time.time() + 0.5
            with contextlib.closing(
                sdk(service).open("s", "SERVER_TIMESTAMP", StartTimestamp=datetime.fromtimestamp(when, UTC))
            ) as payload:
                body = payload.read(1500)
        stamp = body[body.index(b"SERVER_TIMESTAMP") + 16 + 6 :][:14]
        assert when <= float(stamp) + 0.001
        assert float(stamp) <= time.time()


def test_idle_at_the_end(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1)}, pace="realtime", idle_seconds=0.3) as service:
        assert len(dissect(sdk(service).read("s"))) == 1
        over = service.stream("s").fragment(0).closes_ms
        assert over is not None
        assert time.time() * 1000 >= over + 300
        # Nothing is being ingested any more: an empty body, after the same time.
        started = time.monotonic()
        assert sdk(service).read("s", "NOW") == b""
        assert time.monotonic() - started >= 0.3


def test_what_a_client_leaves_while_the_service_waits_is_noticed() -> None:
    with Emulator({"s": mkv.clip(2, duration=60_000)}, pace="realtime") as service:
        for _ in range(4):  # one more than there are slots
            with connected(service, service.media_endpoint_url) as sock:
                sock.sendall(raw_get_media(service, "s"))
                answer = sock.recv(1000)
                assert answer.startswith(b"HTTP/1.1 200 "), answer
            wait_for(lambda: service.open_connections("s") == 0)


def test_the_head_of_the_response_comes_at_once() -> None:
    clock = ManualClock()
    with Emulator({"s": []}, pace="realtime", idle_seconds=0.5, clock=clock) as service:
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(
                raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            )
            assert sock.recv(10_000).endswith(b"\r\n\r\n")
            clock.wait_for_sleepers()
            clock.advance(0.5)
            assert read_all(sock) == b"0\r\n\r\n"
