"""The budget of retries, and the send rate that throttling brings down."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsfast.errors import ClientLimitExceededException, KvsFastError, ServiceError, UsageError
from kvsfast.pacing import RetryQuota, SendRate
from kvsfast.protocols import RetryPacing
from kvsfast.retry import AdaptiveRetry, StandardRetry

THROTTLED = ClientLimitExceededException("slower", code="ClientLimitExceededException", status=400)
BROKEN = ServiceError("oops", code="InternalFailure", status=500, retryable=True)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_is_spent_and_given_back() -> None:
    quota = RetryQuota(20)
    assert quota.spend(14) and not quota.spend(14) and quota.left == 6
    quota.give_back(14)
    quota.give_back(14)
    assert quota.left == quota.capacity == 20
    assert pickle.loads(pickle.dumps(quota)).capacity == 20
    with pytest.raises(UsageError, match="capacity is -1"):
        RetryQuota(-1)


def test_an_outage_uses_the_budget_up() -> None:
    policy = StandardRetry(max_attempts=1000, base=0)
    retries = 0
    while policy.delay(1, BROKEN) is not None:
        retries += 1
    assert retries == 500 // 14
    policy.succeeded(BROKEN)
    assert policy.delay(1, BROKEN) is not None and policy.delay(1, BROKEN) is None
    for _ in range(5):
        policy.succeeded(None)
    assert policy.quota is not None and policy.quota.left == 15
    assert [policy.delay(1, THROTTLED) is None for _ in range(4)] == [False, False, False, True]
    assert StandardRetry(quota=RetryQuota(0)).delay(1, BROKEN) is None
    unlimited = StandardRetry(max_attempts=1000, base=0, quota=None)
    assert all(unlimited.delay(1, BROKEN) is not None for _ in range(100))
    unlimited.succeeded(BROKEN)
    with pytest.raises(UsageError, match="quota is 5"):
        StandardRetry(quota=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "throttled"),
    [
        (THROTTLED, True),
        (ServiceError(code="ThrottlingException", status=400), True),
        (ServiceError(code="429", status=429), True),
        (BROKEN, False),
        (KvsFastError("other"), False),
    ],
)
def test_what_is_throttling(error: KvsFastError, throttled: bool) -> None:
    assert StandardRetry().is_throttling(error) is throttled


def test_policies_pace() -> None:
    assert isinstance(StandardRetry(), RetryPacing) and isinstance(AdaptiveRetry(), RetryPacing)
    assert StandardRetry().hold() == 0


def test_nothing_is_held_back_before_the_first_throttling() -> None:
    clock = Clock()
    rate = SendRate(clock)
    for _ in range(1000):
        assert rate.hold() == 0
        rate.answered(throttled=False)
    assert rate.limit == math.inf


def send(rate: SendRate, clock: Clock, seconds: float, spacing: float, *, throttled: bool) -> int:
    """Attempts that are made in so many seconds by someone who would like one each ``spacing``."""
    sent = 0
    until = clock.now + seconds
    while clock.now < until:
        if (held := rate.hold()) > 0:
            clock.now += held
            continue
        rate.answered(throttled=throttled)
        sent += 1
        clock.now += spacing
    return sent


def test_the_rate_falls_with_throttling_and_grows_again() -> None:
    clock = Clock()
    rate = SendRate(clock)
    free = send(rate, clock, 4, 0.1, throttled=False)
    assert free == pytest.approx(40, abs=1)
    rate.answered(throttled=True)
    assert rate.limit == pytest.approx(10 * SendRate.BETA, rel=0.2)
    slowed = send(rate, clock, 2, 0.1, throttled=True)
    assert slowed < free / 2
    lowest = rate.limit
    assert lowest >= SendRate.LEAST
    send(rate, clock, 20, 0.1, throttled=False)
    assert rate.limit > 2 * lowest


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=200))
def test_a_rate_is_never_stuck(answers: list[tuple[float, bool]]) -> None:
    clock = Clock()
    rate = SendRate(clock)
    for pause, throttled in answers:
        clock.now += pause
        held = rate.hold()
        assert 0 <= held <= 1 / SendRate.LEAST
        clock.now += held + 1e-9
        assert held == 0 or rate.hold() == 0
        rate.answered(throttled=throttled)


def test_adaptive_counts_what_the_service_answers() -> None:
    clock = Clock()
    policy = AdaptiveRetry(rate=SendRate(clock), base=0)
    assert policy.hold() == 0
    assert policy.delay(1, THROTTLED) == 0
    clock.now += 10
    assert policy.hold() == 0 and policy.hold() > 0
    policy.succeeded(THROTTLED)
    assert policy.rate.limit < math.inf
    assert policy.delay(1, KvsFastError("not the service's")) is None
    assert pickle.loads(pickle.dumps(policy)).max_attempts == 3
