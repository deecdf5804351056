"""https with a certificate made for the run."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import SSLError

from kvsfast.emulator import Emulator
from kvsfast.errors import UsageError
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media
from tests.emulator.wire import dissect, http_chunks, read_all

MakeSdk = Callable[..., Sdk]


def test_boto3_verifies_it(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(3)}, tls=True) as service:
        assert service.endpoint_url.startswith("https://127.0.0.1:")
        assert service.media_endpoint_url.startswith("https://127.0.0.1:")
        client = sdk(service)
        assert client.endpoint("s") == service.media_endpoint_url
        assert len(dissect(client.read("s"))) == 3


def test_the_connection_ends_as_tls_should() -> None:
    with Emulator({"s": mkv.clip(3)}, tls=True) as service:
        host, port = service.media_endpoint_url.removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=service.ca_certificate_path)
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            # Without close_notify this socket would raise SSLEOFError at the end.
            with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
                sock.sendall(
                    raw_get_media(service, "s").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
                )
                body = read_all(sock).partition(b"\r\n\r\n")[2]
        assert len(dissect(b"".join(http_chunks(body)))) == 3


def test_an_unknown_authority_is_refused_by_the_client(sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1)}, tls=True) as service:
        with pytest.raises(SSLError):
            sdk(service, verify=True).endpoint("s")
        assert sdk(service).endpoint("s")


def test_a_client_that_speaks_no_tls_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    with Emulator({"s": mkv.clip(1)}, tls=True) as service:
        host, port = service.endpoint_url.removeprefix("https://").split(":")
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\x16\x03\x01"):
            with socket.create_connection((host, int(port)), timeout=30) as sock:
                sock.sendall(nonsense)
        with connected(service, service.media_endpoint_url) as good:
            good.sendall(raw_get_media(service, "s"))
            assert good.recv(100).startswith(b"HTTP/1.1 200 ")
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_the_certificate_is_gone_afterwards() -> None:
    with Emulator({"s": mkv.clip(1)}, tls=True) as service:
        path = service.ca_certificate_path
        assert path is not None and "BEGIN CERTIFICATE" in Path(path).read_text()
        assert "PRIVATE" not in Path(path).read_text()
    assert not Path(path).exists()
    with Emulator({"s": mkv.clip(1)}) as plain:
        assert plain.ca_certificate_path is None


def test_without_trustme_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(UsageError, match=r"pip install 'kvsfast\[tls\]'"):
        Emulator({"s": mkv.clip(1)}, tls=True).start()
