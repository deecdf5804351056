"""What a user of boto3, Go or rusoto expects around a call, through the whole client, blocking and on an
event loop: proxies, refused TLS, endpoints, credentials that run out, deadlines, limits."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials

import kvsfast
from kvsfast import (
    AdaptiveRetry,
    Client,
    ConnectFailed,
    CredentialsError,
    Endpoint,
    EndpointOptions,
    ServiceError,
    StandardRetry,
    StartSelector,
    TransportTimeout,
    UsageError,
    aio,
)
from kvsfast.emulator import Clock, Emulator
from kvsfast.limiter import Limiter
from tests.mkv_writer import Block, service_fragment
from tests.wire import (
    CHUNKED_HEAD,
    HANG,
    LAST_CHUNK,
    Peer,
    Proxy,
    Server,
    authority,
    head,
    http_chunk,
    respond,
)

MEDIA = service_fragment(frames=[Block(b"frame", keyframe=True)])
KEYS: dict[str, Any] = {
    "region_name": "eu-west-1",
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG",
}
NOW = StartSelector.now()
DIRECT = Config(proxies={})

pytestmark = pytest.mark.usefixtures("no_environment")
both_faces = pytest.mark.parametrize("face", ["blocking", "aio"])


def serve(peer: Peer) -> None:
    peer.send(CHUNKED_HEAD + http_chunk(MEDIA) + LAST_CHUNK)
    peer.until_closed()


def told(url: str) -> Any:
    """An answer of GetDataEndpoint."""
    return respond(json.dumps({"DataEndpoint": url}).encode())


def frames(face: str, stream: str = "door", start: StartSelector = NOW, **keywords: Any) -> list[bytes]:
    """The frames of one call of a new client."""
    keywords = {**KEYS, "config": DIRECT, "retry": StandardRetry(base=0), **keywords}
    if face == "blocking":
        with Client(**keywords) as client, client.get_media(stream, start) as media:
            return [bytes(frame) for frame in media.frames()]

    async def main() -> list[bytes]:
        async with aio.Client(**keywords) as client, client.get_media(stream, start) as media:
            return [bytes(frame) async for frame in media.frames()]

    return asyncio.run(main())


# -- the request

WHEN = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STARTS = [
    StartSelector.now(),
    StartSelector.earliest(),
    StartSelector.after_fragment("91343852333181432392682062607743920146159169392"),
    StartSelector.at_server_time(WHEN),
    StartSelector.at_producer_time(WHEN),
    StartSelector.from_token("a-Token_1.x"),
]


@both_faces
@pytest.mark.parametrize("start", STARTS, ids=[start.type.value for start in STARTS])
def test_the_signature_of_what_arrives_verifies(start: StartSelector, face: str) -> None:
    """Calculated again by botocore from method, target, headers and body as the server read them."""
    with Server(serve) as server:
        assert frames(face, f"signed-{face}", start, media_endpoint_url=server.url) == [b"frame"]
    (arrived,) = server.requests
    name, _, fields = arrived.headers["Authorization"].partition(" ")
    told = dict(field.split("=", 1) for field in fields.split(", "))
    signed = {key: arrived.headers[key] for key in told["SignedHeaders"].split(";")}
    again = AWSRequest(arrived.method, server.url + arrived.target, headers=signed, data=arrived.body)
    again.context["timestamp"] = arrived.headers["X-Amz-Date"]
    keys = Credentials(KEYS["aws_access_key_id"], KEYS["aws_secret_access_key"])
    auth = SigV4Auth(keys, "kinesisvideo", "eu-west-1")
    expected = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    assert (name, told["Signature"]) == ("AWS4-HMAC-SHA256", expected)
    assert "host" in signed and "content-type" in signed


# -- proxies and TLS


@both_faces
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "CONNECT"])
def test_a_forward_proxy(face: str, tls: bool) -> None:
    """GetDataEndpoint and GetMedia go through it, with its password, and nothing goes past it."""
    context = authority().server_context() if tls else None
    scheme = "https" if tls else "http"
    with Server(serve, tls=context) as media, Server(told(media.url), tls=context) as control:
        with Proxy(authorization="Basic bmFtZTpwYXNz") as proxy:
            through = f"http://name:pass@127.0.0.1:{proxy.port}"
            config = Config(proxies={scheme: through})
            verify = authority().bundle
            got = frames(face, config=config, endpoint_url=control.url, verify=verify)
            targets = [request.target for request in proxy.requests]
    assert got == [b"frame"]
    assert [request.method for request in proxy.requests] == ["CONNECT" if tls else "POST"] * 2
    if tls:
        assert targets == [f"127.0.0.1:{control.port}", f"127.0.0.1:{media.port}"]
    else:
        assert targets == [control.url + "/getDataEndpoint", media.url + "/getMedia"]


@both_faces
def test_a_proxy_that_wants_another_password(face: str) -> None:
    with Proxy(authorization="Basic other") as proxy:
        config = Config(proxies={"https": f"http://name:pass@127.0.0.1:{proxy.port}"})
        with pytest.raises(ConnectFailed, match="407") as caught:
            frames(face, config=config, media_endpoint_url="https://127.0.0.1:1")
        assert not caught.value.retryable and "pass" not in str(caught.value).replace("password", "")
        assert proxy.connections == 1


@both_faces
@pytest.mark.parametrize("wrong", ["authority", "name", "expired"])
def test_refused_certificates(wrong: str, face: str) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    context = authority().server_context(
        *(["elsewhere.example"] if wrong == "name" else []),
        **({"not_before": past - timedelta(days=1), "not_after": past} if wrong == "expired" else {}),
    )
    verify = True if wrong == "authority" else authority().bundle
    with Server(serve, tls=context) as server:
        with pytest.raises(ConnectFailed, match="the certificate was refused") as caught:
            frames(face, media_endpoint_url=server.url, verify=verify)
        assert not caught.value.retryable and server.requests == [] and server.connections == 1


# -- endpoints


def test_endpoint_options() -> None:
    def asked(region: str, **options: Any) -> str:
        client = Client(**{**KEYS, "region_name": region}, endpoint_options=EndpointOptions(**options))
        control = client.opener.environment.control_client(5, 5, client.options.endpoint_options)
        return control.meta.endpoint_url

    assert asked("eu-west-1", disable_https=True) == "http://kinesisvideo.eu-west-1.amazonaws.com"
    assert asked("us-east-1", fips=True) == "https://kinesisvideo-fips.us-east-1.amazonaws.com"
    assert asked("us-east-1", dual_stack=True) == "https://kinesisvideo.us-east-1.api.aws"
    assert asked("us-east-1", fips=True, dual_stack=True) == "https://kinesisvideo-fips.us-east-1.api.aws"
    assert asked("us-gov-east-1") == "https://kinesisvideo-fips.us-gov-east-1.amazonaws.com"
    assert asked("cn-north-1") == "https://kinesisvideo.cn-north-1.amazonaws.com.cn"
    assert (
        asked("cn-north-1", dual_stack=True) == "https://kinesisvideo.cn-north-1.api.amazonwebservices.com.cn"
    )


def test_a_resolver_may_be_a_class() -> None:
    class Resolver:
        def __init__(self) -> None:
            self.asked: list[tuple[str, EndpointOptions]] = []

        def __call__(self, region: str, options: EndpointOptions) -> Endpoint:
            self.asked.append((region, options))
            return Endpoint(server.url)

    resolver = Resolver()
    with Server(serve) as server:
        options = EndpointOptions(fips=True)
        assert frames("blocking", endpoint_resolver=resolver, endpoint_options=options) == [b"frame"]
    assert resolver.asked == [("eu-west-1", EndpointOptions(fips=True, stream="door"))]


def test_an_endpoint_is_kept_for_its_lifetime() -> None:
    with Server(serve) as media, Server(told(media.url)) as control:
        client = Client(**KEYS, config=DIRECT, endpoint_url=control.url)
        for lifetime, asked in ((60.0, 1), (60.0, 1), (1e-9, 2)):
            client.get_media("door", NOW, endpoint_lifetime=lifetime).close()
            assert len(control.requests) == asked
        client.close()


def test_an_endpoint_whose_name_is_not_known_is_asked_for_again() -> None:
    with Server(serve) as media, Server(told("http://gone.invalid:1"), told(media.url)) as control:
        assert frames("blocking", endpoint_url=control.url) == [b"frame"]
        assert len(control.requests) == 2


# -- time


@both_faces
def test_a_deadline_interrupts_get_data_endpoint(face: str) -> None:
    """A control plane that never answers: the call is over, and the thread that asked is left to botocore."""
    asked, over = threading.Event(), threading.Event()

    def never(peer: Peer) -> None:
        asked.set()
        over.wait(HANG)

    with Server(never) as control:
        deadline = 0.3
        while not asked.is_set():  # it may have passed before anything was sent, on a busy machine
            with pytest.raises(
                TransportTimeout, match="the deadline passed before the call was answered"
            ) as caught:
                frames(face, endpoint_url=control.url, deadline=deadline)
            assert not caught.value.retryable
            deadline *= 2
        over.set()


@both_faces
def test_a_deadline_interrupts_a_head_that_trickles_in(face: str) -> None:
    """Each byte comes well within idle_timeout, and the head never ends."""
    over = threading.Event()

    def trickle(peer: Peer) -> None:
        with contextlib.suppress(OSError):  # the client hangs up
            peer.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not over.wait(0.01):
                peer.send(b"x")

    with Server(trickle) as server:
        deadline = 0.5
        while not server.connections:  # it may have passed before there was one, on a busy machine
            with pytest.raises(TransportTimeout) as caught:
                frames(face, f"trickle-{face}", media_endpoint_url=server.url, deadline=deadline)
            assert not caught.value.retryable
            deadline *= 2
        over.set()
        assert server.connections == 1


def test_what_the_deadline_cut_short_is_not_for_a_retry() -> None:
    """Whoever waits for the answer may see its time run out before anybody else does."""

    class Late:
        def send(self, request: Any, *, connect_timeout: float, response_timeout: float) -> Any:
            time.sleep(response_timeout / 2)  # as a clock would that is far too fast
            raise TransportTimeout("no answer")

    with pytest.raises(TransportTimeout, match="the deadline passed") as caught:
        frames("blocking", media_endpoint_url="http://127.0.0.1:1", deadline=2, transport=Late())
    assert not caught.value.retryable


@both_faces
@pytest.mark.parametrize(
    ("offset", "words"), [(600, "Signature expired"), (-600, "Signature not yet current")]
)
def test_a_clock_that_is_off_may_be_told_instead(offset: float, words: str, face: str) -> None:
    """The service's clock is ten minutes off ours, and it allows five."""
    with Emulator({"door": MEDIA}, clock=Clock(offset)) as service:
        keywords = {**service.client_options(), "media_endpoint_url": service.media_endpoint_url}
        with pytest.raises(ServiceError, match=words) as caught:
            frames(face, correct_clock=False, **keywords)
    error = caught.value
    assert (error.code, error.status, error.retryable) == ("InvalidSignatureException", 403, False)
    assert error.response["ResponseMetadata"]["RetryAttempts"] == 0


