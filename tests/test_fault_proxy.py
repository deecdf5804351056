"""The fault proxy does what it says: on the wire, seen by a bare socket, and to the client."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import kvsfast
from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer
from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP
from tests.emulator.conftest import raw_get_media
from tests.fault_proxy import (
    BEFORE_LAST_CHUNK,
    AtMedia,
    AtWire,
    Break,
    Drip,
    FaultProxy,
    Hangup,
    Inside,
    Place,
    RefuseConnections,
    RefuseTls,
    Respond,
    Silence,
    Stall,
    random_fault,
)
from tests.response_parts import MEDIA, ChunkedResponse
from tests.waiting import wait_for
from tests.wire import authority

#: Further streams, since the client makes no more than five calls a second to one.
DOORS = [f"door-{index}" for index in range(12)]


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    names = ["front-door", *DOORS]
    with Emulator(dict.fromkeys(names, CLIP), limits=False) as service:
        yield service


@pytest.fixture(params=["tcp", "tls"])
def proxy(service: Emulator, request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    tls = authority().server_context() if request.param == "tls" else None
    with FaultProxy(service.media_endpoint_url, tls=tls) as proxy:
        yield proxy


def client_of(service: Emulator, proxy: FaultProxy, **options: Any) -> kvsfast.Client:
    return kvsfast.Client(
        region_name=service.region,
        aws_access_key_id=service.credentials.access_key,
        aws_secret_access_key=service.credentials.secret_key,
        verify=authority().bundle,
        media_endpoint_url=proxy.url,
        retry=kvsfast.StandardRetry(max_attempts=1),
        **options,
    )


def connect(proxy: FaultProxy) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", proxy.port), 30)
    if proxy.url.startswith("https"):
        context = ssl.create_default_context(cafile=authority().bundle)
        return context.wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
    return sock


def exchange(service: Emulator, proxy: FaultProxy) -> tuple[bytes, OSError | None]:
    """All that a bare socket receives for a GetMedia request until its end, and how that ended."""
    received = bytearray()
    with connect(proxy) as sock:
        sock.sendall(raw_get_media(service, "front-door"))
        try:
            while data := sock.recv(65536):
                received += data
                if received.endswith(b"\r\n0\r\n\r\n"):
                    break
        except OSError as error:
            return bytes(received), error
    return bytes(received), None


def media_of(response: bytes) -> bytes:
    """What the client's own decoder finds in a response that may be cut."""
    buffer = ReceiveBuffer()
    BodyDecoder(buffer, chunked=True).feed(response.partition(b"\r\n\r\n")[2])
    return buffer.take(buffer.readable) if buffer.readable else b""


# -- without a fault


def test_what_is_left_alone_passes_whole(service: Emulator, proxy: FaultProxy) -> None:
    response, error = exchange(service, proxy)
    assert error is None and response.endswith(b"\r\n0\r\n\r\n")
    with client_of(service, proxy).get_media("front-door", kvsfast.StartSelector.earliest()) as media:
        numbers = [fragment.number for fragment in media.fragments()]
    assert numbers == [service.stream("front-door").fragment(index).number for index in range(len(numbers))]
    assert proxy.connections == 2
    assert not proxy.struck


def test_tls_passes_sealed() -> None:
    with (
        Emulator({"front-door": CLIP}, tls=True) as service,
        FaultProxy(service.media_endpoint_url) as proxy,
        FaultProxy(service.media_endpoint_url) as cutting,
    ):
        for one, is_whole in ((proxy, True), (cutting, False)):
            one.plan(Break("close", AtWire(20_000)) if one is cutting else None)
            client = kvsfast.Client(**service.client_options(), media_endpoint_url=one.url)
            with client.get_media("front-door", kvsfast.StartSelector.earliest()) as media:
                if is_whole:
                    assert list(media.fragments())
                else:
                    with pytest.raises(kvsfast.TransportError):
                        list(media.fragments())
        assert cutting.struck == {"Break": 1}


# -- where a fault strikes


@pytest.mark.parametrize("count", [0, 1, 60, 400, 5000, 100_000])
@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
def test_at_a_byte_of_the_wire(service: Emulator, proxy: FaultProxy, how: Any, count: int) -> None:
    proxy.plan(Break(how, AtWire(count)))
    response, _ = exchange(service, proxy)
    assert len(response) == count
    assert proxy.struck == {"Break": 1}


@pytest.mark.parametrize("count", [0, 1, 39, 40, 41, 5000, 100_000])
def test_at_a_byte_of_the_media(service: Emulator, proxy: FaultProxy, count: int) -> None:
    proxy.plan(Break("close", AtMedia(count)))
    response, _ = exchange(service, proxy)
    assert len(media_of(response)) == count


