"""When the standard policy tries again."""

from __future__ import annotations

import copy
import pickle

import pytest

from kvsfast.errors import (
    ClientLimitExceededException,
    ConnectFailed,
    ConnectionLimitExceededException,
    CredentialsError,
    InvalidArgumentException,
    KvsFastError,
    MediaError,
    ServiceError,
    StreamClosed,
    TransportError,
    TransportTimeout,
    UsageError,
)
from kvsfast.retry import StandardRetry

FAILURE = ServiceError("oops", code="InternalFailure", status=500, retryable=True)


def longest(low: float, high: float) -> float:
    return high


def shortest(low: float, high: float) -> float:
    return low


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (FAILURE, True),
        (TransportError("reset"), True),
        (ConnectFailed("refused"), True),
        (ConnectFailed("certificate", retryable=False), False),
        (TransportTimeout("slow"), True),
        (ClientLimitExceededException(), True),
        (ConnectionLimitExceededException(), True),
        (InvalidArgumentException(), False),
        (StreamClosed(), False),
        (UsageError(), False),
        (CredentialsError(), False),
        (MediaError("bytes"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_classification(error: KvsFastError, retried: bool) -> None:
    assert (StandardRetry().delay(1, error) is not None) is retried


def test_backoff() -> None:
    policy = StandardRetry(max_attempts=9, base=0.5, longest=6.0, uniform=longest)
    assert [policy.delay(attempt, FAILURE) for attempt in range(1, 10)] == [0.5, 1, 2, 4, 6, 6, 6, 6, None]
    policy = StandardRetry(max_attempts=9, base=0.5, longest=6.0, uniform=shortest)
    assert policy.delay(3, FAILURE) == 0
    assert policy.delay(3, ConnectionLimitExceededException()) == 1.0


def test_jitter_stays_inside() -> None:
    delays = [StandardRetry().delay(2, FAILURE) for _ in range(100)]
    assert len(set(delays)) > 50
    assert all(delay is not None and 0 <= delay <= 2 for delay in delays)


def test_retry_after_is_honoured() -> None:
    error = ServiceError("wait", status=503, retryable=True, retry_after=7.0)
    assert StandardRetry(uniform=shortest).delay(1, error) == 7.0


def test_one_attempt_is_none_more() -> None:
    assert StandardRetry(max_attempts=1).delay(1, FAILURE) is None


def test_arguments() -> None:
    for attempts in (0, -1, 1.5, True):
        with pytest.raises(UsageError, match="max_attempts"):
            StandardRetry(max_attempts=attempts)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="base"):
        StandardRetry(base=-1)
    assert pickle.loads(pickle.dumps(StandardRetry(max_attempts=5))).max_attempts == 5


@pytest.mark.parametrize(
    "error", [TransportTimeout("t", retryable=False), ConnectFailed("c"), StreamClosed()]
)
def test_transport_errors_survive_copying(error: TransportError) -> None:
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), again.retryable) == (type(error), str(error), error.retryable)
