"""What happens to a stream and to the service around it while somebody reads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import kvsfast
from kvsfast.emulator import (
    Broken,
    Cut,
    Emulator,
    ErrorDocument,
    Faults,
    HttpError,
    ManualClock,
    NoAnswer,
    RandomFaults,
    Stall,
)
from kvsfast.emulator.faults import Ending, Operation
from kvsfast.errors import UsageError
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media
from tests.emulator.wire import dissect, http_chunks, read_all
from tests.waiting import wait_for

MakeSdk = Callable[..., Sdk]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(clock: ManualClock) -> Iterator[Emulator]:
    """A stream of six stored fragments, and another one."""
    with Emulator({"s": mkv.clip(6), "t": mkv.clip(1)}, clock=clock, limits=False) as one:
        yield one


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(ClientError) as error:
        call()
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def numbers(body: bytes) -> list[str]:
    return [document.number for document in dissect(body)]


def error_in(body: bytes) -> int | None:
    """The id of the error document at the end of a body."""
    fragments = kvsfast.parse(body).fragments()
    try:
        for _ in fragments:
            pass
    except kvsfast.InStreamError as error:
        return error.error_id
    return None


# -- retention


def test_after_an_expired_fragment(service: Emulator, sdk: MakeSdk) -> None:
    client = sdk(service)
    every = numbers(client.read("s"))
    service.configure("s", missing="next")
    expired = service.expire("s", 3)
    assert expired == every[:3]
    assert numbers(client.read("s")) == every[3:]

    def after(index: int) -> bytes:
        return client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=every[index])

    # The last number before the first that is there may be asked for: only what comes after it is wanted.
    assert numbers(after(1)) == every[3:]
    service.configure("s", missing="error-document")
    assert error_in(after(1)) == 4000
    service.configure("s", missing="http-error")
    assert refused(lambda: after(1)) == (400, "InvalidArgumentException")
    assert numbers(after(3)) == every[4:]
    assert service.expire("s", 100) == every[3:]
    assert client.read("s") == b""


def test_retention_passes_with_time(service: Emulator, clock: ManualClock, sdk: MakeSdk) -> None:
    client = sdk(service)
    every = numbers(client.read("s"))
    service.configure("s", retention_seconds=1.0)
    assert numbers(client.read("s")) == every[1:]  # of 1.2 seconds
    clock.advance(0.5)
    assert numbers(client.read("s")) == every[4:]
    service.configure("s", retention_seconds=None)
    assert numbers(client.read("s")) == every


@pytest.mark.parametrize("missing", ["next", "error-document"])
def test_a_response_that_is_overtaken_by_the_retention(
    service: Emulator, clock: ManualClock, sdk: MakeSdk, missing: Any
) -> None:
    every = numbers(sdk(service).read("s"))
    service.configure("s", missing=missing)
    service.faults.plan("s", Stall(1.0, inside="end"))
    with contextlib.closing(sdk(service).open("s")) as payload:
        clock.wait_for_sleepers()
        service.expire("s", 4)
        clock.advance(1.0)
        body = payload.read()
    if missing == "next":
        assert numbers(body) == [every[0], *every[4:]]
    else:
        assert error_in(body) == 4000
        assert every[1].encode() in body


# -- created again


@pytest.mark.parametrize("how", ["eof", "reset", "close"])
def test_a_stream_that_is_created_again(
    service: Emulator, clock: ManualClock, sdk: MakeSdk, how: Ending
) -> None:
    client = sdk(service)
    service.configure("s", idle_seconds=60)
    with service.producer("s") as camera:
        camera.send(mkv.clip(2))
    old = service.stream("s").fragments()
    arn = service.stream_arn("s")
    with connected(service, service.media_endpoint_url) as sock:
        sock.sendall(raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        clock.wait_for_sleepers()
        clock.advance(10)
        service.recreate_stream("s", how=how)
        received = b""
        try:
            while block := sock.recv(65536):
                received += block
        except ConnectionResetError:
            assert how == "reset"
        else:
            assert how != "reset"
    body = received.partition(b"\r\n\r\n")[2]
    assert body.endswith(b"\r\n0\r\n\r\n") is (how == "eof")
    if how == "eof":
        assert numbers(b"".join(http_chunks(body))) == [fragment.number for fragment in old]
    assert service.stream_arn("s") != arn
    with service.producer("s") as camera:
        new = camera.send(mkv.clip(2))
    # Two new ones sort below all old ones but the first two.
    assert max(fragment.number for fragment in new) < old[2].number
    assert min(fragment.server_ms for fragment in new) > max(fragment.server_ms for fragment in old)
    service.configure("s", idle_seconds=0)
    assert numbers(client.read("s")) == [fragment.number for fragment in new]
    # What was known of the old one is unknown to the new one.
    assert error_in(client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=old[-1].number)) == 4000
    service.configure("s", missing="next")
    assert client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=old[-1].number) == b""


def test_created_again_at_the_same_time_has_other_numbers(service: Emulator) -> None:
    before = service.recreate_stream("s", mkv.clip(1)).fragments()
    after = service.recreate_stream("s", mkv.clip(1)).fragments()
    assert before[0].server_ms == after[0].server_ms
    assert before[0].number != after[0].number


def test_streams_come_and_go(service: Emulator, sdk: MakeSdk) -> None:
    client = sdk(service)
    service.create_stream("new", mkv.clip(2), idle_seconds=0)
    assert len(numbers(client.read("new"))) == 2
    with pytest.raises(UsageError, match="there is no stream old, only s, t, new"):
        service.configure("old", idle_seconds=1)
    with pytest.raises(UsageError, match="there is a stream new already"):
        service.create_stream("new")
    service.delete_stream("new")
    for call in (lambda: client.read("new"), lambda: client.endpoint("new")):
        assert refused(call) == (404, "ResourceNotFoundException")
    assert client.read("t")


def test_a_call_that_comes_just_when_the_stream_is_created_again(service: Emulator, sdk: MakeSdk) -> None:
    """Its response is one of the old stream, and ends like those that were open."""

    class Recreating(Faults):
        def decide(self, stream: str, operation: Operation) -> None:
            service.recreate_stream("s", mkv.clip(2))
            service.configure("s", faults=None, idle_seconds=0)

    service.configure("s", faults=Recreating(), idle_seconds=3600)
    assert sdk(service).read("s") == b""
    assert len(numbers(sdk(service).read("s"))) == 2


def test_all_responses_end_when_they_are_told(service: Emulator, clock: ManualClock, sdk: MakeSdk) -> None:
    service.configure("s", idle_seconds=1e9)
    with contextlib.ExitStack() as stack:
        payloads = [stack.enter_context(contextlib.closing(sdk(service).open("s"))) for _ in range(3)]
        clock.wait_for_sleepers(3)
        service.end_responses("s")
        assert [len(numbers(payload.read())) for payload in payloads] == [6] * 3
    # One that is in the middle of an HTTP chunk cannot end well any more.
    service.faults.plan("s", Stall(fragment=1))
    with contextlib.closing(sdk(service).open("s")) as payload:
        clock.wait_for_sleepers()
        service.end_responses("s")
        with pytest.raises(Exception, match=r"IncompleteRead|Connection broken"):
            payload.read()


# -- poison


@pytest.mark.parametrize("times", [None, 2])
def test_a_poisoned_fragment(service: Emulator, sdk: MakeSdk, times: int | None) -> None:
    client = sdk(service)
    every = numbers(client.read("s"))
    service.poison("s", every[3], ErrorDocument(5000), times=times)
    for attempt in range(4):
        body = client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=every[attempt % 3])
        if times is None or attempt < times:
            assert error_in(body) == 5000
            assert every[3].encode() in body
        else:
            assert numbers(body)[-1] == every[-1]
    # Responses that do not reach it are well.
    assert numbers(client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=every[3])) == every[4:]
    service.poison("s", every[3], None)
    assert numbers(client.read("s")) == every


def test_a_response_that_only_waits_for_a_poisoned_fragment_does_not_heal_it(
    clock: ManualClock, sdk: MakeSdk
) -> None:
    with Emulator({"s": mkv.clip(3)}, pace="realtime", clock=clock, limits=False) as service:
        fragment = service.stream("s").fragment(1)
        service.poison("s", fragment.number, ErrorDocument(5000), times=1)
        when = datetime.fromtimestamp(fragment.server_ms / 1000, UTC)
        for waits_only in (True, False):
            payload = sdk(service).open("s", "SERVER_TIMESTAMP", StartTimestamp=when)
            with contextlib.closing(payload):
                clock.wait_for_sleepers(1)
                if not waits_only:
                    clock.advance(0.2)
                    assert error_in(payload.read()) == 5000
            wait_for(lambda: service.open_connections("s") == 0)


def test_other_poisons(service: Emulator, sdk: MakeSdk) -> None:
    client = sdk(service)
    every = numbers(client.read("s"))
    for poison, is_media in ((Cut("eof", inside="frame"), False), (Broken(inside="frame"), True)):
        service.poison("s", every[2], poison)
        body = client.read("s", "FRAGMENT_NUMBER", AfterFragmentNumber=every[0])
        if is_media:
            with pytest.raises(kvsfast.MediaError):
                list(kvsfast.parse(body).fragments())
        else:
            fragments = list(kvsfast.parse(body).fragments())
            assert [(fragment.number, fragment.is_complete) for fragment in fragments] == [
                (every[1], True),
                (every[2], False),
            ]
    service.poison("s", every[2], "tls-alert")
    # Planned faults of a response happen on the way to it.
    service.faults.plan("s", ErrorDocument(3002, fragment=1))
    assert error_in(client.read("s")) == 3002
    for wrong in (HttpError("InternalFailure"), Cut("eof", after_bytes=3)):
        with pytest.raises(UsageError, match="cannot lie in a fragment"):
            service.poison("s", every[2], wrong)


# -- the service around it


def test_the_media_endpoint_moves(service: Emulator, clock: ManualClock, sdk: MakeSdk) -> None:
    client = sdk(service)
    former = service.media_endpoint_url
    service.configure("s", idle_seconds=60)
    with contextlib.closing(client.open("s")) as payload:
        clock.wait_for_sleepers()
        moved = service.move_media_endpoint()
        assert moved == service.media_endpoint_url == client.endpoint("s") != former
        selector: Any = {"StartSelectorType": "EARLIEST"}

        def ask_former() -> object:
            return client.media(former).get_media(StreamName="s", StartSelector=selector)

        assert refused(ask_former) == (400, "InvalidEndpointException")
        clock.advance(60)
        assert len(numbers(payload.read())) == 6  # what was open goes on
    service.configure("s", idle_seconds=0)
    assert len(numbers(client.read("s"))) == 6
    service.move_media_endpoint(former="refused")
    with pytest.raises(EndpointConnectionError):
        client.media(moved).get_media(StreamName="s", StartSelector=selector)
    assert len(numbers(client.read("s"))) == 6


@pytest.mark.parametrize(
    ("refusal", "status"), [("ExpiredTokenException", 403), ("NotAuthorizedException", 401)]
)
def test_credentials_rotate(service: Emulator, sdk: MakeSdk, refusal: str, status: int) -> None:
    former = sdk(service)
    assert former.read("s")
    service.rotate_credentials("KVSFASTLOCALACCESS01", "another secret", "a token", refusal=refusal)
    for call in (lambda: former.read("s"), lambda: former.endpoint("s")):
        assert refused(call) == (status, refusal)
    assert sdk(service).read("s")
    for changes in ({"aws_session_token": None}, {"aws_session_token": "wrong"}):
        read = partial(sdk(service, **changes).read, "s")
        assert refused(read) == (403, "UnrecognizedClientException")
    wrong = sdk(service, aws_secret_access_key="wrong")
    assert refused(lambda: wrong.read("s")) == (403, "InvalidSignatureException")
    assert "another secret" not in repr(service.credentials) and "a token" not in repr(service.credentials)
    # Back to the first ones.
    service.rotate_credentials("KVSFASTLOCALACCESS00", "kvsfast-local-secret")
    assert former.read("s")
    with pytest.raises(UsageError, match="refusal is 'No'"):
        service.rotate_credentials("a", "b", refusal="No")


def test_a_disabled_key(service: Emulator, clock: ManualClock, sdk: MakeSdk) -> None:
    client = sdk(service)
    service.configure("s", idle_seconds=60)
    with contextlib.closing(client.open("s")) as payload:
        clock.wait_for_sleepers()
        service.configure("s", error_document=ErrorDocument(4501, "KMS_KEY_DISABLED"))
        body = payload.read()  # what was open hears of it at once
    assert len(numbers(body[: body.rindex(b"\x1a\x45\xdf\xa3")])) == 6
    assert error_in(body) == 4501
    for _ in range(3):
        assert error_in(client.read("s")) == 4501
        assert numbers(client.read("t"))
    service.configure("s", error_document=None, idle_seconds=0)
    assert len(numbers(client.read("s"))) == 6


def test_access_denied_from_now_on(service: Emulator, sdk: MakeSdk) -> None:
    client = sdk(service)
    service.configure("s", refusal=HttpError("NotAuthorizedException"))
    for call in (lambda: client.read("s"), lambda: client.endpoint("s")):
        for _ in range(3):
            assert refused(call) == (401, "NotAuthorizedException")
    assert client.read("t")
    service.configure("s", refusal=None)
    assert client.read("s")
    service.configure("s", refusal=NoAnswer("close"))
    with pytest.raises(Exception, match="Connection was closed"):
        client.read("s")


def test_faults_of_one_stream(service: Emulator, sdk: MakeSdk) -> None:
    client = sdk(service)
    service.configure("s", faults=RandomFaults(1, 1.0, among=["in-stream-5000"]))
    for _ in range(5):
        assert error_in(client.read("s")) == 5000
        assert error_in(client.read("t")) is None
    service.faults.plan("s", "client-limit")  # those of the service come first
    assert refused(lambda: client.read("s")) == (400, "ClientLimitExceededException")


def test_options_that_cannot_be(service: Emulator) -> None:
    for wrong in (
        {"melt": 1},
        {"bandwidth": 0.0},
        {"fragments_per_second": -1.0},
        {"idle_seconds": -1.0},
        {"missing": "maybe"},
        {"now": "then"},
        {"session_ends_at": "byte"},
    ):
        with pytest.raises(UsageError):
            service.configure("s", **wrong)
    service.configure("s", idle_seconds=0)


def test_client_options_take_boto3_in(service: Emulator) -> None:
    service.rotate_credentials("A" * 20, "s", "t")
    client = boto3.client("kinesisvideo", **service.client_options())
    assert client.get_data_endpoint(StreamName="s", APIName="GET_MEDIA")["DataEndpoint"]
    client.close()


def test_what_a_response_had_before_it_ended(service: Emulator) -> None:
    """Half closed by order: everything before is delivered."""
    service.configure("s", idle_seconds=60)
    with connected(service, service.media_endpoint_url) as sock:
        sock.sendall(raw_get_media(service, "s"))
        received = b""
        while received.count(b"CONTINUATION_TOKEN") < 6:
            received += sock.recv(65536)
        service.end_responses("s", "half-close")
        received += read_all(sock)
    assert not received.endswith(b"0\r\n\r\n")