@pytest.mark.parametrize("nth", [0, 3, 20])
@pytest.mark.parametrize(
    "part", ["head", "size", "crlf", "last", "header", "frame", "tags", "trailer", "other"]
)
def test_inside_a_part(service: Emulator, proxy: FaultProxy, part: Any, nth: int) -> None:
    if part in ("head", "last"):
        nth = 0  # there is one
    proxy.plan(Break("close", Inside(part, nth)))
    response, _ = exchange(service, proxy)
    last = list(ChunkedResponse().feed(response))[-1]
    # One byte of it has come, or none if it has but one.
    whole, _ = exchange(service, proxy)
    following = next(s for s in ChunkedResponse().feed(whole) if (s.part, s.nth) == (part, nth))
    if following.ends and len(following.data) == 1:
        assert (last.part, last.nth) != (part, nth)
    else:
        assert (last.part, last.nth, last.at + len(last.data)) == (part, nth, 1)


def test_a_place_that_never_comes(service: Emulator, proxy: FaultProxy) -> None:
    proxy.plan(Break("reset", AtWire(1 << 40)))
    response, error = exchange(service, proxy)
    assert error is None and response.endswith(b"\r\n0\r\n\r\n")
    assert not proxy.struck


# -- how it ends


@pytest.mark.parametrize("where", [AtWire(5000), AtMedia(5000), Inside("frame", 3, 10)])
def test_how_a_bare_socket_sees_it(service: Emulator, proxy: FaultProxy, where: Place) -> None:
    is_tls = proxy.url.startswith("https")
    proxy.plan(*(Break(how, where) for how in ("reset", "close", "half-close", "alert", "tear")))
    ends = [exchange(service, proxy)[1] for _ in range(5)]
    if not is_tls:
        assert isinstance(ends[0], ConnectionResetError)
        assert ends[1:] == [None] * 4
        return
    assert isinstance(ends[0], ConnectionResetError | ssl.SSLEOFError)
    assert isinstance(ends[1], ssl.SSLEOFError)
    assert ends[2] is None or isinstance(ends[2], ssl.SSLZeroReturnError)
    assert isinstance(ends[3], ssl.SSLError) and not isinstance(ends[3], ssl.SSLEOFError)
    assert isinstance(ends[4], ssl.SSLEOFError)


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
def test_a_body_without_its_last_chunk(service: Emulator, proxy: FaultProxy, how: Any) -> None:
    """All of the media has come, and it is an error all the same."""
    count = service.stream("front-door").count
    proxy.plan(Break(how, BEFORE_LAST_CHUNK))
    with client_of(service, proxy).get_media("front-door", kvsfast.StartSelector.earliest()) as media:
        fragments = media.fragments()
        assert all(next(fragments).is_complete for _ in range(count or 0))
        with pytest.raises(kvsfast.TransportError):
            next(fragments)


@pytest.mark.parametrize("how", ["reset", "close", "half-close", "alert", "tear"])
def test_the_client_gets_what_was_whole(service: Emulator, proxy: FaultProxy, how: Any) -> None:
    proxy.plan(Break(how, Inside("trailer", 7)))  # the second fragment's token: each has two names and values
    with client_of(service, proxy).get_media("front-door", kvsfast.StartSelector.earliest()) as media:
        fragments = media.fragments()
        assert next(fragments).is_complete
        with pytest.raises(kvsfast.KvsFastError):
            assert not next(fragments).is_complete
            next(fragments)


# -- what only takes time


def test_a_stall(service: Emulator, proxy: FaultProxy) -> None:
    proxy.plan(Stall(AtMedia(3000), 1.5))
    client = client_of(service, proxy, idle_timeout=0.5)
    with client.get_media("front-door", kvsfast.StartSelector.earliest()) as media:
        received, timeouts = b"", 0
        while True:
            try:
                data = media.read(65536)
            except kvsfast.TransportTimeout:
                timeouts += 1
            else:
                received += data
                if not data:
                    break
    assert timeouts
    assert all(fragment.is_complete for fragment in kvsfast.parse(received).fragments())
    assert len(list(kvsfast.parse(received).fragments())) == service.stream("front-door").count
    assert proxy.struck == {"Stall": 1}


def test_a_stall_that_never_ends(service: Emulator, proxy: FaultProxy) -> None:
    proxy.plan(Stall(AtMedia(3000)))
    client = client_of(service, proxy, idle_timeout=0.5)
    with client.get_media("front-door", kvsfast.StartSelector.earliest()) as media:
        with pytest.raises(kvsfast.TransportTimeout):
            while media.read(65536):
                pass


def test_a_drip(service: Emulator, proxy: FaultProxy) -> None:
    proxy.plan(Drip(Inside("header", 5, 0), count=50, seconds=0.0005))
    response, error = exchange(service, proxy)
    assert error is None
    assert media_of(response) and response.endswith(b"\r\n0\r\n\r\n")
    assert proxy.struck == {"Drip": 1}


