"""Every form in which the service, its front door or botocore says no."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from botocore import exceptions as botocore_errors

from kvsfast import errors
from kvsfast.errors import (
    ConnectFailed,
    CredentialsError,
    InvalidEndpointException,
    NotAuthorizedException,
    ResourceNotFoundException,
    ServiceError,
    TransportError,
    TransportTimeout,
    UsageError,
)
from kvsfast.faults import credentials_errors, endpoint_is_suspect, errors_of_botocore, service_error

NOT_FOUND = "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("headers", "body", "code", "message"),
    [
        ({"x-amzn-ErrorType": NOT_FOUND}, b'{"Message": "no door"}', NOT_FOUND, "no door"),
        ({"x-amz-ErrorType": NOT_FOUND}, b'{"message": "no door"}', NOT_FOUND, "no door"),
        (
            {"X-AMZN-ERRORTYPE": NOT_FOUND + ":http://internal.amazon.com/coral/"},
            b"{}",
            NOT_FOUND,
            "Not Found",
        ),
        (
            {},
            b'{"__type": "com.amazonaws.kinesisvideo#ResourceNotFoundException", "message": "m"}',
            NOT_FOUND,
            "m",
        ),
        ({}, b'{"code": "ResourceNotFoundException", "Message": "m"}', NOT_FOUND, "m"),
        ({}, b'{"Code": "ResourceNotFoundException:suffix"}', NOT_FOUND, "Not Found"),
        (
            {},
            b"<ResourceNotFoundException>\n <Message>m</Message></ResourceNotFoundException>",
            NOT_FOUND,
            "m",
        ),
        ({}, b"<Error><Code>ResourceNotFoundException</Code><Message>m</Message></Error>", NOT_FOUND, "m"),
        (
            {},
            b'<E xmlns="urn:x"><Error><Code>ResourceNotFoundException</Code></Error></E>',
            NOT_FOUND,
            "Not Found",
        ),
        ({}, b"", "404", "Not Found"),
        ({}, b"plain words", "404", "plain words"),
        ({}, b"<html><body>unclosed", "404", "<html><body>unclosed"),
        ({}, b"<html><body>gateway</body></html>", "404", "Not Found"),
        ({}, b"\xff\xfe", "404", "\ufffd\ufffd"),
        ({}, b"[1, 2]", "404", "[1, 2]"),
        ({}, b'{"message": null}', "404", "Not Found"),
        ({}, b'{"message": {"nested": 1}}', "404", "{'nested': 1}"),
        ({}, b"x" * 5000, "404", "x" * 1000),
        ({}, b"[" * 200_000, "404", "[" * 1000),
        (
            {},
            b'<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>',
            "404",
            '<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>',
        ),
    ],
)
def test_code_and_message(headers: dict[str, str], body: bytes, code: str, message: str) -> None:
    error = service_error(404, headers, body, reason="Not Found")
    assert (error.code, error.message, error.status) == (code, message, 404)
    assert type(error) is (ResourceNotFoundException if code == NOT_FOUND else ServiceError)


@pytest.mark.parametrize("name", ["x-amzn-RequestId", "x-amz-RequestId", "X-Amzn-Requestid"])
def test_request_id(name: str) -> None:
    error = service_error(
        400, {name: "r-1", "x-amzn-ErrorType": "InvalidArgumentException"}, b'{"Message": "m"}'
    )
    assert error.request_id == "r-1"
    assert error.response == {
        "Error": {"Code": "InvalidArgumentException", "Message": "m"},
        "ResponseMetadata": {
            "RequestId": "r-1",
            "HTTPStatusCode": 400,
            "HTTPHeaders": {name: "r-1", "x-amzn-ErrorType": "InvalidArgumentException"},
            "RetryAttempts": 0,
        },
    }


MODELLED = [
    "ClientLimitExceededException",
    "ConnectionLimitExceededException",
    "InvalidArgumentException",
    "InvalidEndpointException",
    "NotAuthorizedException",
    "ResourceNotFoundException",
]


@pytest.mark.parametrize("name", MODELLED)
def test_modelled_classes(name: str) -> None:
    error = service_error(400, {"x-amzn-ErrorType": name}, b"")
    assert type(error) is getattr(errors, name)
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert vars(again) == vars(error) and str(again) == str(error)
    assert isinstance(error, botocore_errors.ClientError)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (500, "InternalFailure", True),
        (502, "502", True),
        (503, "ServiceUnavailable", True),
        (504, "504", True),
        (429, "429", True),
        (400, "ThrottlingException", True),
        (400, "ClientLimitExceededException", True),
        (400, "ConnectionLimitExceededException", True),
        (400, "InvalidEndpointException", True),
        (400, "InvalidArgumentException", False),
        (401, "NotAuthorizedException", False),
        (403, "InvalidSignatureException", False),
        (404, "ResourceNotFoundException", False),
        (301, "301", False),
    ],
)
def test_retryable(status: int, code: str, retryable: bool) -> None:
    assert service_error(status, {"x-amzn-ErrorType": code}, b"").retryable is retryable


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("", None), ("soon", None), ("9999999", None), ("-1", None)]
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert service_error(503, {"Retry-After": value}, b"").retry_after == seconds


def test_retry_after_in_milliseconds() -> None:
    assert service_error(503, {"x-amz-retry-after": "1500", "Retry-After": "9"}, b"").retry_after == 1.5
    assert service_error(503, {"x-amz-retry-after": "soon", "Retry-After": "9"}, b"").retry_after == 9


def test_an_endpoint_is_suspect() -> None:
    xml = b"<AccessDeniedException><Message>Unable to determine</Message></AccessDeniedException>"
    denied = {"x-amzn-ErrorType": "AccessDeniedException"}
    assert endpoint_is_suspect(service_error(403, {}, xml))
    assert endpoint_is_suspect(service_error(400, {"x-amzn-ErrorType": "InvalidEndpointException"}, b""))
    assert endpoint_is_suspect(ConnectFailed("refused"))
    assert not endpoint_is_suspect(service_error(403, denied, b'{"Message": "no"}'))
    assert not endpoint_is_suspect(service_error(403, {}, b'{"message": "Signature expired: ..."}'))
    assert not endpoint_is_suspect(service_error(500, {}, b""))
    assert not endpoint_is_suspect(TransportTimeout("slow"))


# -- botocore


def client_error(code: str, message: str, status: int, **headers: str) -> botocore_errors.ClientError:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {
            "RequestId": "r-1",
            "HTTPStatusCode": status,
            "HTTPHeaders": names,
            "RetryAttempts": 0,
        },
    }
    return botocore_errors.ClientError(response, "GetDataEndpoint")


@pytest.mark.parametrize(
    ("error", "cls", "text"),
    [
        (
            client_error("NotAuthorizedException", "no", 401),
            NotAuthorizedException,
            "GetDataEndpoint operation: no",
        ),
        (
            client_error(
                "400", json.dumps({"Message": "no"}), 400, x_amz_errortype="InvalidEndpointException"
            ),
            InvalidEndpointException,
            "no",
        ),
        (client_error("Strange", "odd", 418), ServiceError, "Strange"),
        (botocore_errors.NoCredentialsError(), CredentialsError, "no credentials"),
        (botocore_errors.UnauthorizedSSOTokenError(), CredentialsError, "SSO"),
        (
            botocore_errors.CredentialRetrievalError(provider="process", error_msg="gone"),
            CredentialsError,
            "gone",
        ),
        (botocore_errors.NoRegionError(), UsageError, "region_name is not given"),
        (
            botocore_errors.EndpointConnectionError(endpoint_url="http://x"),
            ConnectFailed,
            "check endpoint_url",
        ),
        (
            botocore_errors.SSLError(endpoint_url="https://x", error=ValueError("bad")),
            ConnectFailed,
            "AWS_CA_BUNDLE",
        ),
        (botocore_errors.ProxyConnectionError(proxy_url="http://p", error="bad"), ConnectFailed, "proxy"),
        (botocore_errors.ConnectTimeoutError(endpoint_url="http://x"), TransportTimeout, "GetDataEndpoint"),
        (
            botocore_errors.ReadTimeoutError(endpoint_url="http://x", error="slow"),
            TransportTimeout,
            "GetDataEndpoint",
        ),
        (botocore_errors.ConnectionClosedError(endpoint_url="http://x"), TransportError, "GetDataEndpoint"),
        (botocore_errors.ParamValidationError(report="bad parameter"), UsageError, "bad parameter"),
        (botocore_errors.InvalidRegionError(region_name="x y"), UsageError, "x y"),
        (ValueError("Invalid endpoint: x"), UsageError, "Invalid endpoint"),
        (UsageError("ours"), UsageError, "^ours$"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_botocores_errors(error: Exception, cls: type[Exception], text: str) -> None:
    with pytest.raises(cls, match=text) as caught, errors_of_botocore("GetDataEndpoint"):
        raise error
    assert type(caught.value) is cls
    assert caught.value is error or caught.value.__cause__ is error


def test_everything_about_credentials_is_a_credentials_error() -> None:
    for error in (
        client_error("AccessDenied", "not authorized to AssumeRole", 403),
        botocore_errors.SSOTokenLoadError(error_msg="gone"),
    ):
        with pytest.raises(CredentialsError, match="no credentials"), credentials_errors():
            raise error
    with pytest.raises(UsageError, match=r"profile_name: .*nobody"), credentials_errors():
        raise botocore_errors.ProfileNotFound(profile="nobody")
