"""The blocking consumer over real sockets: the local service, and scripted peers where the wire matters."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

import kvsfast
from kvsfast import (
    Client,
    ConnectFailed,
    Consumer,
    MemoryCheckpoints,
    NotAuthorizedException,
    ResourceNotFoundException,
    SessionEnd,
    StandardResume,
    StartSelector,
    Until,
    UsageError,
)
from kvsfast.emulator import Cut, Emulator, ErrorDocument, HttpError, RandomFaults, Stall
from kvsfast.limiter import Limiter
from tests.mkv_writer import Block, service_fragment
from tests.waiting import PATIENCE, wait_for
from tests.wire import CHUNKED_HEAD, HANG, LAST_CHUNK, Script, Server, http_chunk

FRAMES = [b"\x01" * 5000, b"\x02" * 3, b"\x03" * 40_000]
MEDIA = b"".join(
    service_fragment(
        sequence=i,
        frames=[Block(data + bytes([i]), time=40 * n, keyframe=n == 0) for n, data in enumerate(FRAMES)],
    )
    for i in range(6)
)
COUNT = 6
EARLIEST = StartSelector.earliest()
#: Waits so short that a test has time for many, and long enough to be told from none.
BRISK = StandardResume(base=0.001, longest=0.01)
PATIENT = StandardResume(base=3600, longest=3600)

pytestmark = pytest.mark.usefixtures("no_environment", "without_limits")


@pytest.fixture
def without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests make more than five calls a second."""
    monkeypatch.setattr("kvsfast.opening.shared_limiter", Limiter(calls_per_second=1000))


