"""Endings that only a socket can tell apart: TLS at its end, halves, drops, bytes that cannot be."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ConnectionClosedError

import kvsfast
from kvsfast.emulator import Broken, Cut, Drip, Emulator, ManualClock, NoAnswer
from kvsfast.emulator.faults import PLACES, Place
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media, signed
from tests.emulator.wire import dissect, http_chunks, read_all
from tests.waiting import wait_for

MakeSdk = Callable[..., Sdk]

CLIP = mkv.clip(4)


@pytest.fixture(params=["plain", "1.2", "1.3"])
def service(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    version = None if request.param == "plain" else request.param
    with Emulator({"s": CLIP}, limits=False, tls=version is not None, tls_version=version) as one:
        yield one


@contextlib.contextmanager
def strict(service: Emulator) -> Iterator[socket.socket]:
    """A socket that tells a TLS stream that just stops from one that is closed."""
    address = urlsplit(service.media_endpoint_url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as plain:
        if service.ca_certificate_path is None:
            yield plain
            return
        context = ssl.create_default_context(cafile=service.ca_certificate_path)
        with context.wrap_socket(
            plain, server_hostname=address.hostname, suppress_ragged_eofs=False
        ) as wrapped:
            yield wrapped


def ending(service: Emulator) -> tuple[bytes, Exception | None]:
    """What came of the body, and the error that ended it."""
    received = bytearray()
    with strict(service) as sock:
        sock.sendall(raw_get_media(service, "s"))
        try:
            while block := sock.recv(65536):
                received += block
        except OSError as error:
            return bytes(received).partition(b"\r\n\r\n")[2], error
    return bytes(received).partition(b"\r\n\r\n")[2], None


def uses_tls(service: Emulator) -> bool:
    return service.ca_certificate_path is not None


@pytest.mark.parametrize("inside", ["frame", "end"])
def test_close_notify_and_its_absence(service: Emulator, inside: Place) -> None:
    service.faults.plan("s", Cut("close", inside=inside), Cut("fin", inside=inside))
    closed, error = ending(service)
    assert error is None
    cut, error = ending(service)
    assert isinstance(error, ssl.SSLEOFError) if uses_tls(service) else error is None
    assert len(cut) == len(closed) > 0
    assert not cut.endswith(b"0\r\n\r\n")


def test_a_fatal_alert(service: Emulator) -> None:
    service.faults.plan("s", Cut("alert", fragment=1))
    received, error = ending(service)
    assert mkv.frames(0)[-1] in received
    assert b"CONTINUATION_TOKEN" in received
    if uses_tls(service):
        assert isinstance(error, ssl.SSLError)
        # The client's OpenSSL names what the other side sent.
        assert error.reason in ("SSLV3_ALERT_BAD_RECORD_MAC", "SSL/TLS_ALERT_BAD_RECORD_MAC")
    else:
        assert error is None
    assert len(dissect(whole(service))) == 4


def whole(service: Emulator) -> bytes:
    with connected(service, service.media_endpoint_url) as sock:
        sock.sendall(raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        return b"".join(http_chunks(read_all(sock).partition(b"\r\n\r\n")[2]))


def test_a_half_closed_connection_keeps_its_slot_until_the_client_leaves(service: Emulator) -> None:
    service.faults.plan("s", Cut("half-close", fragment=1))
    with strict(service) as sock:
        sock.sendall(raw_get_media(service, "s"))
        assert mkv.frames(0)[-1] in read_all(sock)  # to the end, which came without an error
        assert service.open_connections("s") == 1
    wait_for(lambda: service.open_connections("s") == 0)


@pytest.mark.parametrize("how", ["close", "fin", "reset", "alert", "half-close", "stall"])
@pytest.mark.parametrize("operation", ["GetMedia", "GetDataEndpoint"])
def test_no_answer(service: Emulator, how: Any, operation: Any) -> None:
    service.faults.plan("s", NoAnswer(how), operation=operation)
    url = service.media_endpoint_url if operation == "GetMedia" else service.endpoint_url
    request = raw_get_media(service, "s")
    if operation == "GetDataEndpoint":
        request = signed(service, f"{url}/getDataEndpoint", {"StreamName": "s", "APIName": "GET_MEDIA"})
    for turn in range(2):
        with connected(service, url) as sock:
            sock.sendall(request)
            wait_for(lambda: service.faults.planned("s", operation) == 0)
            if how == "stall" and turn == 0:
                sock.settimeout(0.1)
            try:
                answer = sock.recv(1000)
            except OSError as error:
                assert isinstance(
                    error, {"reset": ConnectionResetError, "alert": ssl.SSLError}.get(how, TimeoutError)
                )
            else:
                assert answer == b"" or answer.startswith(b"HTTP/1.1 200 ")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_boto3_about_no_answer(sdk: MakeSdk) -> None:
    with Emulator({"s": CLIP}) as service:
        client = sdk(service)
        service.faults.plan("s", NoAnswer("close"))
        with pytest.raises(ConnectionClosedError):
            client.read("s")
        assert client.read("s")


def test_drops() -> None:
    """Byte by byte, framing and all, while the clock is moved; then at once."""
    clock = ManualClock()
    with Emulator({"s": CLIP}, clock=clock) as service:
        service.faults.plan("s", Drip(1.0, 30, inside="end"))
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(
                raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            )
            received = b""
            for _ in range(30):
                clock.wait_for_sleepers()
                while not received.partition(b"\r\n\r\n")[2]:
                    received += sock.recv(65536)
                sock.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    received += sock.recv(65536)
                before = len(received)
                clock.advance(1.0)
                sock.settimeout(30)
                received += sock.recv(1 if _ < 29 else 65536)
                assert len(received) > before
            received += read_all(sock)
    assert len(dissect(b"".join(http_chunks(received.partition(b"\r\n\r\n")[2])))) == 4


@pytest.mark.parametrize("inside", PLACES[:-1])
@pytest.mark.parametrize("pieces", ["element", "byte", "coalesced"])
def test_broken_media_is_no_media(inside: Place, pieces: Any) -> None:
    with Emulator({"s": CLIP}, pieces=pieces, limits=False, clock=ManualClock()) as service:
        good = whole(service)
        service.faults.plan("s", Broken(fragment=1, inside=inside))
        broken = whole(service)
    assert len(good) == len(broken)
    zeros = next(at for at in range(len(good)) if broken[at] != good[at])
    assert broken[zeros : zeros + 8] == bytes(8)
    assert broken[zeros + 8 :] == good[zeros + 8 :]
    with pytest.raises(kvsfast.MediaError) as error:
        list(kvsfast.parse(broken).fragments())
    assert error.value.offset == zeros


def test_broken_media_at_any_byte() -> None:
    clock = ManualClock()
    with Emulator({"s": CLIP}, limits=False, clock=clock) as service:
        good = whole(service)
        for at in (0, 1, 1000, len(good) - 20):
            service.faults.plan("s", Broken(after_bytes=at))
            broken = whole(service)
            assert broken[:at] == good[:at]
            assert broken[at] == 0 != good[at] or good[at] == 0
            assert broken[at + 8 :] == good[at + 8 :]


def test_broken_framing(service: Emulator) -> None:
    service.faults.plan("s", Broken(what="framing", fragment=1))
    received, error = ending(service)
    assert error is None
    assert received.endswith(b"\r\nno number\r\n")
    service.faults.plan("s", Broken(what="framing", fragment=1))
    client = kvsfast.Client(**service.client_options())
    with (
        client.get_media("s", kvsfast.StartSelector.earliest()) as media,
        pytest.raises(kvsfast.TransportError),
    ):
        list(media.fragments())
