"""Signature Version 4, by botocore.

Any object with the same ``sign`` can take its place (:class:`kvsfast.protocols.Signer`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from kvsfast.protocols import Credentials, Request

__all__ = ["SigV4"]


def _system_time() -> datetime:
    return datetime.now(UTC)


class SigV4:
    """Adds X-Amz-Date, X-Amz-Security-Token for a token, and Authorization. The body is signed, too.

    ``now``: the time to sign by, in UTC.
    """

    def __init__(self, now: Callable[[], datetime] = _system_time) -> None:
        self._now = now

    def sign(self, request: Request, credentials: Credentials, *, region: str, service: str) -> None:
        keys = ReadOnlyCredentials(credentials.access_key, credentials.secret_key, credentials.token)
        signed = AWSRequest(request.method, request.url, headers=request.headers, data=request.body)
        _Auth(keys, service, region, self._now()).add_auth(signed)
        request.headers.update(signed.headers.items())


class _Auth(SigV4Auth):
    """Botocore's, which knows no other time than the system's."""

    def __init__(self, keys: ReadOnlyCredentials, service: str, region: str, now: datetime) -> None:
        super().__init__(keys, service, region)
        self._now = now

    def _modify_request_before_signing(self, request: Any) -> None:
        request.context["timestamp"] = f"{self._now:%Y%m%dT%H%M%SZ}"
        super()._modify_request_before_signing(request)  # type: ignore[misc]
