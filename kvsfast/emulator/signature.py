"""Signature Version 4, verified as the service does: by computing it again, with botocore's own signer."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials as BotocoreCredentials

from kvsfast.emulator.clock import Clock
from kvsfast.emulator.refusal import Refusal

__all__ = ["CLOCK_SKEW", "Credentials", "SignatureCheck"]

SERVICE = "kinesisvideo"
#: The service's window; its documentation says 15 minutes (producer SDK, issues 211 and 1099).
CLOCK_SKEW = 300.0
TOKEN_HEADER = "x-amz-security-token"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<access_key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,\s*Signature=(?P<signature>[0-9a-f]+)"
)
_TIMESTAMP = "%Y%m%dT%H%M%SZ"


class Credentials(NamedTuple):
    """The key pair that the local service lets in. ``token``: the session token to it, None for any."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r}, secret_key=<hidden>, token=<hidden>)"


class _Recomputed(SigV4Auth):
    """botocore's signer, for headers that the client has chosen and for a body that is always signed."""

    def __init__(self, credentials: Credentials, region: str, signed_headers: HTTPHeaders) -> None:
        super().__init__(BotocoreCredentials(*credentials[:2]), SERVICE, region)
        self._signed = signed_headers

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        return self._signed

    def canonical_request(self, request: AWSRequest) -> str:
        # An X-Amz-Content-SHA256 of the client's is signed as a header, but it is not what the body is
        # checked by.
        without_last_line = super().canonical_request(request).rpartition("\n")[0]
        return f"{without_last_line}\n{hashlib.sha256(request.data or b'').hexdigest()}"


class SignatureCheck:
    """Lets signed requests pass and refuses others as the service's front door does.

    ``clock``: the service's. ``skew``: how many seconds the client's may differ, None for any.
    """

    def __init__(self, credentials: Credentials, region: str, clock: Clock, skew: float | None) -> None:
        self.credentials = credentials
        self._region = region
        self._clock = clock
        self._skew = None if skew is None else timedelta(seconds=skew)
        self._withdrawn: dict[str, tuple[Credentials, str]] = {}

    def rotate(self, credentials: Credentials, refusal: str) -> None:
        """Let these in from now on; what is still signed by the old ones is refused by this error."""
        self._withdrawn[self.credentials.access_key] = self.credentials, refusal
        self._withdrawn.pop(credentials.access_key, None)
        self.credentials = credentials

    def __call__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        """Refusal (400 or 403) unless the signature is right. ``headers``: names in lower case."""
        given = headers.get("authorization", "").strip()
        if not given:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        parts = _AUTHORIZATION.fullmatch(given)
        if parts is None:
            raise Refusal(
                "IncompleteSignatureException",
                "Authorization header is not AWS4-HMAC-SHA256 with Credential, SignedHeaders, Signature",
            )
        signed_at = self._check_date(headers, parts["date"])
        self._check_scope(parts)
        credentials, refusal = self._withdrawn.get(parts["access_key"], (self.credentials, None))
        is_known = parts["access_key"] == credentials.access_key
        if not is_known or credentials.token not in (None, headers.get(TOKEN_HEADER)):
            raise Refusal(
                "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        names = parts["headers"].split(";")
        missing = {"host"} - set(names) or set(names) - set(headers)
        if missing:
            raise Refusal(
                "InvalidSignatureException",
                f"SignedHeaders and headers do not agree on {', '.join(sorted(missing))}",
            )
        signed = HTTPHeaders()
        for name in names:
            signed[name] = headers[name]
        signer = _Recomputed(credentials, self._region, signed)
        request = AWSRequest(method=method, url=f"http://{headers['host']}{target}", data=body)
        request.context["timestamp"] = signed_at
        expected = signer.signature(
            signer.string_to_sign(request, signer.canonical_request(request)), request
        )
        if not hmac.compare_digest(expected, parts["signature"]):
            raise Refusal(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your"
                " AWS Secret Access Key and signing method. Consult the service documentation for details.",
            )
        if refusal is not None:
            raise Refusal(refusal, "The security token included in the request is expired")

    def _check_date(self, headers: Mapping[str, str], scope_date: str) -> str:
        given = headers.get("x-amz-date", "")
        try:
            signed_at = datetime.strptime(given, _TIMESTAMP).replace(tzinfo=UTC)
        except ValueError:
            raise Refusal(
                "IncompleteSignatureException", f"Date must be in ISO-8601 'basic format'. Got {given!r}"
            ) from None
        if not given.startswith(scope_date):
            raise Refusal(
                "InvalidSignatureException",
                f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {given}",
            )
        now = datetime.fromtimestamp(int(self._clock.now()), UTC)
        words = None
        if self._skew is None:
            return given
        if signed_at < (edge := now - self._skew):
            words = "Signature expired", "now earlier", edge, "-"
        elif signed_at > (edge := now + self._skew):
            words = "Signature not yet current", "still later", edge, "+"
        if words is not None:
            what, compared, edge, sign = words
            minutes = self._skew.total_seconds() / 60
            raise Refusal(
                "InvalidSignatureException",
                f"{what}: {given} is {compared} than {edge:{_TIMESTAMP}}"
                f" ({now:{_TIMESTAMP}} {sign} {minutes:g} min.)",
            )
        return given

    def _check_scope(self, parts: re.Match[str]) -> None:
        if parts["region"] != self._region:
            raise Refusal(
                "InvalidSignatureException",
                f"Credential should be scoped to a valid region, not '{parts['region']}'.",
            )
        if parts["service"] != SERVICE:
            raise Refusal(
                "InvalidSignatureException", f"Credential should be scoped to correct service: '{SERVICE}'."
            )
