"""Each refusal that the service is known for, through the whole client, blocking and on an event loop: class,
code, status, message, request id, what is retried, and how often it was tried.

The refusals are the named presets of the local service; a table here says what each must become.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from kvsfast import (
    Client,
    ClientLimitExceededException,
    ConnectionLimitExceededException,
    InStreamError,
    InvalidArgumentException,
    InvalidEndpointException,
    KvsFastError,
    NotAuthorizedException,
    ResourceNotFoundException,
    ServiceError,
    StandardRetry,
    StartSelector,
    TransportError,
    TransportTimeout,
    aio,
)
from kvsfast.emulator import PRESETS, Emulator
from kvsfast.emulator.faults import ErrorDocument, HttpError, NoAnswer
from tests.mkv_writer import Block, service_fragment
from tests.waiting import wait_for

ATTEMPTS = 3
START = StartSelector.earliest()
MEDIA = service_fragment(frames=[Block(b"frame", keyframe=True)])
FACES = ["blocking", "aio"]

pytestmark = pytest.mark.usefixtures("no_environment")


class Impatient(StandardRetry):
    """Retries what the standard policy does, without its waits."""

    def delay(self, attempt: int, error: KvsFastError) -> float | None:
        return None if StandardRetry.delay(self, attempt, error) is None else 0.0


class Told(NamedTuple):
    """What a refusal must become. ``message`` None: the one that the service was told to give."""

    cls: type[ServiceError]
    code: str
    status: int
    attempts: int = 1
    retry_after: float | None = None
    message: str | None = None

    @property
    def retryable(self) -> bool:
        return self.attempts == ATTEMPTS


#: A 403 with an XML body may be a wrong host: GetDataEndpoint is asked again, once.
ASKED_AGAIN = 2
FORBIDDEN = "InvalidSignatureException"
TABLE: dict[str, Told] = {
    "client-limit": Told(ClientLimitExceededException, "ClientLimitExceededException", 400, ATTEMPTS),
    "connection-limit": Told(
        ConnectionLimitExceededException, "ConnectionLimitExceededException", 400, ATTEMPTS
    ),
    "invalid-argument": Told(InvalidArgumentException, "InvalidArgumentException", 400),
    "invalid-endpoint": Told(InvalidEndpointException, "InvalidEndpointException", 400, ATTEMPTS),
    "not-authorized": Told(NotAuthorizedException, "NotAuthorizedException", 401),
    "resource-not-found": Told(ResourceNotFoundException, "ResourceNotFoundException", 404),
    "not-authorized-403": Told(NotAuthorizedException, "NotAuthorizedException", 403),
    "documented-error-header": Told(ResourceNotFoundException, "ResourceNotFoundException", 404),
    "error-type-suffix": Told(ClientLimitExceededException, "ClientLimitExceededException", 400, ATTEMPTS),
    "type-in-body": Told(ClientLimitExceededException, "ClientLimitExceededException", 400, ATTEMPTS),
    "lower-case-message": Told(ClientLimitExceededException, "ClientLimitExceededException", 400, ATTEMPTS),
    "access-denied-xml": Told(ServiceError, "AccessDeniedException", 403, ASKED_AGAIN),
    "access-denied": Told(ServiceError, "AccessDeniedException", 403),
    "signature-expired": Told(ServiceError, FORBIDDEN, 403),
    "signature-not-yet-current": Told(ServiceError, FORBIDDEN, 403),
    "signature-expired-bare": Told(ServiceError, "403", 403),
    "invalid-signature": Told(ServiceError, FORBIDDEN, 403),
    "expired-token": Told(ServiceError, "ExpiredTokenException", 403),
    "unrecognized-client": Told(ServiceError, "UnrecognizedClientException", 403),
    "missing-token": Told(ServiceError, "MissingAuthenticationTokenException", 403),
    "incomplete-signature": Told(ServiceError, "IncompleteSignatureException", 400),
    "request-expired": Told(ServiceError, "RequestExpired", 400),
    "throttling": Told(ServiceError, "ThrottlingException", 400, ATTEMPTS),
    "throttling-retry-after": Told(ServiceError, "ThrottlingException", 400, ATTEMPTS, 1.0),
    "internal-failure": Told(ServiceError, "InternalFailure", 500, ATTEMPTS),
    "service-unavailable": Told(ServiceError, "ServiceUnavailable", 503, ATTEMPTS),
    "service-unavailable-retry-after": Told(ServiceError, "ServiceUnavailable", 503, ATTEMPTS, 1.0),
    "error-empty-body": Told(ServiceError, "500", 500, ATTEMPTS, message=HTTPStatus(500).phrase),
    "error-html-body": Told(ServiceError, "502", 502, ATTEMPTS, message=HTTPStatus(502).phrase),
    "error-garbage-body": Told(
        ServiceError,
        "503",
        503,
        ATTEMPTS,
        message=bytes([*range(0x80, 0x100), 0, ord("{")]).decode(errors="replace"),
    ),
}
HTTP = {name: preset.fault for name, preset in PRESETS.items() if isinstance(preset.fault, HttpError)}
NO_ANSWER = [name for name, preset in PRESETS.items() if isinstance(preset.fault, NoAnswer)]
#: id -> what it is called, and whether the same call may succeed later.
IN_STREAM: dict[int, tuple[str, bool]] = {
    3000: ("FRAGMENT_NOT_FOUND", True),
    3002: ("WRITE_ERROR", True),
    4000: ("REQUESTED_FRAGMENT_NOT_FOUND", True),
    4500: ("KMS_KEY_ACCESS_DENIED", False),
    4501: ("KMS_KEY_DISABLED", False),
    4502: ("KMS_KEY_VALIDATION_ERROR", False),
    4503: ("KMS_KEY_UNAVAILABLE", True),
    4504: ("KMS_KEY_INVALID_USAGE", False),
    4505: ("KMS_KEY_INVALID_STATE", False),
    4506: ("KMS_KEY_NOT_FOUND", False),
    5000: ("INTERNAL_ERROR", True),
}


def stream_of(*parts: object) -> str:
    """Each case has streams of its own, since five calls a second are allowed on one."""
    return "-".join(map(str, parts))


CASES = [*HTTP, *NO_ANSWER, *(f"in-stream-{number}" for number in IN_STREAM), "in-stream-unknown", "rusoto"]


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    names = [stream_of(face, name) for name in CASES for face in (*FACES, "control", "boto3")]
    with Emulator(dict.fromkeys(names, MEDIA), limits=False) as service:
        yield service


class Clients:
    """One client of each face: to make one takes longer than to call it."""

    def __init__(self, service: Emulator) -> None:
        keywords: dict[str, Any] = {**service.client_options(), "config": Config(proxies={})}
        self.blocking = Client(**keywords)
        self.aio = aio.Client(**keywords)

    def read(self, face: str, stream: str, **changes: Any) -> dict[str, Any]:
        """Read the stream to its end; the metadata of the call."""
        options: dict[str, Any] = {"retry": Impatient(max_attempts=ATTEMPTS), **changes}
        if face == "blocking":
            with self.blocking.get_media(stream, START, **options) as media:
                assert [bytes(frame) for frame in media.frames()] == [b"frame"]
                return media.response_metadata

        async def main() -> dict[str, Any]:
            async with self.aio.get_media(stream, START, **options) as media:
                assert [bytes(frame) async for frame in media.frames()] == [b"frame"]
                return media.response_metadata

        return asyncio.run(main())


@pytest.fixture(scope="module")
def clients(service: Emulator) -> Iterator[Clients]:
    clients = Clients(service)
    yield clients
    clients.blocking.close()
    clients.aio.close()


def test_the_table_is_complete() -> None:
    assert TABLE.keys() == HTTP.keys()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", TABLE)
def test_refusals(name: str, face: str, service: Emulator, clients: Clients) -> None:
    told, stream = TABLE[name], stream_of(face, name)
    service.faults.plan(stream, name, times=told.attempts)
    with pytest.raises(told.cls) as caught:
        clients.read(face, stream)
    error = caught.value
    assert type(error) is told.cls and isinstance(error, ClientError)
    assert (error.code, error.status, error.retryable, error.retry_after) == (
        told.code,
        told.status,
        told.retryable,
        told.retry_after,
    )
    assert error.message == (HTTP[name].message if told.message is None else told.message)
    assert error.request_id and error.operation_name == "GetMedia"
    headers = error.response["ResponseMetadata"].pop("HTTPHeaders")
    assert headers["x-amzn-requestid"] == error.request_id
    assert error.response == {
        "Error": {"Code": told.code, "Message": error.message},
        "ResponseMetadata": {
            "RequestId": error.request_id,
            "HTTPStatusCode": told.status,
            "RetryAttempts": told.attempts - 1,
        },
    }
    # So many attempts there were and no more: the next call meets none of them.
    assert service.faults.planned(stream) == 0
    assert clients.read(face, stream)["RetryAttempts"] == 0


@pytest.mark.parametrize("face", FACES)
def test_two_failures_and_then_success(face: str, service: Emulator, clients: Clients) -> None:
    stream = stream_of(face, "internal-failure")
    service.faults.plan(stream, "internal-failure", "service-unavailable")
    metadata = clients.read(face, stream, retry=Impatient(max_attempts=ATTEMPTS))
    assert metadata["RetryAttempts"] == 2
    assert [(each["Error"], each["HTTPStatusCode"]) for each in metadata["Attempts"]] == [
        ("InternalFailure", 500),
        ("ServiceUnavailable", 503),
    ]


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"error-garbage-body"}))
def test_refusals_of_get_data_endpoint(name: str, service: Emulator, clients: Clients) -> None:
    """It is botocore that reads these, and what it does not understand is read again."""
    told, stream = TABLE[name], stream_of("control", name)
    attempts = ATTEMPTS if told.retryable else 1
    service.faults.plan(stream, name, times=attempts, operation="GetDataEndpoint")
    with pytest.raises(told.cls) as caught:
        clients.blocking.get_data_endpoint(stream, retry=Impatient(max_attempts=ATTEMPTS))
    error = caught.value
    assert type(error) is told.cls and error.operation_name == "GetDataEndpoint"
    assert (error.code, error.status, error.retryable, error.retry_after) == (
        told.code,
        told.status,
        told.retryable,
        told.retry_after,
    )
    assert error.request_id
    assert error.response["ResponseMetadata"]["RetryAttempts"] == attempts - 1
    assert service.faults.planned(stream, "GetDataEndpoint") == 0


@pytest.mark.parametrize(
    "name", ["client-limit", "invalid-argument", "not-authorized", "resource-not-found", "invalid-signature"]
)
def test_the_response_is_botocores(name: str, service: Emulator, clients: Clients) -> None:
    stream = stream_of("boto3", name)
    service.faults.plan(stream, name, times=2)
    options = {**service.client_options(), "endpoint_url": service.media_endpoint_url}
    make_client: Any = boto3.client
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    theirs = make_client("kinesis-video-media", config=config, **options)
    with pytest.raises(ClientError) as of_botocore:
        theirs.get_media(StreamName=stream, StartSelector=START.to_dict())
    theirs.close()
    with pytest.raises(ClientError) as of_ours:
        clients.read("blocking", stream, retry=Impatient(max_attempts=1))
    expected: Any = of_botocore.value.response
    assert of_ours.value.response["Error"] == expected["Error"]
    told: Any = of_ours.value.response["ResponseMetadata"]
    # Botocore marks what it would have retried.
    assert told.keys() == expected["ResponseMetadata"].keys() - {"MaxAttemptsReached"}
    assert {key.lower() for key in told["HTTPHeaders"]} == expected["ResponseMetadata"]["HTTPHeaders"].keys()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", NO_ANSWER)
def test_connections_that_end_without_an_answer(name: str, face: str, service: Emulator) -> None:
    clients = Clients(service)  # has no kept connection, whose end would be no failed attempt
    stream = stream_of(face, name)
    service.faults.plan(stream, name, times=ATTEMPTS)
    with pytest.raises(TransportError) as caught:
        clients.read(face, stream, idle_timeout=0.3 if name == "no-answer-stall" else 30.0)
    clients.blocking.close()
    clients.aio.close()
    assert caught.value.retryable
    assert isinstance(caught.value, TransportTimeout) == (name == "no-answer-stall")
    wait_for(lambda: service.faults.planned(stream) == 0)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("number", [*IN_STREAM, 31337])
def test_errors_in_the_media(number: int, face: str, service: Emulator, clients: Clients) -> None:
    code, retryable = IN_STREAM.get(number, ("SOMETHING_NEW", False))
    name = f"in-stream-{number}" if number in IN_STREAM else "in-stream-unknown"
    assert isinstance(PRESETS[name].fault, ErrorDocument)
    service.faults.plan(stream_of(face, name), name)
    with pytest.raises(InStreamError) as caught:
        clients.read(face, stream_of(face, name))
    error = caught.value
    assert (error.error_id, error.error_code, error.code) == (number, code, code)
    assert (error.status, error.retryable) == (200, retryable)
    assert error.fragment_number and str(number) in str(error)
    assert error.response["Error"] == {"Code": code, "Message": error.message}


def test_kinds_of_rusoto(service: Emulator, clients: Clients) -> None:
    """Validation, and Unknown: an answer of which nothing is understood keeps what was told."""
    stream = stream_of("blocking", "rusoto")
    service.faults.plan(stream, HttpError("ValidationException", "too long", status=400))
    with pytest.raises(ServiceError) as caught:
        clients.read("blocking", stream)
    assert (caught.value.code, caught.value.message) == ("ValidationException", "too long")
    service.faults.plan(stream, HttpError("418", status=418, spelling="empty", error_header=None))
    with pytest.raises(ServiceError) as caught:
        clients.read("blocking", stream)
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("418", 418, False)
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