@pytest.fixture(params=[False, True], ids=["tcp", "tls"])
def service(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator({"door": MEDIA}, tls=request.param, limits=False) as service:
        yield service


def client_of(service: Emulator, **keywords: Any) -> Client:
    return Client(**{"config": Config(proxies={}), **service.client_options(), **keywords})


def peer_client(server: Server, **keywords: Any) -> Client:
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret", "region_name": "eu-west-1"}
    return Client(**{"config": Config(proxies={}), "media_endpoint_url": server.url, **keys, **keywords})


def expected(service: Emulator) -> list[tuple[str, bytes]]:
    """Every frame of the stream, by the number of its fragment."""
    with client_of(service).get_media("door", EARLIEST) as media:
        return [
            (fragment.number or "", bytes(frame))
            for fragment in media.fragments()
            for frame in fragment.frames
        ]


def frames_of(consumer: Consumer, mode: str) -> list[tuple[str, bytes]]:
    if mode == "fragments":
        return [(fragment.number or "", bytes(frame)) for fragment in consumer for frame in fragment.frames]
    return [(frame.fragment.number or "", bytes(frame)) for frame in consumer.frames()]


@pytest.mark.parametrize("prefetch_bytes", [None, 20_000], ids=["direct", "ahead"])
@pytest.mark.parametrize("mode", ["fragments", "frames"])
def test_every_way_in_which_a_response_ends(service: Emulator, mode: str, prefetch_bytes: int | None) -> None:
    wanted = expected(service)
    service.faults.plan(
        "door",
        Cut("reset", inside="frame"),
        Cut("eof", inside="trailer"),
        Cut("close", inside="header", fragment=1),
        HttpError("InternalFailure"),
        HttpError("ServiceUnavailable"),
        ErrorDocument(5000, fragment=1),
        Cut("close", inside="end"),
        Cut("eof", inside="tags"),
        HttpError("ConnectionLimitExceededException"),
        Cut("eof", after_bytes=0),
        Stall(0.05, inside="frame"),
    )
    with client_of(service).consume(
        "door", EARLIEST, until=Until(fragments=COUNT), resume=BRISK, prefetch_bytes=prefetch_bytes
    ) as consumer:
        assert frames_of(consumer, mode) == wanted
        assert consumer.stats.calls >= 10
    assert_no_connection(service)


@pytest.mark.parametrize("mode", ["fragments", "frames"])
@pytest.mark.parametrize("seed", range(6))
def test_faults_at_random(mode: str, seed: int) -> None:
    with Emulator({"door": MEDIA}, faults=RandomFaults(seed, share=0.6), limits=False) as service:
        with Emulator({"door": MEDIA}, limits=False) as calm:
            wanted = [payload for _, payload in expected(calm)]
        with client_of(service, idle_timeout=0.3).consume(
            "door", EARLIEST, until=Until(fragments=COUNT), resume=BRISK, max_refetches=10**6
        ) as consumer:
            assert [payload for _, payload in frames_of(consumer, mode)] == wanted
        assert_no_connection(service)


def assert_no_connection(service: Emulator) -> None:
    """The service sees the end of a connection a moment after we do."""
    wait_for(lambda: service.open_connections("door") == 0)


@pytest.mark.parametrize("code", ["NotAuthorizedException", "ResourceNotFoundException"])
def test_stops_at_once_with_the_cause(service: Emulator, code: str) -> None:
    service.fail_next("door", code)
    kinds = {kind.__name__: kind for kind in (NotAuthorizedException, ResourceNotFoundException)}
    with client_of(service).consume("door", EARLIEST, resume=PATIENT) as consumer:
        with pytest.raises(kinds[code]):
            next(iter(consumer))
        assert (consumer.stats.calls, consumer.end) == (1, SessionEnd.FAILED)


def test_no_such_stream(service: Emulator) -> None:
    with client_of(service).consume("nowhere", EARLIEST, resume=PATIENT) as consumer:
        with pytest.raises(ResourceNotFoundException):
            next(iter(consumer))


def test_a_disabled_key(service: Emulator) -> None:
    service.faults.plan("door", ErrorDocument(4501, "KMS_KEY_DISABLED", fragment=1))
    with client_of(service).consume("door", EARLIEST, resume=PATIENT) as consumer:
        iterator = iter(consumer)
        next(iterator)
        with pytest.raises(kvsfast.InStreamError, match="4501"):
            next(iterator)


def test_an_idle_stream_makes_one_call_a_step() -> None:
    with Emulator({"door": []}, limits=False) as service:
        idle = threading.Event()
        resume = StandardResume(base=0.02, longest=0.08)
        started = time.monotonic()
        with client_of(service).consume(
            "door", EARLIEST, resume=resume, idle_after=0.25, on_event=lambda event: idle.set()
        ) as consumer:
            assert closing(consumer, lambda: idle.is_set() and consumer.stats.calls >= 4) == []
            # At the least half of each step is waited: 0.01, 0.02, 0.04, 0.04 ...
            assert consumer.stats.calls <= 4 + (time.monotonic() - started) / 0.04


def test_the_services_limits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses of one fragment each would be more than five calls a second, and are not."""
    monkeypatch.setattr("kvsfast.opening.shared_limiter", Limiter())
    with Emulator({"door": MEDIA}, limits=True) as service:
        service.faults.plan("door", Cut("eof", inside="end"), times=COUNT)
        started = time.monotonic()
        with client_of(service).consume(
            "door", EARLIEST, until=Until(fragments=COUNT), resume=BRISK
        ) as consumer:
            assert len(list(consumer)) == COUNT
            assert time.monotonic() - started > 1  # a lower bound: no machine is too slow for it
            # A call that was long on its way may be one too many for the service's own count.
            assert consumer.stats.calls in (COUNT, COUNT + 1)


# -- close, from another thread


def closing(consumer: Consumer, is_waiting: Callable[[], bool]) -> list[Any]:
    """What iterating gives until another thread closes the consumer, once ``is_waiting``."""

    def close() -> None:
        wait_for(is_waiting)
        time.sleep(0.02)
        consumer.close()

    closer = threading.Thread(target=close)
    closer.start()
    try:
        return list(consumer)
    finally:
        closer.join(PATIENCE)
        assert not closer.is_alive()
        assert consumer.end is SessionEnd.CLOSED


@pytest.mark.parametrize("prefetch_bytes", [None, 100_000], ids=["direct", "ahead"])
def test_close_while_it_waits_for_media(prefetch_bytes: int | None) -> None:
    with Emulator({"door": MEDIA}, limits=False) as service:
        service.faults.plan("door", Stall(None, inside="frame", fragment=2))
        with client_of(service).consume("door", EARLIEST, prefetch_bytes=prefetch_bytes) as consumer:
            found = closing(consumer, lambda: consumer.stats.fragments == 2)
        assert len(found) == 2
        assert_no_connection(service)


def test_close_in_a_backoff() -> None:
    with Emulator({"door": []}, limits=False) as service:
        with client_of(service).consume("door", EARLIEST, resume=PATIENT) as consumer:
            assert closing(consumer, lambda: consumer.stats.calls == 1) == []


def test_close_while_it_connects() -> None:
    """The response that comes later is closed unseen."""
    is_closed = threading.Event()
    late: list[str] = []

    def slow(peer: Any) -> None:
        is_closed.wait(HANG)
        peer.send(CHUNKED_HEAD)
        peer.until_closed()
        late.append("closed")

    with Server(slow) as server:
        with peer_client(server).consume("door", EARLIEST) as consumer:
            assert closing(consumer, lambda: len(server.requests) == 1) == []
        is_closed.set()
        wait_for(lambda: late == ["closed"])


def test_close_while_it_waits_for_the_checkpoint() -> None:
    store = MemoryCheckpoints()
    other = store.claim("door")
    told = threading.Event()
    with Emulator({"door": MEDIA}, limits=False) as service:
        with client_of(service).consume(
            "door", EARLIEST, checkpoint=store, claim_every=3600, on_event=lambda event: told.set()
        ) as consumer:
            assert closing(consumer, told.is_set) == []
    assert other is not None
    other.release()
    assert store.claim("door") is not None


def test_close_gives_the_checkpoint_back() -> None:
    store = MemoryCheckpoints()
    with Emulator({"door": MEDIA}, limits=False) as service:
        consumer = client_of(service).consume("door", EARLIEST, checkpoint=store)
        next(iter(consumer))
        assert store.claim("door") is None
        consumer.close()
    assert store.claim("door") is not None


PROGRAM = """
import sys
import kvsfast
client = kvsfast.Client(
    "us-east-1", endpoint_url=sys.argv[1], aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3]
)
start = kvsfast.StartSelector.earliest()
with client.consume("door", start, checkpoint="door.db", auto_commit=True) as consumer:
    for fragment in consumer:
        print(fragment.number, flush=True)
