"""One GetMedia call up to the head of its response: endpoint, credentials, signature, limits, retries.

All of it is told as steps (:mod:`kvsfast.steps`): what blocks is ``Work``, what only waits is not, and
asyncio goes through the same steps as everybody else.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from kvsfast.call_log import CallLog
from kvsfast.endpoint import DataEndpoints, stream_member, stream_name
from kvsfast.environment import Environment
from kvsfast.errors import KvsFastError, ServiceError, TransportError, TransportTimeout, UsageError
from kvsfast.faults import endpoint_is_suspect, service_error
from kvsfast.limiter import shared_limiter
from kvsfast.model import StartSelector
from kvsfast.options import Options, check_url
from kvsfast.protocols import (
    Credentials,
    Endpoint,
    Request,
    Response,
    RetryPacing,
    Signer,
    Transport,
)
from kvsfast.signer import SigV4
from kvsfast.steps import Pause, Steps, Work
from kvsfast.stream import HttpBody, read_short

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
    signer: Signer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signer", SigV4(self.environment.clock.now))

    def data_endpoint(self, stream: str, options: Options) -> Steps[str]:
        """The URL that GetDataEndpoint tells, or told."""
        call = _Call(self, stream, options)
        yield Work(self.environment.credentials)
        return (yield from call.retry(lambda _: call.ask_endpoint(), f"GetDataEndpoint {stream}"))

    def open(
        self, stream: str, start: StartSelector, options: Options
    ) -> Steps[tuple[HttpBody, dict[str, Any]]]:
        """The body of a response with status 200, and the metadata of the call in botocore's shape.

        Until then failures are retried as ``options.retry`` says. The connection counts against the stream's
        limit until the body is closed.
        """
        return (yield from _Call(self, stream, options).open(request_body(stream, start)))


class _Call:
    """One call and its attempts."""

    def __init__(self, opener: Opener, stream: str, options: Options) -> None:
        self.opener = opener
        self.options = options
        self.stream = stream
        self.invocation_id = str(uuid.uuid4())
        self.deadline = time.monotonic() + options.deadline
        self.failures: list[dict[str, Any]] = []
        self.asked = replace(options.endpoint_options, stream=stream)
        self.endpoint_is_known = False
        self.endpoint_was_asked_again = False
        self.clock_was_set = False
        self.log = CallLog(log, options.log)

    def open(self, body: bytes) -> Steps[tuple[HttpBody, dict[str, Any]]]:
        credentials: Credentials = yield Work(self.opener.environment.credentials)
        self.limit_key = self._limit_key(credentials)
        release = yield from shared_limiter.acquire_connection(self.limit_key, wait=self.options.wait)
        try:
            response = yield from self.retry(partial(self.send, body), f"GetMedia {self.stream}")
            metadata = self.metadata(response)
            log.info("GetMedia %s: request id %s from %s", self.stream, metadata["RequestId"], response.url)
            media = HttpBody(
                response, idle_timeout=self.options.idle_timeout, deadline=self.deadline, on_close=release
            )
        except BaseException:
            release()
            raise
        return media, metadata

    def _limit_key(self, credentials: Credentials) -> tuple[object, ...]:
        """What tells streams of one name apart: the account (or, where botocore does not know it, the key)
        and the place. No endpoint is known before the first attempt, so it is where one asks for it."""
        environment = self.opener.environment
        return (
            environment.endpoint_url,
            self.options.media_endpoint_url,
            environment.region,
            getattr(credentials, "account_id", None) or credentials.access_key,
            stream_name(self.stream),
        )

    def send(self, body: bytes, attempt: int) -> Steps[Response]:
        """One attempt: a response with status 200, or an error."""
        self.endpoint_is_known = False
        endpoint = yield from self.endpoint()
        self.endpoint_is_known = True
        yield from shared_limiter.acquire_call(self.limit_key, deadline=self.deadline)
        response: Response = yield Work(partial(self.exchange, endpoint, body, attempt), discard=_close)
        return response

    def exchange(self, endpoint: Endpoint, body: bytes, attempt: int) -> Response:
        """What blocks: fresh credentials, the signature, the request and the head of its response."""
        options = self.options
        request = self.signed_request(endpoint, body, attempt)
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TransportTimeout("the deadline passed before the request was sent", retryable=False)
        self.log.request(request)
        transport = options.transport or self.opener.transport
        try:
            response = transport.send(
                request,
                connect_timeout=min(left, options.connect_timeout),
                response_timeout=min(left, options.idle_timeout),
            )
        except TransportTimeout as error:
            if left > min(options.connect_timeout, options.idle_timeout) and time.monotonic() < self.deadline:
                raise
            message = f"the deadline passed before the call was answered: {error}"
            raise TransportTimeout(message, retryable=False) from error
        try:
            self.log.response(response)
            if options.after_response is not None:
                options.after_response(response)
            if response.status != 200:
                text = read_short(response, MAX_ERROR_BODY, min(ERROR_BODY_TIMEOUT, left))
                raise service_error(response.status, response.headers, text, reason=response.reason)
        except BaseException:
            response.close()
            raise
        return response

    def signed_request(self, endpoint: Endpoint, body: bytes, attempt: int) -> Request:
        options = self.options
        environment = self.opener.environment
        request = Request(
            "POST",
            endpoint.url.rstrip("/") + PATH,
            {"Content-Type": "application/json", "User-Agent": self.opener.user_agent, **endpoint.headers},
            body,
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
        self.log.signing(request)
        request.headers["amz-sdk-invocation-id"] = self.invocation_id
        request.headers["amz-sdk-request"] = f"attempt={attempt}; max={options.retry.max_attempts}"
        if options.before_send is not None:
            options.before_send(request)
        return request

    # -- where to

    def endpoint(self) -> Steps[Endpoint]:
        options = self.options
        if options.media_endpoint_url is not None:
            return Endpoint(options.media_endpoint_url)
        if options.endpoint_resolver is not None:
            endpoint: Endpoint = yield Work(
                partial(options.endpoint_resolver, self.opener.environment.region, self.asked)
            )
            if not isinstance(endpoint, Endpoint):
                raise UsageError(f"endpoint_resolver gave {endpoint!r}, expected kvsfast.Endpoint")
            check_url("the url of the resolved endpoint", endpoint.url)
            return endpoint
        return Endpoint((yield from self.ask_endpoint()))

    def ask_endpoint(self) -> Steps[str]:
        options = self.options
        client = partial(
            self.opener.environment.control_client,
            options.connect_timeout,
            options.idle_timeout,
            self.asked,
        )
        return (yield from self.opener.endpoints.url_for(self.asked, client, options.endpoint_lifetime))

    # -- again

    def retry(self, action: Callable[[int], Steps[Result]], what: str) -> Steps[Result]:
        """``action(attempt)`` until it works, or until the policy or the deadline says that it will not."""
        policy = self.options.retry
        pacing = policy if isinstance(policy, RetryPacing) else None
        attempt = 0
        failure: ServiceError | TransportError | None = None
        while True:
            attempt += 1
            while pacing is not None and (held := pacing.hold()) > 0:
                self.log.retries("%s: attempt %d is held back for %.2f s", what, attempt, held)
                self._check_time_for(held)
                yield Pause(held)
            try:
                result = yield from action(attempt)
            except (ServiceError, TransportError) as error:
                failure = error
                delay = self.delay_after(attempt, error)
                if isinstance(error, ServiceError):
                    error.response["ResponseMetadata"]["RetryAttempts"] = attempt - 1
                if delay is None or time.monotonic() + delay >= self.deadline:
                    log.info("%s: attempt %d failed: %s; giving up", what, attempt, error)
                    raise
                log.info("%s: attempt %d failed: %s; next in %.2f s", what, attempt, error, delay)
                self.log.retries("%s: %s of %s", what, type(error).__name__, _record(error, delay))
                self.failures.append(_record(error, delay))
                yield Pause(delay)
            else:
                if pacing is not None:
                    pacing.succeeded(failure)
                return result

    def _check_time_for(self, seconds: float) -> None:
        if time.monotonic() + seconds >= self.deadline:
            raise TransportTimeout("the retry policy holds the attempt past the deadline", retryable=False)

    def delay_after(self, attempt: int, error: KvsFastError) -> float | None:
        """Seconds until the next attempt, or None. At once, but once, a suspect endpoint is asked for again,
        or a clock that is off made up for."""
        delay = self.options.retry.delay(attempt, error)
        if delay is not None and not (isinstance(delay, int | float) and delay >= 0):
            raise UsageError(
                f"the delay of the retry policy is {delay!r}, expected seconds, at least 0, or None"
            )
        was_asked = self.options.media_endpoint_url is None and self.options.endpoint_resolver is None
        may_have_moved = was_asked and self.endpoint_is_known and endpoint_is_suspect(error)
        if may_have_moved and not self.endpoint_was_asked_again:
            self.endpoint_was_asked_again = True
            self.opener.endpoints.forget(self.asked)
            if attempt < self.options.retry.max_attempts:
                return 0.0
        if (
            self.options.correct_clock
            and not self.clock_was_set
            and self.opener.environment.clock.learn(error)
        ):
            self.clock_was_set = True
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


def _close(response: Response) -> None:
    response.close()


def _record(error: ServiceError | TransportError, delay: float) -> dict[str, Any]:
    record: dict[str, Any] = {"Error": type(error).__name__, "Message": str(error), "Delay": delay}
    if isinstance(error, ServiceError):
        record |= {"Error": error.code, "HTTPStatusCode": error.status, "RequestId": error.request_id}
    return record
