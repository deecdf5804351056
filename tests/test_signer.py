"""Signature Version 4 over our own requests."""

from __future__ import annotations

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from kvsfast.protocols import Request
from kvsfast.signer import SigV4

KEYS = ReadOnlyCredentials("AKID", "secret", "token")


def signed(**headers: str) -> Request:
    request = Request(
        "POST", "https://media.example:8443/getMedia", {"Content-Type": "application/json", **headers}, b"{}"
    )
    SigV4().sign(request, KEYS, region="eu-west-1", service="kinesisvideo")
    return request


def test_the_signature_verifies() -> None:
    """Calculated again by botocore's own steps, from what would be sent and the time it names."""
    request = signed(X_Other="1")
    again = AWSRequest(request.method, request.url, headers=request.headers, data=request.body)
    del again.headers["Authorization"]
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    auth = SigV4Auth(KEYS, "kinesisvideo", "eu-west-1")
    signature = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    day = request.headers["X-Amz-Date"][:8]
    assert request.headers["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKID/{day}/eu-west-1/kinesisvideo/aws4_request, "
        f"SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x_other, Signature={signature}"
    )
    assert request.headers["X-Amz-Security-Token"] == "token"


def test_signing_again_replaces() -> None:
    request = signed()
    SigV4().sign(request, KEYS._replace(access_key="OTHER"), region="eu-west-1", service="kinesisvideo")
    assert "Credential=OTHER/" in request.headers["Authorization"]
    assert request.headers["Authorization"].count("Credential=") == 1


def test_nothing_secret_is_in_a_request_but_its_headers() -> None:
    assert "secret" not in str(signed())
