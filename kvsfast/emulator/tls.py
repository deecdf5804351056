"""TLS for the local service: a certificate authority of its own, made anew for every run, and bad endings."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from kvsfast.errors import UsageError

__all__ = [
    "CERTIFICATES",
    "TLS_VERSIONS",
    "AcceptedSocket",
    "Certificate",
    "LocalAuthority",
    "send_fatal_alert",
    "send_goodbye",
]

#: What the service shows: a good certificate, one that ran out yesterday, one that was made for another host,
#: or one by an authority that nobody knows.
Certificate = Literal["valid", "expired", "wrong-host", "unknown-authority"]
CERTIFICATES: tuple[Certificate, ...] = ("valid", "expired", "wrong-host", "unknown-authority")
TlsVersion = Literal["1.2", "1.3"]
TLS_VERSIONS: tuple[TlsVersion, ...] = ("1.2", "1.3")

HOSTS = "localhost", "127.0.0.1", "::1"
OTHER_HOST = "elsewhere.invalid"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
#: A record that no key fits: application data, 32 bytes.
_FORGED_RECORD = bytes.fromhex("170303 0020") + bytes(32)


class AcceptedSocket(ssl.SSLSocket):
    """Closes itself if the connection was reset before TLS begins. Python 3.11 has taken the descriptor from
    the plain socket by then, and gives it to nobody."""

    def getpeername(self) -> Any:
        try:
            return super().getpeername()
        except OSError as error:
            self.close()
            raise ConnectionResetError("the client has reset the connection") from error


class LocalAuthority:
    """A throw-away certificate authority and a server context for localhost, 127.0.0.1 and ::1.

    ``certificate_path``: the authority's certificate as PEM, for the client's ``verify=`` or AWS_CA_BUNDLE.
    The file is removed by ``close``. ``version``: the only one that is spoken; None for 1.2 and later.
    """

    def __init__(self, certificate: Certificate = "valid", version: TlsVersion | None = None) -> None:
        if version is not None and version not in _VERSIONS:
            raise UsageError(f"tls_version is {version!r}, expected {' or '.join(_VERSIONS)}, or None")
        self._trustme = _import_trustme()
        self._authority = self._trustme.CA()
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_context.sslsocket_class = AcceptedSocket
        self.server_context.minimum_version = _VERSIONS[version or "1.2"]
        if version is not None:
            self.server_context.maximum_version = _VERSIONS[version]
        self.present(certificate)
        self._directory = tempfile.TemporaryDirectory(prefix="kvsfast-emulator-")
        self.certificate_path = str(Path(self._directory.name) / "authority.pem")
        self._authority.cert_pem.write_to_path(self.certificate_path)

    def present(self, certificate: Certificate) -> None:
        """Show this certificate in handshakes from now on."""
        if certificate not in CERTIFICATES:
            raise UsageError(f"certificate is {certificate!r}, expected one of {', '.join(CERTIFICATES)}")
        issuer = self._trustme.CA() if certificate == "unknown-authority" else self._authority
        names = (OTHER_HOST,) if certificate == "wrong-host" else HOSTS
        ends = datetime.now(UTC) - timedelta(days=1) if certificate == "expired" else None
        issuer.issue_cert(*names, not_after=ends).configure_cert(self.server_context)

    def close(self) -> None:
        """Remove the certificate's file."""
        self._directory.cleanup()


def send_goodbye(sock: ssl.SSLSocket) -> None:
    """Send close_notify, and do not wait for the answer."""
    with contextlib.suppress(OSError, ValueError):
        sock.setblocking(False)
        sock.unwrap()


def send_fatal_alert(sock: ssl.SSLSocket) -> None:
    """Have OpenSSL send a fatal alert, with the connection's keys (RFC 8446, section 6.2).

    There is no function for that. But OpenSSL does so when it receives a record that cannot be, so it is made
    to read one: for a moment its descriptor leads to a pair of sockets instead of to the client.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(fileno=os.dup(sock.fileno())) as wire:
        theirs.sendall(_FORGED_RECORD)
        os.dup2(ours.fileno(), sock.fileno())
        try:
            with contextlib.suppress(OSError):
                sock.recv(1)
        finally:
            os.dup2(wire.fileno(), sock.fileno())
        theirs.setblocking(False)
        with contextlib.suppress(OSError):
            wire.sendall(theirs.recv(4096))


def _import_trustme() -> Any:
    try:
        import trustme
    except ImportError:
        raise UsageError(
            "TLS needs the package trustme, which makes the certificate: pip install 'kvsfast[tls]'"
        ) from None
    return trustme