# -- without an answer of the service


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (500, "InternalFailure", kvsfast.ServiceError),
        (503, None, kvsfast.ServiceError),
        (400, "ClientLimitExceededException", kvsfast.ClientLimitExceededException),
        (403, "AccessDeniedException", kvsfast.ServiceError),
    ],
)
def test_an_answer_of_its_own(
    service: Emulator, proxy: FaultProxy, status: int, code: str | None, expected: type[Exception]
) -> None:
    proxy.plan(Respond(status, code, b"{}"))
    with pytest.raises(expected) as caught:
        client_of(service, proxy).get_media("front-door", kvsfast.StartSelector.earliest())
    assert isinstance(caught.value, kvsfast.ServiceError)
    assert caught.value.status == status
    assert proxy.struck == {"Respond": 1}


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("after_request", [True, False])
def test_a_hangup(service: Emulator, proxy: FaultProxy, reset: bool, after_request: bool) -> None:
    proxy.plan(Hangup(reset, after_request))
    with pytest.raises(kvsfast.TransportError) as caught:
        client_of(service, proxy).get_media("front-door", kvsfast.StartSelector.earliest())
    assert caught.value.retryable
    assert proxy.struck == {"Hangup": 1}


@pytest.mark.parametrize("seconds", [None, 0.05])
def test_silence(service: Emulator, proxy: FaultProxy, seconds: float | None) -> None:
    proxy.plan(Silence(seconds))
    timeout = 0.1 if seconds is None else 30.0
    client = client_of(service, proxy, connect_timeout=timeout, idle_timeout=timeout)
    with pytest.raises(kvsfast.TransportError) as caught:
        client.get_media("front-door", kvsfast.StartSelector.earliest())
    assert isinstance(caught.value, kvsfast.TransportTimeout) == (seconds is None)


def test_a_refused_handshake(service: Emulator, proxy: FaultProxy) -> None:
    if not proxy.url.startswith("https"):
        pytest.skip("only TLS has a handshake")
    proxy.plan(RefuseTls())
    with pytest.raises(kvsfast.ConnectFailed, match=r"(?i)alert.handshake.failure"):
        client_of(service, proxy).get_media("front-door", kvsfast.StartSelector.earliest())


def listens(proxy: FaultProxy) -> bool:
    try:
        socket.create_connection(("127.0.0.1", proxy.port), 30).close()
    except ConnectionRefusedError:
        return False
    return True


def test_nobody_listens(service: Emulator, proxy: FaultProxy) -> None:
    proxy.plan(RefuseConnections(2.0, Hangup()))
    with pytest.raises(kvsfast.TransportError):
        client_of(service, proxy).get_media("front-door", kvsfast.StartSelector.earliest())
    wait_for(lambda: not listens(proxy))
    wait_for(lambda: listens(proxy))
    assert exchange(service, proxy)[1] is None
    assert proxy.struck == {"Hangup": 1, "RefuseConnections": 1}


# -- by chance


def test_the_same_seed_invents_the_same() -> None:
    def invent(seed: int) -> list[Any]:
        dice = random.Random(seed)
        return [random_fault(dice, tls=True) for _ in range(200)]

    assert invent(1) == invent(1) != invent(2)
    kinds = Counter(type(fault).__name__ for fault in invent(1))
    assert set(kinds) == {"Break", "Stall", "Drip", "Respond", "Hangup", "Silence", "RefuseTls"}


def test_many_faults_one_after_the_other(service: Emulator, proxy: FaultProxy) -> None:
    """Each ends in whole media or in an error of ours, and nothing is left open."""
    before = set(threading.enumerate())
    dice = random.Random(7)
    client = client_of(service, proxy, connect_timeout=5.0, idle_timeout=5.0)
    outcomes: Counter[str] = Counter()
    for door in DOORS * 5:
        fault = random_fault(dice, tls=proxy.url.startswith("https"), longest=0.005)
        proxy.plan(fault)
        numbers = []
        try:
            with client.get_media(door, kvsfast.StartSelector.earliest()) as media:
                numbers = [fragment.number for fragment in media.fragments() if fragment.is_complete]
        except kvsfast.KvsFastError as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes["whole"] += 1
            whole = [service.stream(door).fragment(index).number for index in range(len(numbers))]
            assert numbers == whole and len(numbers) == service.stream(door).count, fault
    assert len(outcomes) > 2
    wait_for(lambda: proxy.open_connections == 0)
    wait_for(lambda: set(threading.enumerate()) <= before)


def test_the_parts_are_all_known() -> None:
    assert {"header", "frame", "tags", "trailer", "other"} == MEDIA