"""


@pytest.mark.parametrize("stalls", [True, False], ids=["in a receive", "in a backoff"])
def test_ctrl_c(stalls: bool, tmp_path: Path) -> None:
    with Emulator({"door": MEDIA}, limits=False) as service:
        if stalls:
            service.faults.plan("door", Stall(None, inside="frame", fragment=COUNT - 1))
        keys = service.credentials
        arguments = [sys.executable, "-c", PROGRAM, service.endpoint_url, keys.access_key, keys.secret_key]
        environment = {**os.environ, "NO_PROXY": "*", "AWS_EC2_METADATA_DISABLED": "true"}
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
        ) as process:
            assert process.stdout is not None
            given = [process.stdout.readline().decode().strip() for _ in range(COUNT - stalls)]

            def saved() -> str | None:
                with kvsfast.SqliteCheckpoints(tmp_path / "door.db") as store:
                    checkpoint = store.load("door")
                return checkpoint.fragment_number if checkpoint else None

            # The last one was given, and asking for another one said that it was dealt with.
            wait_for(lambda: saved() == given[-1])
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode != 0 and error.rstrip().endswith(b"KeyboardInterrupt")
        assert saved() == given[-1]
        assert_no_connection(service)


# -- the wire


def test_the_old_body_is_closed_before_the_next_call() -> None:
    """By the end of each connection before the next request comes, on every path."""
    fragment = service_fragment(sequence=1)
    before: list[socket.socket] = []
    calls: list[bool] = []  # whether every connection before had ended

    def dropped(*pieces: bytes, then: str) -> Script:
        def script(peer: Any) -> None:
            calls.append(all(map(has_ended, before)))
            before.append(peer.sock.dup())
            peer.send(CHUNKED_HEAD + b"".join(pieces))
            if then == "close":
                peer.close()
            peer.until_closed()

        return script

    # The last one is met again if an answer takes longer than the idle timeout, and then is closed as well.
    scripts = [
        dropped(http_chunk(fragment[:300]), then="wait"),  # a stall: closed by us
        dropped(http_chunk(fragment[:300]), then="close"),
        dropped(http_chunk(b"\x1a\x45\xdf\xa3\x80\xff\xff\xff\xff\xff"), then="wait"),  # damage
        dropped(b"not a size\r\n", then="wait"),  # broken framing
        dropped(http_chunk(fragment), then="wait"),
    ]
    with Server(*scripts) as server:
        with peer_client(server, idle_timeout=0.5).consume(
            "door", EARLIEST, until=Until(fragments=1), resume=BRISK
        ) as consumer:
            assert [each.number for each in consumer] == [kvsfast_number(fragment)]
    assert len(calls) >= len(scripts) and all(calls)
    for sock in before:
        assert has_ended(sock)
        sock.close()


def has_ended(sock: socket.socket) -> bool:
    """The kernel has the other side's FIN, whatever the threads here have seen of it."""
    return bool(select.select([sock], [], [], 0)[0]) and not sock.recv(1, socket.MSG_PEEK)


def kvsfast_number(media: bytes) -> str | None:
    (fragment,) = kvsfast.parse(media).fragments()
    return fragment.number


