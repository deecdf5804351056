"""Names, ARNs, and the memory for data endpoints."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import kvsfast
from kvsfast.emulator import Emulator
from kvsfast.endpoint import DataEndpoints, endpoint_from_url, stream_member, stream_name
from kvsfast.environment import Environment
from kvsfast.errors import ServiceError, UsageError
from kvsfast.protocols import EndpointOptions
from kvsfast.steps import Turn, Work, drive
from tests.wire import HANG, Peer, Server, authority, respond

pytestmark = pytest.mark.usefixtures("no_environment")

ARN = "arn:aws-cn:kinesisvideo:cn-north-1:123456789012:stream/front.door_1-x/1511852109126"


def test_names_and_arns() -> None:
    assert stream_member("front.door_1-x") == {"StreamName": "front.door_1-x"}
    assert stream_member("x" * 256) == {"StreamName": "x" * 256}
    assert stream_member(ARN) == {"StreamARN": ARN}
    assert stream_name(ARN) == stream_name("front.door_1-x") == "front.door_1-x"


@pytest.mark.parametrize(
    "stream",
    [
        "", "x" * 257, "a b", "a/b", "tür", "door\n", None, 7, b"door",
        "arn:", ARN + "\n", ARN.replace("kinesisvideo", "kinesis"), ARN.rpartition("/")[0], ARN + "x",
        ARN.replace("front", "x" * 1000), ARN.replace("stream/", "channel/"), ARN.replace("123", "me"),
    ],
)  # fmt: skip
def test_what_is_no_stream(stream: object) -> None:
    with pytest.raises(UsageError, match=r"^stream "):
        stream_member(stream)


@pytest.fixture
def control() -> Iterator[Server]:
    count = iter(range(1000))

    def script(peer: Peer) -> None:
        respond(json.dumps({"DataEndpoint": f"http://media:{next(count) + 1}"}).encode())(peer)

    with Server(script) as server:
        yield server


class Endpoints:
    """DataEndpoints with a blocking face, as the client has it."""

    def __init__(self, control: Server, *, lifetime: float = 60.0, most: int = 100) -> None:
        self.environment = Environment(
            region_name="eu-west-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            endpoint_url=control.url,
        )
        self.endpoints = DataEndpoints(most=most)
        self.lifetime = lifetime

    def url_for(self, stream: str) -> str:
        asked = EndpointOptions(stream=stream)
        return drive(
            self.endpoints.url_for(asked, lambda: self.environment.control_client(5, 5, asked), self.lifetime)
        )

    def forget(self, stream: str) -> None:
        self.endpoints.forget(EndpointOptions(stream=stream))


endpoints_of = Endpoints


def test_answers_are_remembered_per_stream(control: Server) -> None:
    endpoints = endpoints_of(control)
    assert [endpoints.url_for(stream) for stream in ("a", "a", "b", "a")] == [
        "http://media:1", "http://media:1", "http://media:2", "http://media:1",
    ]  # fmt: skip
    endpoints.forget("a")
    endpoints.forget("never known")
    assert endpoints.url_for("a") == "http://media:3"
    assert [json.loads(request.body) for request in control.requests[:2]] == [
        {"StreamName": name, "APIName": "GET_MEDIA"} for name in ("a", "b")
    ]


def test_answers_age(control: Server) -> None:
    endpoints = endpoints_of(control, lifetime=0.02)
    assert endpoints.url_for(ARN) == "http://media:1"
    time.sleep(0.03)
    assert endpoints.url_for(ARN) == "http://media:2"
    assert json.loads(control.requests[0].body)["StreamARN"] == ARN


def test_many_threads_ask_once(control: Server) -> None:
    endpoints = endpoints_of(control)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(endpoints.url_for("door"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert got == ["http://media:1"] * 20 and len(control.requests) == 1


def test_a_failure_is_not_remembered() -> None:
    with Server(respond(b"{}", "500 Oops"), respond(b'{"DataEndpoint": "http://media:1"}')) as control:
        endpoints = endpoints_of(control)
        with pytest.raises(ServiceError) as caught:
            endpoints.url_for("door")
        assert caught.value.retryable and caught.value.operation_name == "GetDataEndpoint"
        assert endpoints.url_for("door") == "http://media:1"
        assert len(control.requests) == 2  # botocore did not retry on its own


def test_an_error_that_is_no_text() -> None:
    """Botocore takes any error's body for JSON in UTF-8. It is the service that is in trouble, not us."""
    with Server(respond(b"\x80\xff<garbage>", "503 Service Unavailable")) as server:
        client = kvsfast.Client(
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            endpoint_url=server.url,
            retry=kvsfast.StandardRetry(max_attempts=1),
        )
        with pytest.raises(kvsfast.TransportError, match="the answer is no text") as caught:
            client.get_data_endpoint("front-door")
        assert caught.value.retryable
        client.close()


def secure(service: Emulator, **options: Any) -> kvsfast.Client:
    return kvsfast.Client(
        **{**service.client_options(), **options}, retry=kvsfast.StandardRetry(max_attempts=1)
    )


def test_a_tls_alert_passes_and_a_certificate_does_not() -> None:
    with Emulator({"front-door": []}, tls=True) as service:
        service.faults.plan("front-door", "no-answer-alert", operation="GetDataEndpoint")
        client = secure(service)
        with pytest.raises(kvsfast.ConnectFailed) as caught:
            client.get_data_endpoint("front-door")
        assert caught.value.retryable
        assert client.get_data_endpoint("front-door") == service.media_endpoint_url
        stranger = secure(service, verify=authority().bundle)
        with pytest.raises(kvsfast.ConnectFailed, match="AWS_CA_BUNDLE") as caught:
            stranger.get_data_endpoint("front-door")
        assert not caught.value.retryable
        client.close()
        stranger.close()


def test_an_answer_that_is_no_url() -> None:
    with Server(respond(b'{"DataEndpoint": "nowhere"}')) as control:
        with pytest.raises(UsageError, match="DataEndpoint is 'nowhere'"):
            endpoints_of(control).url_for("door")


def test_endpoint_from_url() -> None:
    resolver = endpoint_from_url("https://media:1", signing_region="us-west-2", headers={"X-A": "1"})
    endpoint = resolver("eu-west-1", EndpointOptions(stream="any"))
    assert endpoint == kvsfast.Endpoint("https://media:1", "us-west-2", "kinesisvideo", {"X-A": "1"})
    with pytest.raises(UsageError, match="url is 'nowhere'"):
        endpoint_from_url("nowhere")


def test_only_so_many_answers_are_kept(control: Server) -> None:
    endpoints = endpoints_of(control, most=2)
    for stream in ("a", "b", "a", "c", "a", "b"):
        endpoints.url_for(stream)
    # "b" was the one that had not been used for the longest time when "c" came.
    assert [json.loads(request.body)["StreamName"] for request in control.requests] == ["a", "b", "c", "b"]


def test_who_waits_for_an_answer_asks_again_when_it_fails() -> None:
    asked = EndpointOptions(stream="door")
    endpoints = DataEndpoints()
    first = endpoints.url_for(asked, lambda: pytest.fail("not called here"), 60)
    second = endpoints.url_for(asked, lambda: pytest.fail("not called here"), 60)
    assert isinstance(next(first), Work)
    turn = next(second)
    assert isinstance(turn, Turn) and not turn.future.done()
    with pytest.raises(TimeoutError):
        first.throw(TimeoutError())
    assert turn.future.done()
    assert isinstance(second.send(None), Work)
    second.close()
    assert not endpoints._asking
