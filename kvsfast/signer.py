"""Signature Version 4, by botocore.

Any object with the same ``sign`` can take its place (:class:`kvsfast.protocols.Signer`).
"""

from __future__ import annotations

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from kvsfast.protocols import Credentials, Request

__all__ = ["SigV4"]


class SigV4:
    """Adds X-Amz-Date, X-Amz-Security-Token for a token, and Authorization. The body is signed, too."""

    def sign(self, request: Request, credentials: Credentials, *, region: str, service: str) -> None:
        keys = ReadOnlyCredentials(credentials.access_key, credentials.secret_key, credentials.token)
        signed = AWSRequest(request.method, request.url, headers=request.headers, data=request.body)
        SigV4Auth(keys, service, region).add_auth(signed)
        request.headers.update(signed.headers.items())