@both_faces
@pytest.mark.parametrize("offset", [600, -600])
def test_a_clock_that_is_off_is_made_up_for(
    offset: float, face: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both requests are signed by the service's time: botocore's for the endpoint, and ours."""
    with Emulator({"door": MEDIA}, clock=Clock(offset)) as service:
        assert frames(face, **service.client_options())
        assert frames(face, media_endpoint_url=service.media_endpoint_url, **service.client_options())
    told = [record.args for record in caplog.records if record.name == "kvsfast.service_clock"]
    assert told == [(pytest.approx(offset, abs=HANG),)] * 2


def test_it_is_made_up_for_once() -> None:
    """All further calls of the client are signed by the service's time at once, whatever the stream."""
    streams = {"door": MEDIA, "gate": MEDIA}
    with Emulator(streams, clock=Clock(-600)) as service, Client(**service.client_options()) as client:
        attempts = []
        for stream in ("door", "door", "gate"):
            with client.get_media(stream, StartSelector.earliest()) as media:
                attempts.append(media.response_metadata["RetryAttempts"])
                assert list(media.fragments())
    assert attempts == [1, 0, 0]  # the first question for an endpoint was refused


REFUSED = {
    "by another code": ("SomethingElse", "Signature expired: 1 is now earlier than 2", True),
    "for another reason": ("AccessDeniedException", "not authorized", False),
    "without words": ("RequestTimeTooSkewed", "", True),
}


@pytest.mark.parametrize(("code", "words", "is_corrected"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("date", ["off", "right", "none", "nonsense"])
def test_when_the_clock_is_taken_to_be_off(code: str, words: str, is_corrected: bool, date: str) -> None:
    told = {
        "off": {"Date": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)},
        "right": {"Date": format_datetime(datetime.now(UTC), usegmt=True)},
        "none": {},
        "nonsense": {"Date": "yesterday"},
    }[date]

    def refuse(peer: Peer) -> None:
        body = json.dumps({"message": words}).encode()
        headers = {"x-amzn-ErrorType": code, "Content-Length": str(len(body)), **told}
        peer.send(head("403 Forbidden", **headers) + body)

    with Server(refuse, serve) as server:
        if is_corrected and date == "off":
            assert frames("blocking", media_endpoint_url=server.url) == [b"frame"]
            first, second = (
                datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
                for request in server.requests
            )
            assert timedelta(minutes=59) < second - first < timedelta(minutes=61)
        else:
            with pytest.raises(ServiceError):
                frames("blocking", media_endpoint_url=server.url)
            assert len(server.requests) == 1


# -- credentials


def test_refreshed_credentials_of_a_session() -> None:
    """As of assume-role: they are about to expire, so each call fetches new ones."""
    fetched: list[str] = []

    def fetch() -> dict[str, str]:
        fetched.append(f"ASIA{len(fetched)}")
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        return {"access_key": fetched[-1], "secret_key": "s", "token": "t", "expiry_time": soon}

    session = botocore.session.Session()
    session._credentials = RefreshableCredentials.create_from_metadata(  # type: ignore[attr-defined]
        fetch(), refresh_using=fetch, method="assume-role"
    )
    with Server(serve) as server:
        client = Client("eu-west-1", session=session, config=DIRECT, media_endpoint_url=server.url)
        for _ in range(2):
            client.get_media("door", NOW).close()
        client.close()
    used = [
        request.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        for request in server.requests
    ]
    assert len(set(used)) == 2 and set(used) <= set(fetched)


@both_faces
def test_an_expired_sso_token(face: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "https://sso.invalid/start"
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {"startUrl": url, "region": "eu-west-1", "accessToken": "x", "expiresAt": "2020-01-01T00:00:00Z"}
    (cache / f"{hashlib.sha1(url.encode()).hexdigest()}.json").write_text(json.dumps(token))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config").write_text(
        f"[profile sso]\nsso_start_url = {url}\nsso_region = eu-west-1\n"
        "sso_account_id = 1\nsso_role_name = r\n"
    )
    no_keys: dict[str, Any] = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"))
    with Server(serve) as server:
        with pytest.raises(CredentialsError, match="SSO"):
            frames(face, profile_name="sso", media_endpoint_url=server.url, **no_keys)
        assert server.connections == 0


@both_faces
def test_a_role_of_an_instance_that_cannot_be_reached(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(respond(b"")) as gone:
        pass
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", gone.url)
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
    no_keys: dict[str, Any] = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"))
    with Server(serve) as server:
        with pytest.raises(CredentialsError, match="instance role"):
            frames(face, media_endpoint_url=server.url, **no_keys)
        assert server.connections == 0


# -- what config and environment say


def test_adaptive_mode_from_config_and_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert type(Client(**KEYS).options.retry) is StandardRetry
    config = Config(retries={"mode": "adaptive", "total_max_attempts": 4})
    assert Client(**KEYS, config=config).options.retry == AdaptiveRetry(max_attempts=4)
    (tmp_path / "config").write_text("[default]\nretry_mode = adaptive\n")
    assert type(Client(**KEYS).options.retry) is AdaptiveRetry
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    assert type(Client(**KEYS).options.retry) is StandardRetry
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    assert type(Client(**KEYS).options.retry) is AdaptiveRetry
    # Copies slow down together.
    client = Client(**KEYS)
    assert client.with_options(idle_timeout=1).options.retry is client.options.retry


def test_pool_size_of_the_config() -> None:
    settings = Client(**KEYS, config=Config(max_pool_connections=3)).opener.environment.transport_settings()
    assert settings["max_idle"] == 3


def test_app_id_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "my-app")
    with Server(serve) as server:
        frames("blocking", media_endpoint_url=server.url)
    assert " app/my-app" in server.requests[0].headers["User-Agent"]


# -- limits


def test_calls_per_second_are_counted_over_clients_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five calls from five threads and two clients; the sixth would have to wait longer than it may."""
    monkeypatch.setattr("kvsfast.limiter.WINDOW", 1000.0)  # no machine takes so long for five
    monkeypatch.setattr("kvsfast.opening.shared_limiter", Limiter())
    with Server(serve) as server:
        clients = [Client(**KEYS, config=DIRECT, media_endpoint_url=server.url) for _ in range(2)]
        threads = [
            threading.Thread(target=lambda i=i: clients[i % 2].get_media("counted", NOW, wait=True).close())
            for i in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(TransportTimeout, match="calls per second leave no room before the deadline"):
            clients[1].get_media("counted", NOW, deadline=30)
        assert len(server.requests) == 5
        for client in clients:
            client.close()


def test_a_name_and_its_arn_are_one_stream_to_the_limits() -> None:
    arn = "arn:aws:kinesisvideo:eu-west-1:111122223333:stream/same-stream/1700000000000"
    with Server(serve) as server:
        client = Client(**KEYS, config=DIRECT, media_endpoint_url=server.url)
        media = [client.get_media(stream, NOW) for stream in ("same-stream", arn, "same-stream")]
        with pytest.raises(kvsfast.ConnectionLimitExceededException):
            client.get_media(arn, NOW)
        for each in media:
            each.close()
        client.get_media(arn, NOW).close()
        assert [json.loads(request.body).get("StreamARN") for request in server.requests] == [
            None,
            arn,
            None,
            arn,
        ]
        client.close()


# -- parts of the user's own that give what they must not


@both_faces
@pytest.mark.parametrize(
    "given", [None, ReadOnlyCredentials(None, None, None), ReadOnlyCredentials("AKID", None, None)], ids=str
)
def test_a_provider_without_keys(given: Any, face: str) -> None:
    class Provider:
        def get_frozen_credentials(self) -> Any:
            return given

    keywords: dict[str, Any] = {**dict.fromkeys(KEYS), "region_name": "eu-west-1", "credentials": Provider()}
    with Server(serve) as server:
        with pytest.raises(CredentialsError, match="the credentials gave no keys"):
            frames(face, media_endpoint_url=server.url, **keywords)
        assert server.connections == 0


@both_faces
@pytest.mark.parametrize("given", [None, "https://media.example"])
def test_a_resolver_that_gives_no_endpoint(given: Any, face: str) -> None:
    with pytest.raises(UsageError, match=r"endpoint_resolver gave .*, expected kvsfast\.Endpoint"):
        frames(face, endpoint_resolver=lambda region, options: given)


@both_faces
@pytest.mark.parametrize("given", [-1.0, math.nan, "soon"])
def test_a_policy_that_gives_no_delay(given: Any, face: str) -> None:
    class Policy:
        max_attempts = 2

        def delay(self, attempt: int, error: kvsfast.KvsFastError) -> Any:
            return given

    with Server(respond(b"", "500 Oops")) as server:
        with pytest.raises(UsageError, match="the delay of the retry policy is"):
            frames(face, media_endpoint_url=server.url, retry=Policy())
        assert len(server.requests) == 1
