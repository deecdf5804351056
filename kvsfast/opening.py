"""One GetMedia call up to the head of its response: endpoint, credentials, signature, limits, retries."""

from __future__ import annotations

import json
import logging
import math
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from botocore.awsrequest import AWSRequest

from kvsfast.endpoint import DataEndpoints, stream_member, stream_name
from kvsfast.environment import Environment
from kvsfast.errors import KvsFastError, ServiceError, TransportError, TransportTimeout
from kvsfast.faults import endpoint_is_suspect, service_error
from kvsfast.limiter import shared_limiter
from kvsfast.model import StartSelector
from kvsfast.options import Options
from kvsfast.protocols import Endpoint, Response, Signer, Transport
from kvsfast.signer import SigV4
from kvsfast.stream import HttpBody

log = logging.getLogger(__name__)

PATH = "/getMedia"
#: What is read of an error's body, and for how long.
MAX_ERROR_BODY = 64 * 1024
ERROR_BODY_TIMEOUT = 10.0


def request_body(stream: str, start: StartSelector) -> bytes:
    """The JSON of GetMedia, byte for byte as botocore writes it. StartTimestamp is a number of epoch seconds."""
    selector = start.to_dict()
    if start.timestamp is not None:
        selector["StartTimestamp"] = _epoch_seconds(start.timestamp)
    return json.dumps({**stream_member(stream), "StartSelector": selector}).encode()


def _epoch_seconds(when: datetime) -> int | float:
    since = when.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86400 + since.seconds
    return (seconds * 10**6 + since.microseconds) / 10**6 if since.microseconds else seconds


class Opener:
    """Opens GetMedia responses. Used by many threads at once."""

    def __init__(self, environment: Environment, endpoints: DataEndpoints, transport: Transport) -> None:
        self._environment = environment
        self._endpoints = endpoints
        self._transport = transport
        self._signer = SigV4()
        self._user_agent = environment.user_agent()

    def open(self, stream: str, start: StartSelector, options: Options) -> tuple[HttpBody, dict[str, Any]]:
        """The body of a response with status 200, and the metadata of the call in botocore's shape.

        Until then failures are retried as ``options.retry`` says. The connection counts against the stream's limit
        until the body is closed.
        """
        call = _Call(self, stream, start, options)
        return call.open()


class _Call:
    def __init__(self, opener: Opener, stream: str, start: StartSelector, options: Options) -> None:
        self.environment: Environment = opener._environment
        self.endpoints: DataEndpoints = opener._endpoints
        self.transport: Transport = options.transport or opener._transport
        self.signer: Signer = options.signer or opener._signer
        self.user_agent = opener._user_agent
        self.options = options
        self.stream = stream
        self.body = request_body(stream, start)
        self.invocation_id = str(uuid.uuid4())
        self.deadline = time.monotonic() + options.deadline
        self.failures: list[dict[str, Any]] = []
        self.endpoint_was_asked_again = False
        # No endpoint is known before the first attempt: what tells services apart is where one asks for it.
        self.limit_key = (
            self.environment.endpoint_url,
            options.media_endpoint_url,
            self.environment.region,
            self.environment.credentials().access_key,
            stream_name(stream),
        )

    def open(self) -> tuple[HttpBody, dict[str, Any]]:
        release = shared_limiter.acquire_connection(
            self.limit_key, wait=self.options.wait, deadline=self.deadline
        )
        try:
            response = self.send_until_it_works()
            metadata = self.metadata(response)
            log.info("GetMedia %s: request id %s from %s", self.stream, metadata["RequestId"], response.url)
            body = HttpBody(
                response, idle_timeout=self.options.idle_timeout, deadline=self.deadline, on_close=release
            )
        except BaseException:
            release()
            raise
        return body, metadata

    def send_until_it_works(self) -> Response:
        attempt = 0
        while True:
            attempt += 1
            try:
                return self.send(attempt)
            except (ServiceError, TransportError) as error:
                delay = self.delay_after(attempt, error)
                log.info("GetMedia %s: attempt %d failed: %s; %s", self.stream, attempt, error, _what_next(delay))
                if isinstance(error, ServiceError):
                    error.response["ResponseMetadata"]["RetryAttempts"] = attempt - 1
                if delay is None or time.monotonic() + delay >= self.deadline:
                    raise
                self.failures.append(_record(error, delay))
                time.sleep(delay)

    def send(self, attempt: int) -> Response:
        """One attempt: a response with status 200, or an error."""
        options = self.options
        endpoint = self.endpoint()
        shared_limiter.acquire_call(self.limit_key, deadline=self.deadline)
        request = AWSRequest(
            "POST",
            endpoint.url.rstrip("/") + PATH,
            headers={"Content-Type": "application/json", "User-Agent": self.user_agent, **endpoint.headers},
            data=self.body,
        )
        if options.before_sign is not None:
            options.before_sign(request)
        self.signer.sign(
            request,
            self.environment.credentials(),
            region=endpoint.signing_region or self.environment.region,
            service=endpoint.signing_name,
        )
        request.headers["amz-sdk-invocation-id"] = self.invocation_id
        request.headers["amz-sdk-request"] = f"attempt={attempt}; max={options.retry.max_attempts}"
        prepared = request.prepare()
        if options.before_send is not None:
            options.before_send(prepared)
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TransportTimeout("the deadline passed before the request was sent", retryable=False)
        response = self.transport.send(
            prepared,
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
            return options.endpoint_resolver(self.stream, region=self.environment.region)
        return Endpoint(self.endpoints.url_for(self.stream))

    def delay_after(self, attempt: int, error: KvsFastError) -> float | None:
        """Seconds until the next attempt, or None. A suspect endpoint is asked for again, once, and tried at once."""
        delay = self.options.retry.delay(attempt, error)
        was_asked = self.options.media_endpoint_url is None and self.options.endpoint_resolver is None
        if was_asked and not self.endpoint_was_asked_again and endpoint_is_suspect(error):
            self.endpoint_was_asked_again = True
            self.endpoints.forget(self.stream)
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


def _record(error: KvsFastError, delay: float) -> dict[str, Any]:
    is_service = isinstance(error, ServiceError)
    return {
        "Error": error.code if is_service else type(error).__name__,
        "Message": str(error),
        "HTTPStatusCode": error.status if is_service else None,
        "RequestId": error.request_id if is_service else None,
        "Delay": delay,
    }


def _what_next(delay: float | None) -> str:
    return "giving up" if delay is None else f"next in {delay:.2f} s"
