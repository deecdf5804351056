"""https with a certificate made for the run."""

from __future__ import annotations

import gc
import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import SSLError

from kvsfast.emulator import Emulator
from kvsfast.emulator.tls import Certificate, LocalAuthority, TlsVersion
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


REASONS: dict[Certificate, str] = {
    "expired": "certificate has expired",
    "wrong-host": "'127.0.0.1' doesn't match 'elsewhere.invalid'",
    "unknown-authority": "unable to get local issuer certificate",
}


@pytest.mark.parametrize("certificate", REASONS)
def test_certificates_that_are_refused_by_the_client(certificate: Certificate, sdk: MakeSdk) -> None:
    with Emulator({"s": mkv.clip(1)}, tls=True, certificate=certificate) as service:
        for call in (lambda: sdk(service).endpoint("s"), lambda: sdk(service).read("s")):
            with pytest.raises(SSLError, match=REASONS[certificate]):
                call()
        service.present_certificate("valid")
        assert sdk(service).read("s")
        service.present_certificate(certificate)
        with pytest.raises(SSLError, match=REASONS[certificate]):
            sdk(service).read("s")


@pytest.mark.parametrize(("version", "other"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_one_version_of_tls(version: TlsVersion, other: str) -> None:
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    with Emulator({"s": mkv.clip(1)}, tls=True, tls_version=version) as service:
        with connected(service, service.media_endpoint_url) as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.version() == f"TLSv{version}"
        host, port = service.endpoint_url.removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=service.ca_certificate_path)
        context.minimum_version = context.maximum_version = versions[other]
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
                context.wrap_socket(plain, server_hostname=host)


def test_tls_that_cannot_be() -> None:
    with pytest.raises(UsageError, match=r"tls_version is '1\.1', expected 1\.2 or 1\.3"):
        Emulator({"s": mkv.clip(1)}, tls=True, tls_version="1.1").start()  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="certificate is 'nice', expected one of valid, expired"):
        Emulator({"s": mkv.clip(1)}, tls=True, certificate="nice").start()  # type: ignore[arg-type]
    with Emulator({"s": mkv.clip(1)}) as plain, pytest.raises(UsageError, match="serves no TLS"):
        plain.present_certificate("expired")


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


def test_a_client_that_resets_before_tls_begins_leaves_no_socket(recwarn: pytest.WarningsRecorder) -> None:
    """Between accept and wrap_socket, which then has taken the descriptor from the plain socket."""
    authority = LocalAuthority()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        select.select([accepted], [], [], 30)
        with pytest.raises(ConnectionResetError):
            authority.server_context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
    authority.close()
    gc.collect()
    assert not [str(each.message) for each in recwarn if each.category is ResourceWarning]
