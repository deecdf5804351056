"""One GetMedia call up to the head of its response: endpoint, credentials, signature, limits, retries."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from kvsfast.endpoint import DataEndpoints, stream_member, stream_name
from kvsfast.environment import Environment
from kvsfast.errors import KvsFastError, ServiceError, TransportError, TransportTimeout
from kvsfast.faults import endpoint_is_suspect, service_error
from kvsfast.limiter import shared_limiter
from kvsfast.model import StartSelector
from kvsfast.options import Options, check_url
from kvsfast.protocols import Endpoint, Request, Response, Signer, Transport
from kvsfast.signer import SigV4
from kvsfast.stream import HttpBody

log = logging.getLogger(__name__)
Result = TypeVar("Result")

PATH = "/getMedia"
#: What is read of an error's body, and for how long.
MAX_ERROR_BODY = 64 * 1024
ERROR_BODY_TIMEOUT = 10.0


def request_body(stream: str, start: StartSelector) -> bytes:
    """The JSON of GetMedia, byte for byte as botocore writes it: StartTimestamp in epoch seconds."""
    selector = start.to_dict()
    if start.timestamp is not None:
        selector["StartTimestamp"] = _epoch_seconds(start.timestamp)
    return json.dumps({**stream_member(stream), "StartSelector": selector}).encode()


def _epoch_seconds(when: datetime) -> int | float:
    since = when.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86400 + since.seconds
    return (seconds * 10**6 + since.microseconds) / 10**6 if since.microseconds else seconds


@dataclass(frozen=True, slots=True)
class Opener:
    """What all calls of a client share. Used by many threads at once."""

    environment: Environment
    endpoints: DataEndpoints
    transport: Transport
    user_agent: str
    signer: Signer = field(default_factory=SigV4)

    def data_endpoint(self, stream: str, options: Options) -> str:
        """The URL that GetDataEndpoint tells, or told."""
        self.environment.credentials()
        deadline = time.monotonic() + options.deadline
        return _retry(
            lambda _: self.endpoints.url_for(stream),
            options.retry.delay,
            deadline,
            f"GetDataEndpoint {stream}",
        )

    def open(self, stream: str, start: StartSelector, options: Options) -> tuple[HttpBody, dict[str, Any]]:
        """The body of a response with status 200, and the metadata of the call in botocore's shape.

        Until then failures are retried as ``options.retry`` says. The connection counts against the stream's
        limit until the body is closed.
        """
        return _Call(self, stream, start, options).open()


class _Call:
    """One call and its attempts."""

    def __init__(self, opener: Opener, stream: str, start: StartSelector, options: Options) -> None:
        self.opener = opener
        self.options = options
        self.stream = stream
        self.body = request_body(stream, start)
        self.invocation_id = str(uuid.uuid4())
        self.deadline = time.monotonic() + options.deadline
        self.failures: list[dict[str, Any]] = []
        self.endpoint_is_known = False
        self.endpoint_was_asked_again = False
        environment = opener.environment
        # No endpoint is known before the first attempt: what tells services apart is where one asks for it.
        self.limit_key = (
            environment.endpoint_url,
            options.media_endpoint_url,
            environment.region,
            environment.credentials().access_key,
            stream_name(stream),
        )

    def open(self) -> tuple[HttpBody, dict[str, Any]]:
        release = shared_limiter.acquire_connection(
            self.limit_key, wait=self.options.wait, deadline=self.deadline
        )
        try:
            response = _retry(
                self.send, self.delay_after, self.deadline, f"GetMedia {self.stream}", self.failures
            )
            metadata = self.metadata(response)
            log.info("GetMedia %s: request id %s from %s", self.stream, metadata["RequestId"], response.url)
            body = HttpBody(
                response, idle_timeout=self.options.idle_timeout, deadline=self.deadline, on_close=release
            )
        except BaseException:
            release()
            raise
        return body, metadata

    def send(self, attempt: int) -> Response:
        """One attempt: a response with status 200, or an error."""
        options = self.options
        environment = self.opener.environment
        self.endpoint_is_known = False
        endpoint = self.endpoint()
        self.endpoint_is_known = True
        shared_limiter.acquire_call(self.limit_key, deadline=self.deadline)
        request = Request(
            "POST",
            endpoint.url.rstrip("/") + PATH,
            {"Content-Type": "application/json", "User-Agent": self.opener.user_agent, **endpoint.headers},
            self.body,
        )
        if options.before_sign is not None:
            options.before_sign(request)
        signer = options.signer or self.opener.signer
        signer.sign(
            request,
            environment.credentials(),
            region=endpoint.signing_region or environment.region,
            service=endpoint.signing_name,
        )
        request.headers["amz-sdk-invocation-id"] = self.invocation_id
        request.headers["amz-sdk-request"] = f"attempt={attempt}; max={options.retry.max_attempts}"
        if options.before_send is not None:
            options.before_send(request)
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TransportTimeout("the deadline passed before the request was sent", retryable=False)
        transport = options.transport or self.opener.transport
        response = transport.send(
            request,
            connect_timeout=min(left, options.connect_timeout),
            response_timeout=min(left, options.idle_timeout),
        )
        try:
            if options.after_response is not None:
                options.after_response(response)
            if response.status != 200:
                text = response.read_body(MAX_ERROR_BODY, min(ERROR_BODY_TIMEOUT, left))
                raise service_error(response.status, response.headers, text, reason=response.reason)
        except BaseException:
            response.close()
            raise
        return response

    def endpoint(self) -> Endpoint:
        options = self.options
        if options.media_endpoint_url is not None:
            return Endpoint(options.media_endpoint_url)
        if options.endpoint_resolver is not None:
            endpoint = options.endpoint_resolver(self.stream, region=self.opener.environment.region)
            check_url("the url of the resolved endpoint", endpoint.url)
            return endpoint
        return Endpoint(self.opener.endpoints.url_for(self.stream))

    def delay_after(self, attempt: int, error: KvsFastError) -> float | None:
        """Seconds until the next attempt, or None. A suspect endpoint is asked for again, once, at once."""
        delay = self.options.retry.delay(attempt, error)
        was_asked = self.options.media_endpoint_url is None and self.options.endpoint_resolver is None
        may_have_moved = was_asked and self.endpoint_is_known and endpoint_is_suspect(error)
        if may_have_moved and not self.endpoint_was_asked_again:
            self.endpoint_was_asked_again = True
            self.opener.endpoints.forget(self.stream)
            if attempt < self.options.retry.max_attempts:
                return 0.0
        return delay

    def metadata(self, response: Response) -> dict[str, Any]:
        headers = response.headers
        return {
            "RequestId": headers.get("x-amzn-requestid") or headers.get("x-amz-requestid") or "",
            "HTTPStatusCode": response.status,
            "HTTPHeaders": dict(headers),
            "RetryAttempts": len(self.failures),
            "Endpoint": response.url.removesuffix(PATH),
            "Host": response.peer,
            "Attempts": self.failures,
            "Timings": dict(response.timings),
            "TLS": None if response.tls is None else {"Version": response.tls[0], "Cipher": response.tls[1]},
        }


def _retry(
    action: Callable[[int], Result],
    delay_after: Callable[[int, KvsFastError], float | None],
    deadline: float,
    what: str,
    failures: list[dict[str, Any]] | None = None,
) -> Result:
    """``action(attempt)`` until it works, or until ``delay_after`` or the deadline says that it will not."""
    attempt = 0
    while True:
        attempt += 1
        try:
            return action(attempt)
        except (ServiceError, TransportError) as error:
            delay = delay_after(attempt, error)
            if isinstance(error, ServiceError):
                error.response["ResponseMetadata"]["RetryAttempts"] = attempt - 1
            if delay is None or time.monotonic() + delay >= deadline:
                log.info("%s: attempt %d failed: %s; giving up", what, attempt, error)
                raise
            log.info("%s: attempt %d failed: %s; next in %.2f s", what, attempt, error, delay)
            if failures is not None:
                failures.append(_record(error, delay))
            time.sleep(delay)


def _record(error: ServiceError | TransportError, delay: float) -> dict[str, Any]:
    record: dict[str, Any] = {"Error": type(error).__name__, "Message": str(error), "Delay": delay}
    if isinstance(error, ServiceError):
        record |= {"Error": error.code, "HTTPStatusCode": error.status, "RequestId": error.request_id}
    return record