def test_nobody_there_is_ridden_out_and_told_when_it_was_too_much() -> None:
    with Server() as server:
        url = server.url
    client = Client(
        "eu-west-1",
        config=Config(proxies={}),
        media_endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )
    resume = StandardResume(base=0.001, longest=0.002, max_failures=7)
    with client.consume("door", EARLIEST, resume=resume) as consumer:
        with pytest.raises(kvsfast.ResumeFailed, match="7 calls in a row failed") as caught:
            next(iter(consumer))
    assert isinstance(caught.value.__cause__, ConnectFailed) and caught.value.attempts == 7


def test_a_head_may_take_longer_than_idle_after() -> None:
    fragment = service_fragment(sequence=1)

    def slow(peer: Any) -> None:
        time.sleep(0.2)
        peer.send(CHUNKED_HEAD + http_chunk(fragment) + LAST_CHUNK)

    with Server(slow) as server:
        with peer_client(server).consume(
            "door", EARLIEST, until=Until(fragments=1), idle_after=0.05, resume=PATIENT
        ) as consumer:
            assert len(list(consumer)) == 1
        assert len(server.requests) == 1


def test_two_threads_cannot_read_one_consumer() -> None:
    with Emulator({"door": MEDIA}, limits=False) as service:
        service.faults.plan("door", Stall(None, inside="frame", fragment=1))
        with client_of(service).consume("door", EARLIEST) as consumer:
            iterator = iter(consumer)
            next(iterator)
            errors: list[BaseException] = []

            def read() -> None:
                try:
                    next(iterator)
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=read) for _ in range(2)]
            for thread in threads:
                thread.start()
            wait_for(lambda: bool(errors))
            consumer.close()
            for thread in threads:
                thread.join(PATIENCE)
    assert sorted(type(error).__name__ for error in errors) == ["StopIteration", "UsageError"]


def test_closing_that_takes_its_time_ends_the_loop_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader wakes while another thread is still giving back what the session had."""
    with Emulator({"door": MEDIA}, limits=False) as service:
        service.faults.plan("door", Stall(None, inside="frame", fragment=1))
        with client_of(service).consume("door", EARLIEST) as consumer:
            ends: list[object] = []

            def read() -> None:
                try:
                    ends.append(list(consumer))
                except BaseException as error:
                    ends.append(error)

            reader = threading.Thread(target=read)
            monkeypatch.setattr(consumer, "_on_close", lambda: time.sleep(0.3))
            reader.start()
            wait_for(lambda: consumer.position is not None)
            consumer.close()
            reader.join(PATIENCE)
    assert [isinstance(end, list) for end in ends] == [True], ends


# -- arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stream": "no such/name"}, "stream is"),
        ({"start": "NOW"}, "start is"),
        ({"checkpoint": 7}, "checkpoint is"),
        ({"patience": 7}, "no option patience"),
        ({"idle_after": 0}, "idle_after"),
        ({"poison": "eat"}, "poison"),
        ({"gaps": 1}, "gaps"),
        ({"rewinds": ""}, "rewinds"),
        ({"when_behind": "newer"}, "when_behind"),
        ({"behind_after": True}, "behind_after"),
        ({"max_refetches": -1}, "max_refetches"),
        ({"prefetch_bytes": 0}, "prefetch_bytes"),
        ({"tracks": "video"}, "tracks"),
        ({"tracks": [1.5]}, "tracks"),
        ({"key_frames_only": 1}, "key_frames_only"),
        ({"auto_commit": "yes"}, "auto_commit"),
        ({"until": 7}, "until"),
        ({"resume": 3}, "resume"),
        ({"on_event": 1}, "on_event"),
        ({"claim_every": float("inf")}, "claim_every"),
        ({"stats_every": "1"}, "stats_every"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_be(arguments: dict[str, Any], message: str) -> None:
    client = Client("eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    arguments = {"stream": "door", "start": EARLIEST, **arguments}
    with pytest.raises(UsageError, match=message):
        client.consume(arguments.pop("stream"), arguments.pop("start"), **arguments)


def test_a_path_is_an_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "door.db"
    with Emulator({"door": MEDIA}, limits=False) as service:
        for _ in range(COUNT):
            with client_of(service).consume(
                "door", EARLIEST, checkpoint=path, auto_commit=True, until=Until(fragments=1)
            ) as consumer:
                assert len(list(consumer)) == 1
        assert consumer.position is not None
        with kvsfast.SqliteCheckpoints(path) as store:
            saved = store.load("door")
        assert saved is not None and saved.fragment_number == consumer.position.number
