"""What can be made to go wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from kvsfast.emulator import (
    Broken,
    Cut,
    Drip,
    Emulator,
    ErrorDocument,
    Faults,
    HttpError,
    ManualClock,
    NoAnswer,
    RandomFaults,
    Stall,
)
from kvsfast.emulator.faults import EMPTY_BODY, ENDINGS, PLACES, Fault, Place
from kvsfast.emulator.refusal import ERRORS
from kvsfast.errors import UsageError
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media
from tests.emulator.wire import dissect, http_chunks, read_all

MakeSdk = Callable[..., Sdk]

CLIP = mkv.clip(4)


@pytest.fixture(params=["plain", "tls"])
def service(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator({"s": CLIP}, limits=False, tls=request.param == "tls") as one:
        yield one


def receive(service: Emulator) -> tuple[bytes, Exception | None]:
    """The response's body with its framing, as far as it came, and how the connection ended."""
    received = bytearray()
    with connected(service, service.media_endpoint_url) as sock:
        sock.sendall(raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        try:
            while block := sock.recv(65536):
                received += block
        except OSError as error:
            return bytes(received).partition(b"\r\n\r\n")[2], error
    return bytes(received).partition(b"\r\n\r\n")[2], None


def media_of(framed: bytes) -> bytes:
    """Payload of a body that may end anywhere."""
    payload = b""
    while framed:
        size, _, framed = framed.partition(b"\r\n")
        length = int(size or b"0", 16)
        payload, framed = payload + framed[:length], framed[length + 2 :]
    return payload


def whole_media(service: Emulator) -> bytes:
    framed, error = receive(service)
    assert error is None
    return b"".join(http_chunks(framed))


def expected_length(whole: bytes, fragment: int, inside: Place) -> range:
    """Where in the media a cut may lie."""
    starts = [match for match in range(len(whole)) if whole.startswith(mkv.EBML_HEADER, match)] + [len(whole)]
    start, end = starts[fragment], starts[fragment + 1]
    tags = whole.index(b"\x12\x54\xc3\x67", start)
    cluster = whole.index(b"\x1f\x43\xb6\x75", start)
    trailer = whole.rindex(b"\x12\x54\xc3\x67", start, end)
    third = whole.index(mkv.frames(fragment)[2], cluster)
    match inside:
        case "header":
            return range(start + 1, tags)
        case "tags":
            return range(tags + 1, cluster)
        case "frame":
            return range(third + 1, third + 300)
        case "trailer":
            return range(trailer + 1, end)
        case _:
            return range(end, end + 1)


@pytest.mark.parametrize("inside", PLACES)
@pytest.mark.parametrize("how", ["eof", "close", "reset"])
def test_cuts_in_every_place(service: Emulator, inside: Place, how: Literal["eof", "close", "reset"]) -> None:
    whole = whole_media(service)
    service.faults.plan("s", Cut(how, fragment=1, inside=inside))
    framed, error = receive(service)
    media = b"".join(http_chunks(framed)) if how == "eof" else media_of(framed)
    assert len(media) in expected_length(whole, 1, inside)
    assert framed.endswith(b"\r\n0\r\n\r\n") is (how == "eof")
    if how == "reset" and service.ca_certificate_path is None:
        assert isinstance(error, ConnectionResetError)
    else:
        # Python's ssl tells a reset as an end of the stream: the errno is lost on the way through OpenSSL.
        assert error is None
    # The fault is used up.
    assert len(dissect(whole_media(service))) == 4


@pytest.mark.parametrize("how", ["eof", "close", "reset"])
def test_cuts_at_any_byte(how: Literal["eof", "close", "reset"]) -> None:
    with Emulator({"s": mkv.clip(1, count=2, length=40)}, limits=False, clock=ManualClock()) as service:
        whole = whole_media(service)
        for size in range(0, len(whole) + 1, 7):
            service.faults.plan("s", Cut(how, after_bytes=size))
            framed, error = receive(service)
            assert media_of(framed) == whole[:size]
            assert (error is not None) is (how == "reset")
            assert framed.endswith(b"0\r\n\r\n") is (how == "eof")
        # Beyond the end it does not happen.
        service.faults.plan("s", Cut(how, after_bytes=len(whole) + 1))
        assert whole_media(service) == whole


def test_an_empty_body(service: Emulator, sdk: MakeSdk) -> None:
    service.faults.plan("s", EMPTY_BODY)
    assert sdk(service).read("s") == b""


def test_a_stall_goes_on(service: Emulator) -> None:
    for fault in (Stall(0.3, fragment=2), Stall(0.3, after_bytes=777), Stall(0.3, inside="end", fragment=3)):
        service.faults.plan("s", fault)
        started = time.monotonic()
        assert len(dissect(whole_media(service))) == 4
        assert time.monotonic() - started >= 0.3


def test_a_stall_without_end_ends_when_the_client_leaves() -> None:
    with Emulator({"s": CLIP}) as service:
        for _ in range(5):  # more than there are slots
            service.faults.plan("s", Stall(fragment=1))
            with connected(service, service.media_endpoint_url) as sock:
                sock.sendall(raw_get_media(service, "s"))
                sock.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    read_all(sock)


def test_stalls_in_the_middle_of_an_http_chunk_when_each_is_sent_by_itself() -> None:
    with Emulator({"s": CLIP}, gather=False) as service:
        service.faults.plan("s", Stall(0.05, inside="frame", fragment=1))
        assert len(dissect(whole_media(service))) == 4


@pytest.mark.parametrize("error_id", [3000, 3002, 4000, *range(4500, 4507), 5000, 31337])
def test_error_documents(error_id: int, sdk: MakeSdk) -> None:
    with Emulator({"s": CLIP}) as service:
        service.faults.plan("s", ErrorDocument(error_id, "SOME_CODE", fragment=2))
        body = sdk(service).read("s")
        number = service.stream("s").fragment(2).number
    cut = body.rindex(b"\x1a\x45\xdf\xa3")
    assert len(dissect(body[:cut])) == 2
    text = [b"ERROR_CODE\x44\x87\x10\x00\x00\x09SOME_CODE", b"ERROR_ID\x44\x87\x10\x00\x00", number.encode()]
    positions = [body.index(part, cut) for part in text]
    assert positions == sorted(positions)
    assert b"%d" % error_id in body[cut:]
    assert b"SERVER_TIMESTAMP" not in body[cut:]


def refused(call: Callable[[], Any]) -> ClientError:
    with pytest.raises(ClientError) as error:
        call()
    return error.value


@pytest.mark.parametrize("code", ERRORS)
def test_http_errors_by_name(code: str, sdk: MakeSdk) -> None:
    with Emulator({"s": CLIP}) as service:
        client = sdk(service)
        service.fail_next("s", code)
        service.fail_next("s", code, operation="GetDataEndpoint")
        for call in (lambda: client.read("s"), lambda: client.endpoint("s")):
            response = refused(call).response
            assert response["Error"]["Code"] == code
            assert response["ResponseMetadata"]["HTTPStatusCode"] == ERRORS[code][0]
            assert response["Error"]["Message"] == "injected by the local service"
            call()


def test_botocore_rides_out_what_it_retries(sdk: MakeSdk) -> None:
    with Emulator({"s": CLIP}) as service:
        client = sdk(service, config=Config(retries={"mode": "standard", "max_attempts": 3}))
        service.fail_next("s", "InternalFailure", times=2)
        answer = client.media(service.media_endpoint_url).get_media(
            StreamName="s", StartSelector={"StartSelectorType": "EARLIEST"}
        )
        assert answer["ResponseMetadata"]["RetryAttempts"] == 2
        assert len(dissect(answer["Payload"].read())) == 4


def test_the_spellings_of_http_errors(sdk: MakeSdk) -> None:
    with Emulator({"s": CLIP}) as service:
        client = sdk(service)
        suffix = ":http://internal.amazon.com/coral/com.amazon.coral.service/"
        plans: list[tuple[HttpError, str, int]] = [
            (HttpError("InvalidArgumentException", suffix=suffix), "InvalidArgumentException", 400),
            (HttpError("SomethingNew", status=418), "SomethingNew", 418),
            # botocore knows no other header, and then tells the bare status.
            (HttpError("ResourceNotFoundException", error_header="x-amz-ErrorType"), "404", 404),
            (HttpError("AccessDeniedException", spelling="xml", error_header=None), "403", 403),
            (HttpError("ServiceUnavailable", spelling="empty", error_header=None), "503", 503),
        ]
        service.faults.plan("s", *(fault for fault, _, _ in plans))
        for _, code, status in plans:
            response = refused(lambda: client.read("s")).response
            assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (
                code,
                status,
            )
        service.faults.plan("s", HttpError("ThrottlingException", retry_after=1.5))
        headers = refused(lambda: client.read("s")).response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["retry-after"] == "1.5"


def test_faults_are_met_in_order_and_per_stream() -> None:
    faults = Faults()
    first, second = HttpError("InternalFailure"), Cut("eof", after_bytes=1)
    faults.plan("a", first, second, times=2)
    faults.plan("b", second)
    assert [faults.decide("a", "GetMedia") for _ in range(5)] == [first, second, first, second, None]
    assert faults.decide("b", "GetDataEndpoint") is None
    assert faults.decide("b", "GetMedia") == second


@pytest.mark.parametrize(
    "make",
    [
        lambda: HttpError("SomethingNew"),
        lambda: Cut("melt"),  # type: ignore[arg-type]
        lambda: Cut("eof", inside="cluster"),  # type: ignore[arg-type]
        lambda: Stall(1.0, fragment=-1),
        lambda: Stall(1.0, after_bytes=-1),
        lambda: Faults().plan("s", EMPTY_BODY, operation="GetDataEndpoint"),
    ],
)
def test_faults_that_cannot_be(make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError):
        make()


def test_random_faults_depend_on_the_seed_alone() -> None:
    def row(seed: int, share: float = 0.5) -> list[Fault | None]:
        faults = RandomFaults(seed, share)
        return [faults.decide(stream, "GetMedia") for stream in "ab" for _ in range(400)]

    assert row(1) == row(1)
    assert row(1) != row(2)
    assert row(1)[:400] != row(1)[400:]
    met = [fault for fault in row(1) if fault is not None]
    assert 300 < len(met) < 500
    assert {type(fault) for fault in met} == {HttpError, NoAnswer, Cut, Stall, Drip, Broken, ErrorDocument}
    assert {fault.how for fault in met if isinstance(fault, Cut)} == set(ENDINGS)
    assert row(1, 0.0) == [None] * 800
    faults = RandomFaults(1, 1.0)
    planned = HttpError("InternalFailure")
    faults.plan("a", planned)
    assert faults.decide("a", "GetMedia") == planned


def test_a_service_with_random_faults_survives_them() -> None:
    with Emulator({"s": CLIP}, limits=False, faults=RandomFaults(3, 0.7)) as service:
        whole = 0
        for _ in range(40):
            framed, error = receive(service)
            with contextlib.suppress(AssertionError, ValueError, IndexError):
                whole += error is None and len(dissect(b"".join(http_chunks(framed)))) == 4
        assert 5 <= whole < 40


def test_the_service_closes_while_responses_stall() -> None:
    service = Emulator({"s": CLIP}).start()
    service.faults.plan("s", Stall(), times=2)
    with contextlib.ExitStack() as stack:
        socks: list[socket.socket] = []
        for _ in range(2):
            socks.append(stack.enter_context(connected(service, service.media_endpoint_url)))
            socks[-1].sendall(raw_get_media(service, "s"))
            assert socks[-1].recv(10)
        service.close()
        for sock in socks:
            with contextlib.suppress(ConnectionError):
                read_all(sock)
    assert not [thread for thread in threading.enumerate() if thread.name == "kvsfast-emulator"]
