"""TLS for the local service: a certificate authority of its own, made anew for every run."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from kvsfast.errors import UsageError

__all__ = ["LocalAuthority"]


class LocalAuthority:
    """A throw-away certificate authority and a server context for localhost, 127.0.0.1 and ::1.

    ``certificate_path``: the authority's certificate as PEM, for the client's ``verify=`` or AWS_CA_BUNDLE.
    The file is removed by ``close``.
    """

    def __init__(self) -> None:
        try:
            import trustme
        except ImportError:
            raise UsageError(
                "TLS needs the package trustme, which makes the certificate: pip install 'kvsfast[tls]'"
            ) from None
        authority = trustme.CA()
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_context.minimum_version = ssl.TLSVersion.TLSv1_2
        authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(self.server_context)
        self._directory = tempfile.TemporaryDirectory(prefix="kvsfast-emulator-")
        self.certificate_path = str(Path(self._directory.name) / "authority.pem")
        authority.cert_pem.write_to_path(self.certificate_path)

    def close(self) -> None:
        """Remove the certificate's file."""
        self._directory.cleanup()
