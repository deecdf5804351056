"""Everything about a call that has a default: one frozen :class:`Options`, or keywords per call."""

from __future__ import annotations

import dataclasses
import enum
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict, Unpack
from urllib.parse import urlsplit

from kvsfast.errors import UsageError
from kvsfast.model import Limits
from kvsfast.protocols import (
    EndpointOptions,
    EndpointResolver,
    Request,
    Response,
    RetryPolicy,
    Signer,
    Transport,
)
from kvsfast.retry import StandardRetry

__all__ = ["LogMode", "OptionChanges", "Options"]


class LogMode(enum.Flag):
    """What a call tells of itself, at level DEBUG, to the loggers below ``kvsfast``: any combination.

    Never a body, and of secrets (keys, session tokens, signatures, proxy passwords) only that they were
    there. Without any, what matters is still told at level INFO: request ids, failures, and what follows.
    """

    NONE = 0
    SIGNING = 1
    #: Method, URL and headers of each request.
    REQUEST = 2
    #: Status and headers of each response.
    RESPONSE = 4
    #: Each failed attempt, and the decision about the next one.
    RETRIES = 8
    ALL = SIGNING | REQUEST | RESPONSE | RETRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How calls are made. Frozen: ``client.with_options(...)`` and the keywords of a call make copies.

    Times are seconds; ``math.inf`` waits for ever. A value that cannot be is a UsageError that names it.
    """

    #: The data endpoint, if it is known: GetDataEndpoint is not asked.
    media_endpoint_url: str | None = None
    #: One attempt to connect: DNS, TCP and TLS each.
    connect_timeout: float = 60.0
    #: Without a single byte from the service. Raises TransportTimeout, after which reading may go on.
    idle_timeout: float = 60.0
    #: For the whole call, its retries and its body. Raises TransportTimeout.
    deadline: float = math.inf
    #: Which failures before the body are tried again, and when.
    retry: RetryPolicy = field(default_factory=StandardRetry)
    #: Whether to wait for one of the stream's three connections; else the fourth is an error at once.
    wait: bool = False
    #: Whether a refusal that tells that this machine's clock is off is tried again by the service's time.
    correct_clock: bool = True
    #: Whether a body that ends inside an element raises TruncatedMedia.
    strict: bool = False
    #: What the parser may be made to hold.
    limits: Limits = field(default_factory=Limits)
    #: Finds the data endpoint in place of GetDataEndpoint.
    endpoint_resolver: EndpointResolver | None = None
    #: What is asked of endpoints: plain HTTP, FIPS, dual stack. Defaults come from config and environment.
    endpoint_options: EndpointOptions = field(default_factory=EndpointOptions)
    #: How long an answer of GetDataEndpoint is used, unless it fails before.
    endpoint_lifetime: float = 40 * 60.0
    #: What is logged of a call.
    log: LogMode = LogMode.NONE
    #: Signs in place of Signature Version 4.
    signer: Signer | None = None
    #: Sends in place of urllib3.
    transport: Transport | None = None
    #: Called with each request before it is signed, before it is sent, and with each response whose head was
    #: read. May add headers, and may raise.
    before_sign: Callable[[Request], None] | None = None
    before_send: Callable[[Request], None] | None = None
    after_response: Callable[[Response], None] | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "idle_timeout", "deadline", "endpoint_lifetime"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise UsageError(f"{name} is {value!r}, expected seconds greater than 0 (math.inf: no limit)")
        for name in ("wait", "correct_clock", "strict"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected True or False")
        if not isinstance(self.limits, Limits):
            raise UsageError(f"limits is {self.limits!r}, expected kvsfast.Limits")
        if not isinstance(self.endpoint_options, EndpointOptions):
            raise UsageError(
                f"endpoint_options is {self.endpoint_options!r}, expected kvsfast.EndpointOptions"
            )
        if not isinstance(self.log, LogMode):
            raise UsageError(f"log is {self.log!r}, expected a kvsfast.LogMode such as LogMode.RETRIES")
        if not callable(getattr(self.retry, "delay", None)) or not hasattr(self.retry, "max_attempts"):
            raise UsageError(
                f"retry is {self.retry!r}, expected a retry policy such as StandardRetry(max_attempts=3)"
            )
        if self.media_endpoint_url is not None:
            check_url("media_endpoint_url", self.media_endpoint_url)
        for name, method in (("signer", "sign"), ("transport", "send")):
            part = getattr(self, name)
            if part is not None and not callable(getattr(part, method, None)):
                raise UsageError(f"{name} is {part!r}, expected an object with {method}()")
        for name in ("endpoint_resolver", "before_sign", "before_send", "after_response"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected a function")

    def ends_at(self) -> float:
        """When a call that begins now must be over, by ``time.monotonic``."""
        return time.monotonic() + self.deadline

    def replace(self, **changes: Unpack[OptionChanges]) -> Options:
        """A copy with some values changed."""
        unknown = set(changes) - set(Options.__slots__)
        if unknown:
            raise UsageError(
                f"there is no option {', '.join(sorted(unknown))}; options are {', '.join(Options.__slots__)}"
            )
        return dataclasses.replace(self, **changes) if changes else self


class OptionChanges(TypedDict, total=False):
    """The fields of :class:`Options` as keywords."""

    media_endpoint_url: str | None
    connect_timeout: float
    idle_timeout: float
    deadline: float
    retry: RetryPolicy
    wait: bool
    correct_clock: bool
    strict: bool
    limits: Limits
    endpoint_resolver: EndpointResolver | None
    endpoint_options: EndpointOptions
    endpoint_lifetime: float
    log: LogMode
    signer: Signer | None
    transport: Transport | None
    before_sign: Callable[[Request], None] | None
    before_send: Callable[[Request], None] | None
    after_response: Callable[[Response], None] | None


def check_url(argument: str, value: object) -> str:
    """A URL with scheme and host and nothing that an endpoint cannot have, or UsageError."""
    if isinstance(value, str) and value.isprintable() and " " not in value:
        try:
            url = urlsplit(value)
            if (
                url.scheme in ("http", "https")
                and url.hostname
                and url.port != 0
                and not url.query + url.fragment
            ):
                return value
        except ValueError:
            pass  # a port that is no number, a bracket left open
    raise UsageError(f"{argument} is {value!r}, expected a URL such as https://host or http://host:port")
