"""The table of named faults: each of them is what it says, as boto3 or a socket tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import kvsfast
from kvsfast.emulator import PRESETS, Emulator, ErrorDocument, HttpError, NoAnswer, RandomFaults
from kvsfast.emulator.faults import EMPTY_BODY, BodyFault, Broken, Cut, Drip, Stall
from kvsfast.errors import InStreamError, UsageError
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media
from tests.emulator.wire import dissect, http_chunks

MakeSdk = Callable[..., Sdk]

FAULTS = {name: preset.fault for name, preset in PRESETS.items()}
HTTP_ERRORS = {name: fault for name, fault in FAULTS.items() if isinstance(fault, HttpError)}
DOCUMENTS = {name: fault for name, fault in FAULTS.items() if isinstance(fault, ErrorDocument)}


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator({"s": mkv.clip(4)}, limits=False) as one:
        yield one


#: What boto3 makes of them: code and status. Of what it does not understand it tells the bare status.
EXPECTED = {
    "client-limit": ("ClientLimitExceededException", 400),
    "connection-limit": ("ConnectionLimitExceededException", 400),
    "invalid-argument": ("InvalidArgumentException", 400),
    "invalid-endpoint": ("InvalidEndpointException", 400),
    "not-authorized": ("NotAuthorizedException", 401),
    "resource-not-found": ("ResourceNotFoundException", 404),
    "not-authorized-403": ("NotAuthorizedException", 403),
    "documented-error-header": ("404", 404),
    "error-type-suffix": ("ClientLimitExceededException", 400),
    "type-in-body": ("ClientLimitExceededException", 400),
    "lower-case-message": ("ClientLimitExceededException", 400),
    "access-denied": ("AccessDeniedException", 403),
    "access-denied-xml": ("403", 403),
    "signature-expired": ("InvalidSignatureException", 403),
    "signature-not-yet-current": ("InvalidSignatureException", 403),
    "signature-expired-bare": ("403", 403),
    "invalid-signature": ("InvalidSignatureException", 403),
    "expired-token": ("ExpiredTokenException", 403),
    "unrecognized-client": ("UnrecognizedClientException", 403),
    "missing-token": ("MissingAuthenticationTokenException", 403),
    "incomplete-signature": ("IncompleteSignatureException", 400),
    "request-expired": ("RequestExpired", 400),
    "throttling": ("ThrottlingException", 400),
    "throttling-retry-after": ("ThrottlingException", 400),
    "internal-failure": ("InternalFailure", 500),
    "service-unavailable": ("ServiceUnavailable", 503),
    "service-unavailable-retry-after": ("ServiceUnavailable", 503),
    "error-empty-body": ("500", 500),
    "error-html-body": ("502", 502),
}


@pytest.mark.parametrize("name", HTTP_ERRORS)
def test_http_errors(name: str, service: Emulator, sdk: MakeSdk) -> None:
    client = sdk(service)
    service.faults.plan("s", name)
    service.faults.plan("s", name, operation="GetDataEndpoint")
    for call in (lambda: client.read("s"), lambda: client.endpoint("s")):
        if name == "error-garbage-body":
            # botocore itself does not survive this one.
            with pytest.raises(UnicodeDecodeError):
                call()
            continue
        with pytest.raises(ClientError) as refused:
            call()
        response = refused.value.response
        metadata = response["ResponseMetadata"]
        assert (response["Error"]["Code"], metadata["HTTPStatusCode"]) == EXPECTED[name]
        assert metadata["HTTPHeaders"]["x-amzn-requestid"]
        assert ("retry-after" in metadata["HTTPHeaders"]) is name.endswith("retry-after")
        call()


@pytest.mark.parametrize("name", HTTP_ERRORS)
def test_kvsfast_reads_every_spelling(name: str, service: Emulator) -> None:
    fault = HTTP_ERRORS[name]
    service.faults.plan("s", name)
    client = kvsfast.Client(
        **service.client_options(),
        media_endpoint_url=service.media_endpoint_url,
        retry=kvsfast.StandardRetry(max_attempts=1),
    )
    with pytest.raises(kvsfast.ServiceError) as refused:
        client.get_media("s", kvsfast.StartSelector.earliest())
    assert refused.value.status == fault.refusal().status
    if fault.spelling not in ("empty", "garbage", "html") and name != "signature-expired-bare":
        assert refused.value.code == fault.code


@pytest.mark.parametrize("name", HTTP_ERRORS)
def test_kvsfast_reads_every_spelling_of_the_control_plane(name: str, service: Emulator) -> None:
    service.faults.plan("s", name, operation="GetDataEndpoint")
    client = kvsfast.Client(**service.client_options(), retry=kvsfast.StandardRetry(max_attempts=1))
    with pytest.raises((kvsfast.ServiceError, kvsfast.TransportError)) as refused:
        client.get_data_endpoint("s")
    if name == "error-garbage-body":
        assert "the answer is no text" in str(refused.value)
    else:
        assert isinstance(refused.value, kvsfast.ServiceError)
        assert refused.value.status == HTTP_ERRORS[name].refusal().status
    assert client.get_data_endpoint("s") == service.media_endpoint_url


def body_of(service: Emulator, patience: float = 30) -> tuple[bytes, Exception | None]:
    """What came of the response's body, and the error that ended it."""
    received = bytearray()
    with connected(service, service.media_endpoint_url) as sock:
        sock.settimeout(patience)
        sock.sendall(raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        try:
            while block := sock.recv(65536):
                received += block
        except OSError as error:
            return bytes(received).partition(b"\r\n\r\n")[2], error
    return bytes(received).partition(b"\r\n\r\n")[2], None


@pytest.mark.parametrize(
    "name", [name for name, fault in FAULTS.items() if isinstance(fault, BodyFault | NoAnswer)]
)
def test_endings(name: str, service: Emulator) -> None:
    fault = FAULTS[name]
    service.faults.plan("s", name)
    never_ends = isinstance(fault, Stall) and fault.seconds is None
    has_no_answer = isinstance(fault, NoAnswer) and fault.how == "stall"
    framed, error = body_of(service, 1 if never_ends or has_no_answer else 30)
    is_whole = framed.endswith(b"0\r\n\r\n")
    match fault:
        case NoAnswer():
            assert framed == b""
            assert (error is not None) is (fault.how in ("stall", "reset"))
        case Cut():
            assert is_whole is (fault.how == "eof")
            assert isinstance(error, ConnectionResetError) is (fault.how == "reset")
            assert (framed == b"0\r\n\r\n") is (fault == EMPTY_BODY)
        case Stall(seconds=None):
            assert isinstance(error, TimeoutError)
            assert not is_whole
        case Stall() | Drip():
            assert error is None
            assert len(dissect(b"".join(http_chunks(framed)))) == 4
        case Broken():
            assert error is None
            assert is_whole is (fault.what == "media")
        case ErrorDocument():
            assert error is None
            assert is_whole
            media = b"".join(http_chunks(framed))
            assert str(fault.error_id).encode() in media
            assert b"Cluster" not in media and mkv.TRACKS not in media
    assert len(dissect(b"".join(http_chunks(body_of(service)[0])))) == 4


@pytest.mark.parametrize("name", DOCUMENTS)
def test_kvsfast_reads_every_error_document(name: str, service: Emulator) -> None:
    fault = DOCUMENTS[name]
    service.faults.plan("s", name)
    with (
        kvsfast.Client(**service.client_options()).get_media("s", kvsfast.StartSelector.earliest()) as media,
        pytest.raises(InStreamError) as error,
    ):
        list(media.fragments())
    assert error.value.error_id == fault.error_id
    assert error.value.fragment_number == service.stream("s").fragment(0).number


def test_the_second_family_of_names(service: Emulator, sdk: MakeSdk) -> None:
    service.faults.plan("s", ErrorDocument(4501, "the key is disabled", fragment=1, names="exception"))
    body = sdk(service).read("s")
    assert b"AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE\x44\x87\x10\x00\x00\x044501" in body
    assert b"AWS_KINESISVIDEO_EXCEPTION_MESSAGE\x44\x87\x10\x00\x00\x13the key is disabled" in body
    assert b"AWS_KINESISVIDEO_ERROR" not in body


def test_names_are_documented_and_checked() -> None:
    page = Path(__file__).parents[2].joinpath("docs/emulator.md").read_text()
    for name, preset in PRESETS.items():
        assert f"`{name}`" in page, f"docs/emulator.md does not tell of {name}"
        assert preset.meaning
    with Emulator({"s": mkv.clip(1)}) as service, pytest.raises(UsageError, match="there is no fault 'melt'"):
        service.faults.plan("s", "melt")


def test_random_faults_draw_from_all_of_them() -> None:
    faults = RandomFaults(5, 1.0, among=PRESETS, operations=("GetMedia", "GetDataEndpoint"))
    met = [faults.decide("s", "GetMedia") for _ in range(3000)]
    kinds = {type(fault) for fault in met}
    assert kinds == {type(preset.fault) for preset in PRESETS.values()}
    assert {fault for fault in met if isinstance(fault, HttpError)} == set(HTTP_ERRORS.values())
    assert {fault.error_id for fault in met if isinstance(fault, ErrorDocument)} == {
        fault.error_id for fault in DOCUMENTS.values()
    }
    assert all(fault.seconds is not None for fault in met if isinstance(fault, Stall))
    endpoint = [faults.decide("s", "GetDataEndpoint") for _ in range(3000)]
    assert {type(fault) for fault in endpoint} == {HttpError, NoAnswer}
    again = RandomFaults(5, 1.0, among=PRESETS, operations=("GetDataEndpoint",))
    assert [again.decide("s", "GetDataEndpoint") for _ in range(3000)] == endpoint
    assert again.decide("s", "GetMedia") is None


def test_random_faults_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="there is no fault 'melt'"):
        RandomFaults(1, among=["melt"])
    with pytest.raises(UsageError, match="nothing to draw from for GetDataEndpoint"):
        RandomFaults(1, among=["drip"], operations=("GetDataEndpoint",))


def test_by_default_random_faults_pass() -> None:
    faults = RandomFaults(1, 1.0)
    for _ in range(2000):
        fault = faults.decide("s", "GetMedia")
        assert fault not in {preset.fault for preset in PRESETS.values() if not preset.passes}
