"""Region, credentials, endpoints, certificates and timeouts, found where boto3 finds them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials

import kvsfast
from kvsfast.environment import Environment
from kvsfast.errors import CredentialsError, UsageError
from tests.wire import Server, authority, respond

pytestmark = pytest.mark.usefixtures("no_environment")

KEYS: dict[str, Any] = {"aws_access_key_id": "AKID", "aws_secret_access_key": "hush-hush"}
make_config: Any = Config  # the stubs do not know all of its arguments
MEDIA_VARIABLE = "AWS_ENDPOINT_URL_KINESIS_VIDEO_MEDIA"


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(
        "[default]\nregion = eu-north-1\n"
        "[profile cam]\nregion = eu-west-3\naws_access_key_id = PROFILEKEY\naws_secret_access_key = secret\n"
        "services = cams\nca_bundle = /etc/cam.pem\nmax_attempts = 7\n"
        "[services cams]\nkinesis_video_media =\n  endpoint_url = http://media.profile:1\n"
        "kinesis_video =\n  endpoint_url = http://control.profile:2\n"
    )
    return path


# -- region


def test_region(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    assert Environment().region == "eu-north-1"
    assert Environment(profile_name="cam").region == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
    assert Environment(profile_name="cam").region == "us-east-2"
    assert Environment(config=Config(region_name="ap-south-1")).region == "ap-south-1"
    assert (
        Environment(region_name="ca-central-1", config=Config(region_name="ap-south-1")).region
        == "ca-central-1"
    )
    session: Any = boto3.Session(region_name="sa-east-1")
    assert Environment(session=session).region == "sa-east-1"


def test_no_region() -> None:
    with pytest.raises(UsageError, match=r"region_name is not given, and neither AWS_DEFAULT_REGION"):
        kvsfast.Client(**KEYS)


# -- arguments


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"aws_access_key_id": "a"}, "aws_secret_access_key come together"),
        ({"aws_secret_access_key": "a"}, "come together"),
        ({"aws_session_token": "a"}, "aws_session_token needs"),
        ({**KEYS, "credentials": Credentials("a", "b")}, "exclude each other"),
        ({"credentials": "keys"}, r"get_frozen_credentials\(\)"),
        ({"session": object()}, "expected a botocore or boto3 session"),
        ({"session": botocore.session.Session(), "profile_name": "x"}, "brings its own profile"),
        ({"session": botocore.session.Session(), **KEYS}, "brings its own profile"),
        ({"profile_name": "nobody"}, "nobody"),
        ({"region_name": "not a region"}, "not a region"),
        ({"config": {"region_name": "x"}}, r"config is .*, expected botocore\.config\.Config"),
        ({"verify": 1.5}, "verify is 1.5"),
        ({"endpoint_url": "nowhere"}, "endpoint_url is 'nowhere'"),
        ({"endpoint_url": "http://host:port"}, "endpoint_url is 'http://host:port'"),
        ({"endpoint_url": "ftp://host"}, "endpoint_url is 'ftp://host'"),
        ({"endpoint_url": "http://host/?query"}, "endpoint_url is"),
        ({"endpoint_url": "http://ho st"}, "endpoint_url is"),
        (
            {"endpoint_url": "https://s-1a2b3c4d.kinesisvideo.eu-west-1.amazonaws.com"},
            "goes into media_endpoint_url",
        ),
        (
            {"endpoint_url": "https://b-1A2B3C4D.kinesisvideo.eu-west-1.amazonaws.com"},
            "goes into media_endpoint_url",
        ),
        ({"media_endpoint_url": "nowhere"}, "media_endpoint_url is 'nowhere'"),
    ],
)
def test_bad_arguments(keywords: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        kvsfast.Client(**{"region_name": "eu-west-1", **keywords})
    assert "hush-hush" not in str(caught.value)


# -- credentials


def test_keys_and_tokens(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    given = Environment(**KEYS, aws_session_token="token").credentials()
    assert (given.access_key, given.secret_key, given.token) == ("AKID", "hush-hush", "token")
    assert Environment(profile_name="cam").credentials().access_key == "PROFILEKEY"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert Environment().credentials().access_key == "ENVKEY"
    assert Environment(session=botocore.session.Session()).credentials().access_key == "ENVKEY"
    assert Environment(session=boto3.Session(profile_name="cam")).credentials().access_key == "PROFILEKEY"


def test_an_empty_chain() -> None:
    with Server(respond(b"")) as server:
        client = kvsfast.Client("eu-west-1", endpoint_url=server.url, media_endpoint_url=server.url)
        with pytest.raises(CredentialsError, match="no credentials were found: neither in keywords"):
            client.get_media("door", kvsfast.StartSelector.now())
        with pytest.raises(CredentialsError):
            client.get_data_endpoint("door")
        assert server.connections == 0


def test_a_chain_that_breaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[profile half]\naws_access_key_id = x\n"
        f"[profile process]\ncredential_process = {sys.executable} -c 'raise SystemExit(3)'\n"
        "[profile sso]\nsso_start_url = http://127.0.0.1:9\nsso_region = eu-west-1\n"
        "sso_account_id = 1\nsso_role_name = r\n"
    )
    for profile in ("half", "process", "sso"):
        with pytest.raises(CredentialsError, match="no credentials"):
            Environment(region_name="eu-west-1", profile_name=profile).credentials()


class Rotating:
    """A provider that gives other keys each time."""

    def __init__(self) -> None:
        self.asked = 0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        self.asked += 1
        return ReadOnlyCredentials(f"KEY{self.asked}", "secret", None)


def test_refreshed_credentials_are_picked_up() -> None:
    with Server(respond(b"")) as server:
        client = kvsfast.Client("eu-west-1", credentials=Rotating(), media_endpoint_url=server.url)
        for _ in range(2):
            client.get_media("door", kvsfast.StartSelector.now()).close()
    used = [
        request.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        for request in server.requests
    ]
    assert len(set(used)) == 2


def test_given_credentials_are_those_of_the_control_plane_too() -> None:
    with Server(respond(json.dumps({"DataEndpoint": "http://media:1"}).encode())) as server:
        client = kvsfast.Client(
            "eu-west-1", credentials=Credentials("GIVEN", "secret", "token"), endpoint_url=server.url
        )
        assert client.get_data_endpoint("door") == "http://media:1"
    (request,) = server.requests
    assert "Credential=GIVEN/" in request.headers["Authorization"]
    assert request.headers["X-Amz-Security-Token"] == "token"


# -- endpoints


def test_control_plane_endpoints(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    def endpoint(**keywords: Any) -> str:
        environment = Environment(**{"region_name": "eu-west-1", **keywords})
        kind = environment.option_defaults()["endpoint_options"]
        return environment.control_client(5, 5, kind).meta.endpoint_url

    assert endpoint() == "https://kinesisvideo.eu-west-1.amazonaws.com"
    assert endpoint(config=Config(use_dualstack_endpoint=True)) == "https://kinesisvideo.eu-west-1.api.aws"
    assert endpoint(region_name="us-gov-west-1") == "https://kinesisvideo-fips.us-gov-west-1.amazonaws.com"
    assert endpoint(region_name="cn-north-1") == "https://kinesisvideo.cn-north-1.amazonaws.com.cn"
    assert endpoint(profile_name="cam") == "http://control.profile:2"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://global:3")
    assert endpoint() == endpoint(profile_name="cam") == "http://global:3"
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS_VIDEO", "http://control:4")
    assert endpoint() == "http://control:4"
    assert endpoint(endpoint_url="http://given:5") == "http://given:5"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert endpoint() == "https://kinesisvideo.eu-west-1.amazonaws.com"


def test_a_data_endpoint_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AWS_ENDPOINT_URL_KINESIS_VIDEO", "https://s-1a2b3c4d.kinesisvideo.eu-west-1.amazonaws.com"
    )
    with pytest.raises(UsageError, match="media_endpoint_url"):
        kvsfast.Client("eu-west-1", **KEYS).get_data_endpoint("door")


def test_media_endpoints(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    def endpoint(**keywords: Any) -> str | None:
        return kvsfast.Client("eu-west-1", **keywords).options.media_endpoint_url

    assert endpoint() is None
    assert endpoint(profile_name="cam") == "http://media.profile:1"
    assert endpoint(session=boto3.Session(profile_name="cam")) == "http://media.profile:1"
    assert endpoint(profile_name="cam", config=make_config(ignore_configured_endpoint_urls=True)) is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://global:3")  # where to ask, not where media is
    assert endpoint() is None
    monkeypatch.setenv(MEDIA_VARIABLE, "http://media:4")
    assert endpoint() == endpoint(profile_name="cam") == "http://media:4"
    assert endpoint(media_endpoint_url="http://given:5") == "http://given:5"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert endpoint() is None
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false")
    monkeypatch.setenv(MEDIA_VARIABLE, "nowhere")
    with pytest.raises(UsageError, match=f"{MEDIA_VARIABLE} is 'nowhere'"):
        endpoint()


def test_a_configured_media_endpoint_is_used_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(respond(b"")) as control, Server(respond(b"")) as media:
        monkeypatch.setenv(MEDIA_VARIABLE, media.url)
        client = kvsfast.Client("eu-west-1", endpoint_url=control.url, **KEYS)
        client.get_media("door", kvsfast.StartSelector.now()).close()
        assert (control.connections, media.connections) == (0, 1)


# -- certificates, timeouts, attempts


def test_verify(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    default = Environment(region_name="eu-west-1").verify
    assert isinstance(default, str) and default.endswith("cacert.pem")
    assert Environment(verify=False).verify is False
    assert Environment(verify="/x.pem").verify == "/x.pem"
    assert Environment(profile_name="cam").verify == "/etc/cam.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert Environment().verify == "/requests.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/aws.pem")
    assert Environment().verify == "/aws.pem"
    assert Environment(verify=True).verify == default


def test_ca_bundle_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", authority().bundle)
    with Server(respond(b""), tls=authority().server_context()) as server:
        client = kvsfast.Client("eu-west-1", media_endpoint_url=server.url, **KEYS)
        client.get_media("door", kvsfast.StartSelector.now()).close()


def test_option_defaults(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    def options(**keywords: Any) -> kvsfast.Options:
        return kvsfast.Client("eu-west-1", **keywords).options

    assert (options().connect_timeout, options().idle_timeout) == (60, 60)
    assert options() == kvsfast.Options()
    assert options(config=Config(read_timeout=None)).idle_timeout == math.inf
    assert options(config=Config(read_timeout=9), idle_timeout=3).idle_timeout == 3
    assert options(profile_name="cam").retry.max_attempts == 7
    assert options(config=Config(retries={"max_attempts": 4})).retry.max_attempts == 5
    assert options(config=Config(retries={"total_max_attempts": 4})).retry.max_attempts == 4
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    assert options().retry.max_attempts == 2


def test_transport_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = Config
    settings = Environment(
        region_name="eu-west-1",
        config=config(proxies={"http": "x"}, proxies_config={}, client_cert="c.pem", tcp_keepalive=True),
    ).transport_settings()
    assert (settings["proxies"], settings["client_cert"], settings["tcp_keepalive"]) == (
        {"http": "x"},
        "c.pem",
        True,
    )
    assert Environment(region_name="eu-west-1").transport_settings()["tcp_keepalive"] is False
