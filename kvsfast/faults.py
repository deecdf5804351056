"""Refusals, translated: HTTP error responses and botocore's exceptions become errors of kvsfast."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from botocore import exceptions as botocore_errors

from kvsfast import errors
from kvsfast.errors import (
    ConnectFailed,
    CredentialsError,
    InvalidEndpointException,
    KvsFastError,
    ServiceError,
    TransportError,
    TransportTimeout,
    UsageError,
)
from kvsfast.retry import THROTTLING_CODES

_CLASSES: dict[str, type[ServiceError]] = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, ServiceError) and cls.__name__.endswith("Exception")
}
_TRANSIENT_STATUS = {429, 500, 502, 503, 504}
#: What the AWS SDKs take for a passing fault or for throttling, besides the statuses.
_TRANSIENT_CODES = THROTTLING_CODES | {
    "InternalFailure",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
}
_MAX_MESSAGE = 1000


def service_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    reason: str = "",
    operation_name: str = "GetMedia",
) -> ServiceError:
    """The error that an HTTP response tells, whatever form it has.

    The code is looked for in the headers (``x-amzn-ErrorType``, or ``x-amz-ErrorType`` as the API reference
    writes it), in JSON (``__type``, ``code``) and in XML (the root element, or ``Code``); without any it is
    the status.
    """
    code, message = _from_body(body)
    code = _header(headers, "ErrorType") or code or str(status)
    code = code.split(":", 1)[0].rsplit("#", 1)[-1]
    message = message or reason or f"HTTP {status} without a body"
    return _make(
        code,
        message,
        status=status,
        request_id=_header(headers, "RequestId"),
        headers=headers,
        operation_name=operation_name,
    )


def _make(
    code: str, message: str, *, status: int, request_id: str, headers: Mapping[str, str], operation_name: str
) -> ServiceError:
    cls = _CLASSES.get(code, ServiceError)
    is_transient = status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES
    return cls(
        message,
        code=code,
        status=status,
        request_id=request_id,
        retryable=True if is_transient else None,
        retry_after=_retry_after(headers),
        headers=dict(headers),
        operation_name=operation_name,
    )


def endpoint_is_suspect(error: KvsFastError) -> bool:
    """Whether a new answer of GetDataEndpoint may help: the service says so, nobody is there, or the host
    does not know GetMedia, which it tells by a 403 with an XML body and without an error type in the
    headers."""
    if isinstance(error, ServiceError):
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
        is_front_door = (
            error.status == 403
            and error.code == "AccessDeniedException"
            and not _header(headers, "ErrorType")
        )
        return is_front_door or isinstance(error, InvalidEndpointException)
    return isinstance(error, ConnectFailed)


def _header(headers: Mapping[str, str], name: str) -> str:
    lower = {key.lower(): value for key, value in headers.items()}
    return lower.get(f"x-amzn-{name}".lower()) or lower.get(f"x-amz-{name}".lower()) or ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds. HTTP's own header has whole seconds (or a date, which is not read), AWS's milliseconds."""
    lower = {key.lower(): value for key, value in headers.items()}
    for name, digits, unit in (("x-amz-retry-after", 9, 1000.0), ("retry-after", 6, 1.0)):
        if re.fullmatch(rf"[0-9]{{1,{digits}}}", value := lower.get(name, "")):
            return float(value) / unit
    return None


def _from_body(body: bytes) -> tuple[str, str]:
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return _from_xml(text)
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return "", text[:_MAX_MESSAGE]
    lower = {str(key).lower(): value for key, value in told.items()}
    code = next((str(lower[key]) for key in ("__type", "code", "errorcode") if lower.get(key)), "")
    return code, str(lower.get("message") or "")[:_MAX_MESSAGE]


def _from_xml(text: str) -> tuple[str, str]:
    # Entities could be made to expand without end, and no service of AWS declares any.
    if "<!" in text:
        return "", text[:_MAX_MESSAGE]
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return "", text[:_MAX_MESSAGE]
    found = {element.tag.rpartition("}")[2].lower(): (element.text or "").strip() for element in root.iter()}
    root_name = root.tag.rpartition("}")[2]
    code = found.get("code") or (root_name if root_name.endswith("Exception") else "")
    return code, found.get("message", "")[:_MAX_MESSAGE]


@contextmanager
def credentials_errors() -> Iterator[None]:
    """Whatever goes wrong while credentials are fetched or refreshed is a CredentialsError."""
    try:
        yield
    except botocore_errors.ProfileNotFound as error:
        raise UsageError(f"profile_name: {error}") from error
    except (botocore_errors.BotoCoreError, botocore_errors.ClientError) as error:
        raise CredentialsError(f"no credentials: {error}") from error


@contextmanager
def errors_of_botocore(operation_name: str) -> Iterator[None]:
    """What botocore raises from a client or for a configuration, as ours; the original is the cause."""
    try:
        yield
    except botocore_errors.ClientError as error:
        raise _from_client_error(error, operation_name) from error
    except _CREDENTIALS as error:
        raise CredentialsError(f"no credentials: {error}") from error
    except botocore_errors.NoRegionError as error:
        raise UsageError(
            "region_name is not given, and neither AWS_DEFAULT_REGION nor the profile has one"
        ) from error
    except (botocore_errors.ConnectTimeoutError, botocore_errors.ReadTimeoutError) as error:
        raise TransportTimeout(f"{operation_name}: {error}") from error
    except botocore_errors.SSLError as error:
        # A certificate that was refused will be refused again. An alert, or an end in the handshake, passes.
        is_refused = "CERTIFICATE_VERIFY_FAILED" in str(error)
        raise ConnectFailed(
            f"{operation_name}: {error}; check verify= and AWS_CA_BUNDLE", retryable=not is_refused
        ) from error
    except (botocore_errors.ConnectionError, botocore_errors.ProxyConnectionError) as error:
        raise ConnectFailed(f"{operation_name}: {error}; check endpoint_url, region and proxy") from error
    except botocore_errors.HTTPClientError as error:
        raise TransportError(f"{operation_name}: {error}") from error
    except UnicodeDecodeError as error:
        # botocore decodes error bodies unasked; whoever wrote this one was not the service.
        raise TransportError(f"{operation_name}: the answer is no text: {error}") from error
    except (botocore_errors.BotoCoreError, ValueError) as error:
        if isinstance(error, KvsFastError):
            raise
        raise UsageError(f"{operation_name}: {error}") from error


_CREDENTIALS: tuple[type[Exception], ...] = tuple(
    cls
    for name in (
        "CredentialRetrievalError",
        "LoginError",
        "MetadataRetrievalError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "RefreshWithMFAUnsupportedError",
        "SSOError",
        "TokenRetrievalError",
        "UnknownCredentialError",
    )
    if (cls := getattr(botocore_errors, name, None))
    is not None  # some are younger than the oldest botocore we allow
)


def _from_client_error(error: botocore_errors.ClientError, operation_name: str) -> ServiceError:
    told: dict[str, Any] = dict(error.response)
    metadata = told.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    code = told.get("Error", {}).get("Code", "Unknown")
    message = told.get("Error", {}).get("Message", "")
    status = metadata.get("HTTPStatusCode", 0)
    if code == str(status):  # botocore found no code: it knows one spelling of the header, and no XML
        return service_error(status, headers, message.encode(), operation_name=operation_name)
    return _make(
        code,
        message,
        status=status,
        request_id=metadata.get("RequestId", ""),
        headers=headers,
        operation_name=operation_name,
    )
