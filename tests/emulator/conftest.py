from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from kvsfast.emulator import Emulator

if TYPE_CHECKING:
    from mypy_boto3_kinesis_video_media import KinesisVideoMediaClient
    from mypy_boto3_kinesis_video_media.type_defs import StartSelectorTypeDef
    from mypy_boto3_kinesisvideo import KinesisVideoClient

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


@pytest.fixture
def data() -> Path:
    """The folder of real captures, which is not part of the project."""
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")
    return DATA


@pytest.fixture(scope="session")
def ffmpeg_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of H.264 and AAC, a Cluster per second, with CRC-32, SeekHead, Cues and Tags."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg")
    path = tmp_path_factory.mktemp("media") / "clip.mkv"
    subprocess.run(
        "ffmpeg -v error -f lavfi -i testsrc=size=320x180:rate=25"
        " -f lavfi -i sine=frequency=440:sample_rate=48000"
        " -t 4 -c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac -metadata title=clip"
        f" -cluster_time_limit 1000 {path}".split(),
        check=True,
        timeout=60,
    )
    return path


class Sdk:
    """boto3's own two clients, used as a user does: GetDataEndpoint first, GetMedia there."""

    def __init__(self, service: Emulator, **changes: Any) -> None:
        self._service = service
        self._options: dict[str, Any] = {
            "config": Config(retries={"max_attempts": 0}, read_timeout=30),
            **service.client_options(),
            **changes,
        }
        self.control: KinesisVideoClient = boto3.client("kinesisvideo", **self._options)
        self._media: dict[str, KinesisVideoMediaClient] = {}

    def endpoint(self, stream: str) -> str:
        return self.control.get_data_endpoint(StreamName=stream, APIName="GET_MEDIA")["DataEndpoint"]

    def media(self, endpoint: str) -> KinesisVideoMediaClient:
        if endpoint not in self._media:
            options = {**self._options, "endpoint_url": endpoint}
            self._media[endpoint] = boto3.client("kinesis-video-media", **options)
        return self._media[endpoint]

    def open(self, stream: str, kind: str = "EARLIEST", **companion: Any) -> Any:
        """The Payload of GetMedia."""
        selector: StartSelectorTypeDef = {"StartSelectorType": kind, **companion}  # type: ignore[typeddict-item]
        endpoint = self._service.media_endpoint_url
        return self.media(endpoint).get_media(StreamName=stream, StartSelector=selector)["Payload"]

    def read(self, stream: str, kind: str = "EARLIEST", **companion: Any) -> bytes:
        with contextlib.closing(self.open(stream, kind, **companion)) as payload:
            content: bytes = payload.read()
        return content

    def close(self) -> None:
        for client in (self.control, *self._media.values()):
            client.close()


@pytest.fixture
def sdk() -> Iterator[Callable[..., Sdk]]:
    made: list[Sdk] = []

    def make(service: Emulator, **changes: Any) -> Sdk:
        made.append(Sdk(service, **changes))
        return made[-1]

    yield make
    for one in made:
        one.close()


def signed(
    service: Emulator, url: str, body: Mapping[str, Any] | bytes, *, secret: str | None = None, **headers: str
) -> bytes:
    """A request as botocore would send it, as bytes for a socket."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    host = urlsplit(url).netloc
    request = AWSRequest(
        "POST", url, data=content, headers={"Content-Type": "application/json", "Host": host}
    )
    credentials = Credentials(service.credentials.access_key, secret or service.credentials.secret_key)
    SigV4Auth(credentials, "kinesisvideo", service.region).add_auth(request)
    lines = [f"POST {urlsplit(url).path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**request.headers, **headers}.items()]
    lines += [f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


@contextlib.contextmanager
def connected(service: Emulator, url: str) -> Iterator[socket.socket]:
    """A socket to the service, over TLS if it serves that."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    with socket.create_connection((host, port), timeout=30) as sock:
        if service.ca_certificate_path is None:
            yield sock
            return
        context = ssl.create_default_context(cafile=service.ca_certificate_path)
        with context.wrap_socket(sock, server_hostname=host) as wrapped:
            yield wrapped


EARLIEST = {"StartSelectorType": "EARLIEST"}


def raw_get_media(service: Emulator, stream: str, selector: Mapping[str, Any] = EARLIEST) -> bytes:
    """The bytes of a GetMedia request."""
    return signed(
        service,
        f"{service.media_endpoint_url}/getMedia",
        {"StreamName": stream, "StartSelector": dict(selector)},
    )
