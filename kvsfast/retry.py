"""Which failure is worth another attempt, and when. Pure: no clock, no sleep, no state."""

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

__all__ = ["StandardRetry"]


@dataclass(frozen=True, slots=True)
class StandardRetry:
    """The AWS SDKs' standard mode: exponential backoff with full jitter, a few attempts in all.

    Retried are failures of the wire, HTTP 500, 502, 503 and 504, throttling, and, unlike in botocore, the two
    limits of GetMedia: calls per second and open connections of a stream. For those the wait is never less
    than half of the backoff, since a slot needs time to become free.

    ``max_attempts``: in all, the first included. ``base``: seconds after the first failure at most, doubled
    with each further one up to ``longest``. ``uniform``: where chance comes from, ``random.uniform`` by
    default.
    """

    max_attempts: int = 3
    base: float = 1.0
    longest: float = 20.0
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def __post_init__(self) -> None:
        if (
            not isinstance(self.max_attempts, int)
            or isinstance(self.max_attempts, bool)
            or self.max_attempts < 1
        ):
            raise UsageError(f"max_attempts is {self.max_attempts!r}, expected a whole number of at least 1")
        for name in ("base", "longest"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected seconds, at least 0")

    def is_retryable(self, error: KvsFastError) -> bool:
        """Whether the same request may succeed later. To be overridden for another classification."""
        return isinstance(error, ServiceError | TransportError) and error.retryable

    def delay(self, attempt: int, error: KvsFastError) -> float | None:
        """Seconds to wait after attempt number ``attempt`` (from 1) failed with ``error``; None: give up."""
        if attempt >= self.max_attempts or not self.is_retryable(error):
            return None
        backoff = min(self.longest, self.base * 2 ** (attempt - 1))
        is_limit = isinstance(error, ClientLimitExceededException | ConnectionLimitExceededException)
        wait = self.uniform(backoff / 2 if is_limit else 0.0, backoff)
        return max(wait, getattr(error, "retry_after", None) or 0.0)
