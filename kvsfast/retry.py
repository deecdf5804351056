"""Which failure is worth another attempt, and when. No clock and no sleep; what a client remembers of its
attempts is in :mod:`kvsfast.pacing`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from kvsfast.errors import (
    ClientLimitExceededException,
    ConnectionLimitExceededException,
    KvsFastError,
    ServiceError,
    TransportError,
    UsageError,
)
from kvsfast.pacing import RetryQuota, SendRate

__all__ = ["AdaptiveRetry", "StandardRetry"]

#: The names by which services of AWS refuse a call because there are too many.
THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "ClientLimitExceededException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_COST = 14
_THROTTLED_COST = 5


@dataclass(frozen=True, slots=True)
class StandardRetry:
    """The AWS SDKs' standard mode: exponential backoff with full jitter, a few attempts in all.

    Retried are failures of the wire, HTTP 500, 502, 503 and 504, throttling, and, unlike in botocore, the two
    limits of GetMedia: calls per second and open connections of a stream. For those the wait is never less
    than half of the backoff, since a slot needs time to become free.

    ``max_attempts``: in all, the first included. ``base``: seconds after the first failure at most, doubled
    with each further one up to ``longest``. ``uniform``: where chance comes from, ``random.uniform`` by
    default. ``quota``: what all retries of a client draw from; ``RetryQuota(0)`` allows none, None any
    number.
    """

    max_attempts: int = 3
    base: float = 1.0
    longest: float = 20.0
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False)
    quota: RetryQuota | None = field(default_factory=RetryQuota, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (
            not isinstance(self.max_attempts, int)
            or isinstance(self.max_attempts, bool)
            or self.max_attempts < 1
        ):
            raise UsageError(f"max_attempts is {self.max_attempts!r}, expected a whole number of at least 1")
        if self.quota is not None and not isinstance(self.quota, RetryQuota):
            raise UsageError(f"quota is {self.quota!r}, expected a RetryQuota or None")
        for name in ("base", "longest"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected seconds, at least 0")

    def is_retryable(self, error: KvsFastError) -> bool:
        """Whether the same request may succeed later. To be overridden for another classification."""
        return isinstance(error, ServiceError | TransportError) and error.retryable

    def is_throttling(self, error: KvsFastError) -> bool:
        """Whether the service refused because there were too many calls."""
        return isinstance(error, ServiceError) and (error.code in THROTTLING_CODES or error.status == 429)

    def delay(self, attempt: int, error: KvsFastError) -> float | None:
        """Seconds to wait after attempt number ``attempt`` (from 1) failed with ``error``; None: give up."""
        if attempt >= self.max_attempts or not self.is_retryable(error):
            return None
        if self.quota is not None and not self.quota.spend(self._cost(error)):
            return None
        backoff = min(self.longest, self.base * 2 ** (attempt - 1))
        is_limit = isinstance(error, ClientLimitExceededException | ConnectionLimitExceededException)
        wait = self.uniform(backoff / 2 if is_limit else 0.0, backoff)
        return max(wait, getattr(error, "retry_after", None) or 0.0)

    def hold(self) -> float:
        """0: attempts are not held back."""
        return 0.0

    def succeeded(self, after: KvsFastError | None) -> None:
        """A call worked, and gives its last retry back to the quota. ``after``: the failure before it."""
        if self.quota is not None:
            self.quota.give_back(1 if after is None else self._cost(after))

    def _cost(self, error: KvsFastError) -> int:
        return _THROTTLED_COST if self.is_throttling(error) else _COST


@dataclass(frozen=True, slots=True)
class AdaptiveRetry(StandardRetry):
    """The AWS SDKs' adaptive mode: the standard one, and a client that sends more slowly after throttling.

    All calls of a client share ``rate``. It is for a client with one stream: throttling of one stream slows
    down the calls for all of them.
    """

    rate: SendRate = field(default_factory=SendRate, repr=False, compare=False)

    def delay(self, attempt: int, error: KvsFastError) -> float | None:
        """As :meth:`StandardRetry.delay`; what the service answered is counted as well."""
        if isinstance(error, ServiceError):
            self.rate.answered(throttled=self.is_throttling(error))
        return StandardRetry.delay(self, attempt, error)

    def hold(self) -> float:
        """Seconds until the send rate has room for an attempt; 0: it counts as sent now."""
        return self.rate.hold()

    def succeeded(self, after: KvsFastError | None) -> None:
        """As :meth:`StandardRetry.succeeded`, and the send rate may grow."""
        self.rate.answered(throttled=False)
        StandardRetry.succeeded(self, after)
