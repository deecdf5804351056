"""Signatures, verified on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kvsfast.emulator import Clock, Emulator
from tests.emulator import mkv
from tests.emulator.conftest import Sdk, connected, raw_get_media, signed
from tests.emulator.wire import read_all

MakeSdk = Callable[..., Sdk]


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator({"s": mkv.clip(1)}, region="eu-west-1", limits=False) as one:
        yield one


def refusal(client: Sdk) -> dict[str, Any]:
    """What both operations refuse by; they must agree."""
    responses = []
    for call in (lambda: client.endpoint("s"), lambda: client.read("s")):
        with pytest.raises(ClientError) as error:
            call()
        responses.append(error.value.response)
    assert responses[0]["Error"]["Code"] == responses[1]["Error"]["Code"]
    return dict(responses[0]["Error"], Status=responses[0]["ResponseMetadata"]["HTTPStatusCode"])


def test_a_wrong_secret(service: Emulator, sdk: MakeSdk) -> None:
    error = refusal(sdk(service, aws_secret_access_key="wrong"))
    assert (error["Code"], error["Status"]) == ("InvalidSignatureException", 403)
    assert error["Message"].startswith("The request signature we calculated does not match")


def test_another_access_key_region_or_none(service: Emulator, sdk: MakeSdk) -> None:
    assert refusal(sdk(service, aws_access_key_id="AKIDOTHER"))["Code"] == "UnrecognizedClientException"
    error = refusal(sdk(service, region_name="us-east-1"))
    assert (error["Code"], error["Status"]) == ("InvalidSignatureException", 403)
    assert "us-east-1" in error["Message"]


def test_a_session_token_is_signed_along(service: Emulator, sdk: MakeSdk) -> None:
    assert sdk(service, aws_session_token="token").read("s")


def test_the_clock_may_differ_by_five_minutes(sdk: MakeSdk) -> None:
    for offset, words in (
        (310, "Signature expired: "),
        (-310, "Signature not yet current: "),
        (290, ""),
        (-290, ""),
    ):
        with Emulator({"s": mkv.clip(1)}, clock=Clock(offset)) as service:
            client = sdk(service)
            if words:
                error = refusal(client)
                assert (error["Code"], error["Status"]) == ("InvalidSignatureException", 403)
                assert error["Message"].startswith(words)
                assert "5 min.)" in error["Message"]
            else:
                assert client.read("s")


def answer(service: Emulator, request: bytes) -> tuple[int, bytes]:
    with connected(service, service.media_endpoint_url) as sock:
        sock.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        got = read_all(sock)
    return int(got.split()[1]), got


@pytest.mark.parametrize(
    ("replace", "by", "status", "code"),
    [
        (b"POST /getMedia ", b"POST /getMedia?a=b ", 403, b""),
        (b"EARLIEST", b"EARLIESS", 403, b"InvalidSignatureException"),
        (
            b"Content-Type: application/json",
            b"Content-Type: application/jsom",
            403,
            b"InvalidSignatureException",
        ),
        (b"Content-Type: application/json\r\n", b"", 403, b"InvalidSignatureException"),
        (b"Signature=", b"Signature=00", 403, b"InvalidSignatureException"),
        (b"/kinesisvideo/", b"/kinesis/", 403, b"InvalidSignatureException"),
        (
            b"SignedHeaders=content-type;host;",
            b"SignedHeaders=content-type;",
            403,
            b"InvalidSignatureException",
        ),
        (b"AWS4-HMAC-SHA256", b"Bearer", 400, b"IncompleteSignatureException"),
        (b"X-Amz-Date: 2", b"X-Amz-Date: x", 400, b"IncompleteSignatureException"),
        (b"X-Amz-Date: 2", b"X-Amz-Date: 1", 403, b"InvalidSignatureException"),
        (b"Authorization: ", b"X-Authorization: ", 403, b"MissingAuthenticationTokenException"),
    ],
)
def test_a_request_that_was_changed_on_the_way(
    service: Emulator, replace: bytes, by: bytes, status: int, code: bytes
) -> None:
    request = raw_get_media(service, "s")
    assert answer(service, request)[0] == 200
    assert replace in request
    got, text = answer(service, request.replace(replace, by))
    assert got == status
    assert (b"x-amzn-ErrorType: " + code in text) is bool(code)
    if code:
        assert b'{"message": ' in text


def test_a_body_hash_in_a_header_does_not_replace_the_body(service: Emulator) -> None:
    request = {"StreamName": "s", "StartSelector": {"StartSelectorType": "NOW"}}
    good = signed(service, f"{service.media_endpoint_url}/getMedia", request)
    assert (
        answer(service, good.replace(b"Host:", b"X-Amz-Content-SHA256: UNSIGNED-PAYLOAD\r\nHost:"))[0] == 200
    )
    assert answer(service, good.replace(b"NOW", b"WON"))[0] == 403


def test_secrets_are_not_shown(service: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "kvsfast"):
        answer(service, raw_get_media(service, "s"))
        answer(service, raw_get_media(service, "s").replace(b"Signature=", b"Signature=0"))
    assert "InvalidSignatureException" in caplog.text
    shown = caplog.text + repr(service.credentials) + repr(service)
    assert service.credentials.secret_key not in shown
    assert "Signature=" not in shown
