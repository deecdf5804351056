"""GetMedia end to end: against the local service, and against scripted sockets where bytes or failures
matter."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config

import kvsfast
from kvsfast import (
    Client,
    ClientLimitExceededException,
    ConnectFailed,
    ConnectionLimitExceededException,
    Endpoint,
    EndpointOptions,
    InvalidArgumentException,
    InvalidEndpointException,
    NotAuthorizedException,
    Request,
    ResourceNotFoundException,
    Response,
    ServiceError,
    StandardRetry,
    StartSelector,
    TransportTimeout,
    UsageError,
)
from kvsfast.emulator import Emulator
from tests.mkv_writer import Block, service_fragment
from tests.waiting import nothing_stays_behind
from tests.wire import CHUNKED_HEAD, HANG, LAST_CHUNK, Peer, Script, Server, authority, http_chunk, respond

FRAMES = [b"\x01" * 5000, b"\x02" * 3, b"\x03" * 100_000]
MEDIA = b"".join(
    service_fragment(
        sequence=i, frames=[Block(data, time=40 * n, keyframe=n == 0) for n, data in enumerate(FRAMES)]
    )
    for i in range(4)
)
KEYS: dict[str, Any] = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG",
    "region_name": "eu-west-1",
}
NO_WAIT = StandardRetry(base=0)
NOW = StartSelector.now()

pytestmark = pytest.mark.usefixtures("no_environment")


@pytest.fixture(params=[False, True], ids=["tcp", "tls"])
def service(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator({"door": MEDIA, "other": MEDIA}, tls=request.param) as service:
        yield service


def client_of(service: Emulator, **keywords: Any) -> Client:
    return Client(**{"config": Config(proxies={}), "retry": NO_WAIT, **service.client_options(), **keywords})


def media_client(server: Server, **keywords: Any) -> Client:
    """A client that knows its data endpoint."""
    return Client(
        **{
            "config": Config(proxies={}),
            "media_endpoint_url": server.url,
            "retry": NO_WAIT,
            **KEYS,
            **keywords,
        }
    )


def media_script(peer: Peer) -> None:
    peer.send(CHUNKED_HEAD + http_chunk(MEDIA) + LAST_CHUNK)
    peer.until_closed()


# -- the main job


def test_fragments_and_frames(service: Emulator) -> None:
    client = client_of(service)
    for stream in ("door", service.stream_arn("door")):
        with client.get_media(stream, StartSelector.earliest()) as media:
            fragments = list(media.fragments())
        assert [[bytes(frame) for frame in fragment.frames] for fragment in fragments] == [FRAMES] * 4
        assert all(
            fragment.is_complete and fragment.continuation_token == fragment.number for fragment in fragments
        )
    with client.get_media("door", {"StartSelectorType": "EARLIEST"}) as media:
        assert [bytes(frame) for frame in media.frames()] == FRAMES * 4


def test_start_selectors(service: Emulator) -> None:
    client = client_of(service)
    with client.get_media("door", StartSelector.earliest()) as media:
        numbers = [fragment.number for fragment in media.fragments()]
    assert None not in numbers
    second = numbers[1] or ""
    for start in (StartSelector.after_fragment(second), StartSelector.from_token(second)):
        with client.get_media("door", start) as media:
            assert [fragment.number for fragment in media.fragments()] == numbers[2:]
    with client.get_media("door", StartSelector.at_server_time(datetime(2020, 1, 1, tzinfo=UTC))) as media:
        assert [fragment.number for fragment in media.fragments()] == numbers


def test_metadata(service: Emulator) -> None:
    with client_of(service).get_media("door", StartSelector.earliest()) as media:
        metadata = media.response_metadata
        assert media.content_type == "video/webm"
        assert media.request_id == metadata["RequestId"] == metadata["HTTPHeaders"]["x-amzn-requestid"]
        assert (metadata["HTTPStatusCode"], metadata["RetryAttempts"], metadata["Attempts"]) == (200, 0, [])
        assert metadata["Endpoint"] == service.media_endpoint_url
        assert metadata["Host"] == service.media_endpoint_url.partition("//")[2]
        assert set(metadata["Timings"]) == {"connect", "tls", "first_byte"}
        if service.ca_certificate_path:
            assert metadata["TLS"]["Version"] == "TLSv1.3" and metadata["TLS"]["Cipher"]
        else:
            assert metadata["TLS"] is None


def test_data_endpoint_is_asked_once_per_stream(service: Emulator) -> None:
    client = client_of(service)
    assert client.get_data_endpoint("door") == service.media_endpoint_url
    # Would the next ones ask, they would be refused.
    service.fail_next("door", "InternalFailure", times=100, operation="GetDataEndpoint")
    assert client.get_data_endpoint("door") == service.media_endpoint_url
    with client.get_media("door", StartSelector.earliest()) as media:
        assert media.read(1)
    with pytest.raises(ServiceError) as caught:
        client_of(service).get_data_endpoint("door")
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 2


def test_a_wrong_secret(service: Emulator) -> None:
    client = client_of(service, aws_secret_access_key="wrong")
    with pytest.raises(ServiceError) as caught:
        client.get_media("door", NOW)
    assert (caught.value.status, caught.value.code) == (403, "InvalidSignatureException")
    client = client_of(service, aws_secret_access_key="wrong", media_endpoint_url=service.media_endpoint_url)
    with pytest.raises(ServiceError) as caught:
        client.get_media("door", NOW)
    assert (caught.value.status, caught.value.code) == (403, "InvalidSignatureException")


def test_two_streams_of_many_threads(service: Emulator) -> None:
    """One client, its calls from many threads; the limits of the service hold, so some have to wait."""
    client = client_of(service, wait=True, deadline=HANG, retry=StandardRetry())
    counts: list[int] = []

    def read(name: str) -> None:
        with client.get_media(name, StartSelector.earliest()) as media:
            counts.append(sum(1 for _ in media.frames()))

    threads = [threading.Thread(target=read, args=(("door", "other")[i % 2],)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert counts == [4 * len(FRAMES)] * 12


# -- the request

WHEN = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STARTS = [
    StartSelector.now(),
    StartSelector.earliest(),
    StartSelector.after_fragment("91343852333181432392682062607743920146159169392"),
    StartSelector.at_server_time(WHEN),
    StartSelector.at_producer_time(
        WHEN.replace(microsecond=0).astimezone(timezone(timedelta(hours=5, minutes=30)))
    ),
    StartSelector.from_token("a-Token_1.x"),
]


def signed_headers(request: Any) -> list[str]:
    _, _, rest = request.headers["Authorization"].partition("SignedHeaders=")
    return sorted(rest.partition(",")[0].split(";"))


@pytest.mark.parametrize("start", STARTS, ids=[start.type.value for start in STARTS])
@pytest.mark.parametrize("token", [None, "session-token"])
def test_the_request_is_botocores(start: StartSelector, token: str | None) -> None:
    keys = {**KEYS, "aws_session_token": token}
    with Server(respond(b"")) as server:
        config = Config(proxies={})
        ours = Client(media_endpoint_url=server.url, config=config, **keys)
        ours.get_media("door", start).close()
        make_client: Any = boto3.client
        theirs = make_client("kinesis-video-media", endpoint_url=server.url, config=config, **keys)
        theirs.get_media(StreamName="door", StartSelector=start.to_dict())["Payload"].close()
        theirs.close()
    mine, botocores = server.requests
    assert (mine.method, mine.target, mine.body) == (botocores.method, botocores.target, botocores.body)
    assert signed_headers(mine) == signed_headers(botocores)
    names = {name.lower() for name in mine.headers}
    assert names == {name.lower() for name in botocores.headers}
    for name in ("Host", "Content-Type", "Content-Length", "Accept-Encoding", "X-Amz-Security-Token"):
        assert mine.headers[name] == botocores.headers[name]
    for scope in (mine.headers["Authorization"], botocores.headers["Authorization"]):
        assert "/eu-west-1/kinesisvideo/aws4_request, " in scope
    assert mine.headers["amz-sdk-request"] == "attempt=1; max=3"
    assert "kvsfast/" in mine.headers["User-Agent"] and "Botocore/" in mine.headers["User-Agent"]


def test_user_agent_of_the_config() -> None:
    with Server(respond(b"")) as server:
        make_config: Any = Config  # its stub does not know user_agent_appid
        config = make_config(proxies={}, user_agent_extra="extra/1", user_agent_appid="my-app")
        media_client(server, config=config).get_media("door", NOW).close()
    agent = server.requests[0].headers["User-Agent"]
    assert agent.endswith("app/my-app extra/1")


def test_hooks_see_and_add() -> None:
    seen: list[Any] = []

    def before_sign(request: Request) -> None:
        assert "Authorization" not in request.headers
        request.headers["X-Signed"] = "1"

    def before_send(request: Request) -> None:
        assert "Authorization" in request.headers
        request.headers["X-Unsigned"] = "2"

    def after_response(response: Response) -> None:
        seen.append((response.status, response.headers["x-amzn-RequestId"]))

    with Server(respond(b"", x_amzn_RequestId="r-7")) as server:
        client = media_client(
            server, before_sign=before_sign, before_send=before_send, after_response=after_response
        )
        client.get_media("door", NOW).close()
    (request,) = server.requests
    assert (request.headers["X-Signed"], request.headers["X-Unsigned"]) == ("1", "2")
    assert "x-signed" in signed_headers(request) and "x-unsigned" not in signed_headers(request)
    assert seen == [(200, "r-7")]


def test_other_signer_transport_and_resolver() -> None:
    class Signer:
        def sign(self, request: Request, credentials: Any, *, region: str, service: str) -> None:
            request.headers["Authorization"] = f"{credentials.access_key} {region} {service}"

    class Transport:
        def __init__(self, inner: Any) -> None:
            self.inner = inner
            self.urls: list[str] = []

        def send(self, request: Request, **timeouts: float) -> Any:
            self.urls.append(request.url)
            return self.inner.send(request, **timeouts)

    with Server(respond(b"")) as server:

        def resolver(region: str, options: EndpointOptions) -> Endpoint:
            assert (options.stream, region) == ("door", "eu-west-1")
            return Endpoint(server.url + "/base/", "us-west-2", "other", {"X-Route": "7"})

        transport = Transport(kvsfast.HttpTransport(proxies={}))
        client = Client(**KEYS, signer=Signer(), transport=transport, endpoint_resolver=resolver)
        client.get_media("door", NOW).close()
        Client(**KEYS, endpoint_resolver=kvsfast.endpoint_from_url(server.url)).get_media("door", NOW).close()
    first, second = server.requests
    assert first.headers["Authorization"] == "AKIDEXAMPLE us-west-2 other"
    assert (first.target, first.headers["X-Route"]) == ("/base/getMedia", "7")
    assert transport.urls == [server.url + "/base/getMedia"]
    assert second.headers["Authorization"].startswith("AWS4-HMAC-SHA256")


def test_a_resolver_that_gives_no_url() -> None:
    client = Client(**KEYS, endpoint_resolver=lambda region, options: Endpoint("nowhere"))
    with pytest.raises(UsageError, match="the url of the resolved endpoint is 'nowhere'"):
        client.get_media("door", NOW)


def test_client_certificate_and_timeouts_of_the_config() -> None:
    import ssl

    context = authority().server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    authority().trust(context)
    with Server(respond(b""), tls=context) as server:
        config = Config(proxies={}, client_cert=authority().client_cert(), connect_timeout=7, read_timeout=8)
        client = media_client(server, config=config, verify=authority().bundle)
        assert (client.options.connect_timeout, client.options.idle_timeout) == (7, 8)
        client.get_media("door", NOW).close()


# -- bad input


@pytest.mark.parametrize(
    ("arguments", "keywords", "text"),
    [
        ((), {}, "stream, StreamName, StreamARN says it, and none is given"),
        (("door",), {}, "start, StartSelector says it, and none"),
        (("door", NOW), {"StreamName": "door"}, "stream and StreamName are given"),
        ((None, NOW), {"StreamName": "door", "StreamARN": "arn"}, "StreamName and StreamARN are given"),
        (("door", NOW), {"StartSelector": {"StartSelectorType": "NOW"}}, "start and StartSelector are given"),
        (("bad name", NOW), {}, "stream is 'bad name', expected 1 to 256"),
        (("x" * 257, NOW), {}, "expected 1 to 256"),
        (("", NOW), {}, "expected 1 to 256"),
        ((b"door", NOW), {}, "stream is b'door'"),
        (("arn:aws:s3:::bucket", NOW), {}, "is not an ARN of the form"),
        (("arn:aws:kinesisvideo:eu-west-1:1:stream/door", NOW), {}, "is not an ARN of the form"),
        (("door", "NOW"), {}, "start is 'NOW'"),
        (("door", {"StartSelectorType": "SOON"}), {}, "expected one of NOW"),
        (("door", {"StartSelectorType": "FRAGMENT_NUMBER"}), {}, "needs AfterFragmentNumber"),
        (
            ("door", {"StartSelectorType": "NOW", "ContinuationToken": "x"}),
            {},
            "does not take ContinuationToken",
        ),
        (
            ("door", {"StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": datetime(2024, 1, 1)}),
            {},
            "no time zone",
        ),
        (("door", NOW), {"idle_timeout": 0}, "idle_timeout is 0, expected seconds"),
        (("door", NOW), {"deadline": math.nan}, "deadline is nan"),
        (("door", NOW), {"media_endpoint_url": "nowhere"}, "media_endpoint_url is 'nowhere'"),
        (("door", NOW), {"nonsense": 1}, "there is no option nonsense; options are media_endpoint_url"),
    ],
)
def test_bad_input_is_refused_before_any_request(arguments: Any, keywords: Any, text: str) -> None:
    with Server(respond(b"")) as server:
        client = media_client(server)
        with pytest.raises(UsageError) as caught:
            client.get_media(*arguments, **keywords)
        assert text in str(caught.value) and isinstance(caught.value, ValueError)
        assert server.connections == 0


def test_botocores_request_shape(service: Emulator) -> None:
    client = client_of(service)
    streams: list[dict[str, Any]] = [{"StreamName": "door"}, {"StreamARN": service.stream_arn("door")}]
    for stream in streams:
        with client.get_media(**stream, StartSelector={"StartSelectorType": "EARLIEST"}) as media:
            assert len(list(media.fragments())) == 4


# -- refusals and retries


def error_script(
    code: str, status: str = "400 Bad Request", body: bytes = b'{"Message": "no"}', **headers: str
) -> Script:
    return respond(body, status, x_amzn_ErrorType=code, x_amzn_RequestId="r-1", **headers)


@pytest.mark.parametrize(
    ("code", "status", "cls", "attempts"),
    [
        ("ClientLimitExceededException", 400, ClientLimitExceededException, 3),
        ("ConnectionLimitExceededException", 400, ConnectionLimitExceededException, 3),
        ("InvalidArgumentException", 400, InvalidArgumentException, 1),
        ("InvalidEndpointException", 400, InvalidEndpointException, 3),
        ("NotAuthorizedException", 401, NotAuthorizedException, 1),
        ("ResourceNotFoundException", 404, ResourceNotFoundException, 1),
        ("ThrottlingException", 400, ServiceError, 3),
        ("InternalFailure", 500, ServiceError, 3),
        ("ServiceUnavailable", 503, ServiceError, 3),
        ("InvalidSignatureException", 403, ServiceError, 1),
        ("ExpiredTokenException", 403, ServiceError, 1),
    ],
)
def test_http_errors(code: str, status: int, cls: type[ServiceError], attempts: int) -> None:
    with Emulator({"door": MEDIA}, limits=False) as service:
        client = client_of(service)
        service.fail_next("door", code, times=attempts)
        with pytest.raises(cls) as caught:
            client.get_media("door", NOW)
        error = caught.value
        assert type(error) is cls
        assert (error.code, error.status, error.retryable) == (code, status, attempts > 1)
        assert error.message == "injected by the local service" and error.request_id
        assert error.response["Error"] == {"Code": code, "Message": error.message}
        assert error.response["ResponseMetadata"]["RetryAttempts"] == attempts - 1
        assert "GetMedia" in str(error)
        # All planned failures were met, and the stream works.
        with client.get_media("door", StartSelector.earliest()) as media:
            assert media.response_metadata["RetryAttempts"] == 0


def test_a_failure_and_then_success(service: Emulator) -> None:
    client = client_of(service)
    service.fail_next("door", "InternalFailure")
    with client.get_media("door", StartSelector.earliest()) as media:
        (failure,) = media.response_metadata["Attempts"]
        assert media.response_metadata["RetryAttempts"] == 1
        assert (failure["Error"], failure["HTTPStatusCode"], failure["Delay"]) == (
            "InternalFailure",
            500,
            0.0,
        )
        assert len(list(media.fragments())) == 4


def test_each_attempt_is_signed_and_counted() -> None:
    with Server(error_script("InternalFailure", "500 Oops"), respond(b"")) as server:
        media_client(server).get_media("door", NOW).close()
    first, second = server.requests
    assert (first.headers["amz-sdk-request"], second.headers["amz-sdk-request"]) == (
        "attempt=1; max=3",
        "attempt=2; max=3",
    )
    assert first.headers["amz-sdk-invocation-id"] == second.headers["amz-sdk-invocation-id"]
    assert len(second.headers.get_all("Authorization", [])) == 1


def test_a_broken_connection_is_retried() -> None:
    with Server(lambda peer: peer.reset(), lambda peer: peer.close(), media_script) as server:
        with media_client(server).get_media("door", NOW) as media:
            assert [bytes(frame) for frame in media.frames()] == FRAMES * 4
            assert [failure["Error"] for failure in media.response_metadata["Attempts"]] == [
                "TransportError"
            ] * 2


def test_retries_are_the_callers_to_replace() -> None:
    asked: list[tuple[int, str]] = []

    class Once:
        max_attempts = 2

        def delay(self, attempt: int, error: kvsfast.KvsFastError) -> float | None:
            asked.append((attempt, type(error).__name__))
            return 0.0 if attempt < 2 else None

    with Server(error_script("InvalidArgumentException")) as server:
        with pytest.raises(InvalidArgumentException):
            media_client(server, retry=Once()).get_media("door", NOW)
        assert len(server.requests) == 2
    assert asked == [(1, "InvalidArgumentException"), (2, "InvalidArgumentException")]


def test_refused_tls_is_not_retried() -> None:
    with Server(respond(b""), tls=authority().server_context()) as server:
        with pytest.raises(ConnectFailed, match="certificate was refused"):
            media_client(server).get_media("door", NOW)
        assert server.connections == 1


def test_deadline_before_the_body() -> None:
    with Server(lambda peer: peer.until_closed()) as server:
        with pytest.raises(TransportTimeout):
            media_client(server, deadline=0.2).get_media("door", NOW)
        # A wait that would end after the deadline is not begun.
        patient = StandardRetry(base=1000, longest=1000, uniform=lambda low, high: high)
    with Server(error_script("InternalFailure", "500 Oops")) as server:
        with pytest.raises(ServiceError):
            media_client(server, deadline=5.0, retry=patient).get_media("door", NOW)
        assert len(server.requests) == 1


def test_idle_timeout_of_one_call() -> None:
    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        peer.until_closed()

    with Server(script) as server, media_client(server).get_media("door", NOW, idle_timeout=0.5) as media:
        with pytest.raises(TransportTimeout, match=r"idle_timeout=0\.5"):
            media.read(1)


# -- endpoints that move


def control_script(*media_urls: str) -> tuple[Script, list[str]]:
    """A control plane whose nth answer names the nth data endpoint."""
    left = list(media_urls)
    given: list[str] = []

    def script(peer: Peer) -> None:
        url = left.pop(0) if len(left) > 1 else left[0]
        given.append(url)
        respond(b'{"DataEndpoint": "%s"}' % url.encode())(peer)

    return script, given


def moved_client(control: Server, **keywords: Any) -> Client:
    return Client(
        **{"config": Config(proxies={}), "endpoint_url": control.url, "retry": NO_WAIT, **KEYS, **keywords}
    )


XML_403 = b"<AccessDeniedException><Message>Unable to determine</Message></AccessDeniedException>"


@pytest.mark.parametrize(
    "refusal",
    [error_script("InvalidEndpointException"), respond(XML_403, "403 Forbidden")],
    ids=["InvalidEndpoint", "403 XML"],
)
def test_a_moved_endpoint_is_asked_for_again(refusal: Script) -> None:
    with Server(refusal) as old, Server(media_script) as new:
        script, given = control_script(old.url, new.url)
        with Server(script) as control:
            client = moved_client(control)
            with client.get_media("door", NOW) as media:
                assert media.response_metadata["Endpoint"] == new.url
                assert media.response_metadata["RetryAttempts"] == 1
            assert given == [old.url, new.url]
            assert client.get_data_endpoint("door") == new.url
            assert len(given) == 2


def test_a_dead_endpoint_is_asked_for_again() -> None:
    with Server(respond(b"")) as gone:
        pass
    with Server(media_script) as new:
        script, _ = control_script(gone.url, new.url)
        with Server(script) as control, moved_client(control).get_media("door", NOW) as media:
            assert media.response_metadata["Endpoint"] == new.url


def test_an_endpoint_that_stays_wrong() -> None:
    with Server(respond(XML_403, "403 Forbidden")) as old:
        script, given = control_script(old.url)
        with Server(script) as control:
            with pytest.raises(ServiceError) as caught:
                moved_client(control).get_media("door", NOW)
            assert (caught.value.code, caught.value.status) == ("AccessDeniedException", 403)
            assert "Unable to determine" in caught.value.message
            assert len(given) == len(old.requests) == 2


def test_errors_of_the_control_plane() -> None:
    with Server(error_script("ResourceNotFoundException", "404 Not Found")) as control:
        with pytest.raises(ResourceNotFoundException, match="GetDataEndpoint"):
            moved_client(control).get_media("door", NOW)
        assert len(control.requests) == 1
    with Server(error_script("ClientLimitExceededException")) as control:
        with pytest.raises(ClientLimitExceededException):
            moved_client(control).get_media("door", NOW)
        assert len(control.requests) == 3
    with Server(respond(b"")) as gone:
        pass
    with pytest.raises(ConnectFailed, match="check endpoint_url"):
        moved_client(gone).get_media("door", NOW)


# -- limits


def test_the_fourth_connection(service: Emulator) -> None:
    client = client_of(service)
    open_media = [client.get_media("door", StartSelector.earliest()) for _ in range(3)]
    other_client = client_of(service)
    with pytest.raises(
        ConnectionLimitExceededException, match="3 connections to this stream are open in this process"
    ):
        other_client.get_media("door", NOW)
    with pytest.raises(TransportTimeout, match="deadline"):
        client.get_media("door", NOW, wait=True, deadline=0.3)
    client.get_media("other", StartSelector.earliest()).close()
    open_media.pop().close()
    open_media.append(client.get_media("door", StartSelector.earliest()))
    threading.Timer(0.1, open_media.pop().close).start()
    open_media.append(client.get_media("door", StartSelector.earliest(), wait=True))
    list(open_media[0].frames())  # its end gives the connection back as well
    open_media.append(client.get_media("door", StartSelector.earliest()))
    for media in open_media:
        media.close()


def test_a_failed_call_gives_its_connection_back() -> None:
    with Server(error_script("InvalidArgumentException")) as server:
        client = media_client(server)
        for _ in range(4):
            with pytest.raises(InvalidArgumentException):
                client.get_media("door", NOW)


# -- options, sessions, secrets


def test_with_options() -> None:
    client = Client(**KEYS, idle_timeout=5)
    other = client.with_options(idle_timeout=9, strict=True)
    assert (client.options.idle_timeout, other.options.idle_timeout, other.options.strict) == (5, 9, True)
    assert other.opener is client.opener
    with pytest.raises(UsageError, match="there is no option idle"):
        client.with_options(idle=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", ["boto3", "botocore"])
def test_from_session(kind: str, service: Emulator) -> None:
    options = service.client_options()
    endpoint = {name: options.pop(name) for name in ("endpoint_url", "verify")}
    if kind == "boto3":
        session: Any = boto3.Session(**options)
    else:
        session = botocore.session.Session()
        session.set_credentials(options["aws_access_key_id"], options["aws_secret_access_key"])
        session.set_config_variable("region", options["region_name"])
    client = Client.from_session(session, **endpoint)
    assert client.region_name == service.region
    with client.get_media("door", StartSelector.earliest()) as media:
        assert len(list(media.fragments())) == 4


def test_no_secret_is_told(caplog: pytest.LogCaptureFixture) -> None:
    secret, token = "s3cr3t-of-the-test", "t0k3n-of-the-test"
    caplog.set_level(logging.DEBUG, "kvsfast")
    with Server(error_script("InternalFailure", "500 Oops"), media_script) as server:
        client = media_client(server, aws_secret_access_key=secret, aws_session_token=token)
        with client.get_media("door", NOW) as media:
            list(media.frames())
            told = [repr(client), repr(client.options), repr(media), repr(media.response_metadata)]
    records = [record for record in caplog.records if record.name.startswith("kvsfast")]
    assert any("attempt 1 failed" in record.getMessage() for record in records)
    told += [record.getMessage() for record in records]
    assert not [text for text in told if secret in text or token in text or "Signature=" in text]


def read_at_once(service: Emulator, names: list[str]) -> list[int]:
    """Frames of each stream, read by as many threads; the last one leaves early."""
    client = client_of(service)
    counts: list[int] = []

    def read(name: str) -> None:
        with client.get_media(name, StartSelector.earliest()) as media:
            for count, _ in enumerate(media.frames(), 1):
                if name == names[-1] and count == 5:
                    break
            counts.append(count)

    threads = [threading.Thread(target=read, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    return counts


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux shows them")
def test_fifty_streams_at_once_leave_nothing_open() -> None:
    names = [f"door-{i}" for i in range(50)]
    with Emulator(dict.fromkeys(names, MEDIA), tls=True) as service:
        read_at_once(service, names[:1])  # what is loaded once
    with nothing_stays_behind():
        memory = kvsfast.memory_stats().in_use
        with Emulator(dict.fromkeys(names, MEDIA), tls=True) as service:
            counts = read_at_once(service, names)
        assert sorted(counts) == [5] + [4 * len(FRAMES)] * 49
        assert kvsfast.memory_stats().in_use <= memory
