"""The policy: every way in which a call can end, and what comes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kvsfast import (
    CheckpointError,
    ClientLimitExceededException,
    ConnectFailed,
    ConnectionLimitExceededException,
    CredentialsError,
    Ending,
    GiveUp,
    InStreamError,
    InvalidArgumentException,
    InvalidEndpointException,
    KvsFastError,
    LimitExceeded,
    MediaError,
    NotAuthorizedException,
    Outcome,
    Position,
    ResourceNotFoundException,
    Resume,
    ResumeFailed,
    ServiceError,
    StandardResume,
    StartSelector,
    TransportError,
    TransportTimeout,
    UsageError,
    in_stream_error,
)
from kvsfast.consume.policy import resume_failed

POLICY = StandardResume(uniform=lambda low, high: high)
WHEN = datetime(2026, 1, 1, 12, 0, 7, 654321, tzinfo=UTC)
EARLIEST, NOW = StartSelector.earliest(), StartSelector.now()
LAST = Position("900", "token-900", 1_767_268_807_123, 1)
AFTER = StartSelector.from_token("token-900")
REFUSED, NONE, CUT = Ending.REFUSED, Ending.NO_RESPONSE, Ending.CUT


def outcome(ending: Ending, error: KvsFastError | None = None, **known: Any) -> Outcome:
    """After fragment 900, once, without progress."""
    known = {"position": LAST, "latest": known.get("position", LAST), "origin": EARLIEST, **known}
    known.setdefault("asked", AFTER if known["position"] else known["origin"])
    return Outcome(ending=ending, error=error, **known)


def in_stream(error_id: int) -> InStreamError:
    return in_stream_error(str(error_id), None, None, None)


def http(
    status: int, code: str = "", *, retryable: bool | None = None, headers: dict[str, str] | None = None
) -> ServiceError:
    return ServiceError("no", code=code or str(status), status=status, retryable=retryable, headers=headers)


DENIED_AT_THE_FRONT_DOOR = http(403, "AccessDeniedException")
EXPIRED = http(403, "ExpiredTokenException", headers={"x-amzn-ErrorType": "ExpiredTokenException"})

RIDDEN_OUT: list[tuple[Ending, KvsFastError | None]] = [
    (Ending.CLEAN, None),
    (Ending.EMPTY, None),
    (Ending.STALL, TransportTimeout("no media")),
    (CUT, None),
    (CUT, TransportError("reset")),
    (NONE, ConnectFailed("DNS")),
    (NONE, ConnectFailed("TLS alert", retryable=False)),
    (NONE, TransportTimeout("no head")),
    (REFUSED, ClientLimitExceededException()),
    (REFUSED, ConnectionLimitExceededException()),
    (REFUSED, InvalidEndpointException()),
    (REFUSED, http(500, "InternalFailure", retryable=True)),
    (REFUSED, http(503, "ServiceUnavailable", retryable=True)),
    (REFUSED, http(400, "ThrottlingException", retryable=True)),
    (REFUSED, NotAuthorizedException(status=401)),
    (REFUSED, EXPIRED),
    (REFUSED, DENIED_AT_THE_FRONT_DOOR),
    (REFUSED, ResourceNotFoundException(status=404)),
    (REFUSED, InvalidArgumentException(status=400)),
    (Ending.NO_CREDENTIALS, CredentialsError("IMDS")),
    (Ending.BROKEN_MEDIA, MediaError("bad")),
    (Ending.BROKEN_MEDIA, LimitExceeded("large", name="max_block_size", declared=2, limit=1)),
    (Ending.POISON, None),
    (Ending.HANDED_OVER, None),
    *((Ending.IN_STREAM, in_stream(each)) for each in (3000, 3002, 4000, 4503, 5000, 7777)),
]


def name(value: object) -> str | None:
    if isinstance(value, InStreamError):
        return str(value.error_id)
    return type(value).__name__ if isinstance(value, Exception) else None


@pytest.mark.parametrize(("ending", "error"), RIDDEN_OUT, ids=name)
def test_a_session_that_has_worked_goes_on_after_the_last_fragment(
    ending: Ending, error: KvsFastError | None
) -> None:
    decision = POLICY.decide(outcome(ending, error))
    assert isinstance(decision, Resume)
    assert decision.start == AFTER
    assert not decision.new_origin
    assert decision.delay == (0.0 if decision.forget_endpoint else POLICY.base)


FATAL: list[tuple[Ending, KvsFastError]] = [
    (REFUSED, NotAuthorizedException(status=401)),
    (REFUSED, ResourceNotFoundException(status=404)),
    (REFUSED, InvalidArgumentException(status=400)),
    (REFUSED, EXPIRED),
    (REFUSED, http(400, "ValidationException")),
    (Ending.NO_CREDENTIALS, CredentialsError("none")),
    (NONE, TransportError("bad certificate", retryable=False)),
    (NONE, UsageError("no")),
    (NONE, CheckpointError("unreachable")),
    *((Ending.IN_STREAM, in_stream(each)) for each in (4500, 4501, 4502, 4504, 4505, 4506)),
]


@pytest.mark.parametrize(("ending", "error"), FATAL, ids=name)
def test_what_ends_a_session_at_once(ending: Ending, error: KvsFastError) -> None:
    decision = POLICY.decide(outcome(ending, error, position=None, has_worked=False))
    assert decision == GiveUp(str(error), error)


@pytest.mark.parametrize("error_id", [4500, 4501, 4502, 4504, 4505, 4506])
def test_a_key_that_is_refused_ends_a_session_that_has_worked(error_id: int) -> None:
    assert isinstance(POLICY.decide(outcome(Ending.IN_STREAM, in_stream(error_id))), GiveUp)


@pytest.mark.parametrize("error", [EXPIRED, in_stream(7777), DENIED_AT_THE_FRONT_DOOR], ids=name)
def test_a_refusal_that_may_mean_several_things(error: KvsFastError) -> None:
    for in_a_row in (1, 2, 3):
        assert isinstance(POLICY.decide(outcome(REFUSED, error, in_a_row=in_a_row)), Resume)
    assert POLICY.decide(outcome(REFUSED, error, in_a_row=4)) == GiveUp(str(error), error)


@pytest.mark.parametrize(
    "error",
    [NotAuthorizedException(status=401), ResourceNotFoundException(status=404), CredentialsError("none")],
    ids=name,
)
def test_a_refusal_is_forgiven_as_often_as_it_is_said(error: KvsFastError) -> None:
    for policy, times in ((POLICY, 1), (StandardResume(forgive=3), 3), (StandardResume(forgive=0), 0)):
        for in_a_row in range(1, times + 1):
            assert isinstance(policy.decide(outcome(REFUSED, error, in_a_row=in_a_row)), Resume)
        assert policy.decide(outcome(REFUSED, error, in_a_row=times + 1)) == GiveUp(str(error), error)


@pytest.mark.parametrize(
    "error",
    [http(503, retryable=True), ClientLimitExceededException(), ConnectFailed("DNS"), in_stream(5000)],
)
def test_what_passes_is_ridden_out_for_ever(error: KvsFastError) -> None:
    decision = POLICY.decide(outcome(REFUSED, error, in_a_row=10**6, barren=10**6, failures=10**6))
    assert isinstance(decision, Resume)
    assert decision.delay == POLICY.longest


def test_a_limit_on_failures() -> None:
    policy = StandardResume(max_failures=3)
    last = outcome(NONE, ConnectFailed("DNS"), failures=3, barren=3)
    assert isinstance(policy.decide(outcome(NONE, ConnectFailed("DNS"), failures=2)), Resume)
    decision = policy.decide(last)
    assert isinstance(decision, GiveUp) and "3 calls in a row" in decision.reason
    error = resume_failed(decision, last)
    assert isinstance(error, ResumeFailed)
    assert (error.attempts, error.last_token, error.__cause__) == (3, "token-900", last.error)


def test_the_cause_itself_is_raised_where_there_is_nothing_to_add() -> None:
    error = NotAuthorizedException()
    assert resume_failed(GiveUp("no", error), outcome(REFUSED, error)) is error


# -- where


@pytest.mark.parametrize(
    ("position", "expected"),
    [(LAST, AFTER), (Position("900"), StartSelector.after_fragment("900"))],
    ids=["token", "number"],
)
def test_after_the_last_fragment_by_token_or_number(position: Position, expected: StartSelector) -> None:
    decision = POLICY.decide(outcome(CUT, position=position, origin=NOW))
    assert isinstance(decision, Resume) and decision.start == expected


@pytest.mark.parametrize(
    "origin",
    [
        EARLIEST, StartSelector.at_server_time(WHEN), StartSelector.at_producer_time(WHEN),
        StartSelector.after_fragment("5"), StartSelector.from_token("t"),
    ],
)  # fmt: skip
def test_a_start_that_yielded_nothing_is_repeated(origin: StartSelector) -> None:
    decision = POLICY.decide(outcome(Ending.EMPTY, position=None, origin=origin, answered=WHEN))
    assert isinstance(decision, Resume) and decision.start == origin


def test_now_is_repeated_as_the_time_of_its_answer_rounded_down() -> None:
    decision = POLICY.decide(outcome(Ending.EMPTY, position=None, origin=NOW, answered=WHEN))
    assert isinstance(decision, Resume)
    assert decision.start == StartSelector.at_server_time(WHEN.replace(microsecond=0))


def test_now_is_repeated_as_the_fragment_of_which_a_part_had_come() -> None:
    decision = POLICY.decide(
        outcome(CUT, position=None, origin=NOW, answered=WHEN, seen_ms=1_767_268_805_250)
    )
    assert isinstance(decision, Resume)
    assert decision.start == StartSelector.at_server_time(datetime(2026, 1, 1, 12, 0, 5, 250_000, tzinfo=UTC))


def test_now_without_any_answer_is_still_now() -> None:
    decision = POLICY.decide(outcome(NONE, ConnectFailed("DNS"), position=None, origin=NOW))
    assert isinstance(decision, Resume) and decision.start == NOW


def test_who_is_too_slow_goes_to_the_newest() -> None:
    decision = POLICY.decide(outcome(Ending.BEHIND, barren=0))
    assert decision == Resume(NOW, 0.0, new_origin=True)


@pytest.mark.parametrize(
    "error", [in_stream(3000), in_stream(4000), InvalidArgumentException(status=400)], ids=name
)
def test_a_fragment_that_is_gone(error: KvsFastError) -> None:
    """Three times the same, then by its time, then the earliest, which is the last thing to try."""
    by_time = StartSelector.at_server_time(datetime(2026, 1, 1, 12, 0, 7, 123_000, tzinfo=UTC))
    for in_a_row in (1, 2):
        decision = POLICY.decide(outcome(REFUSED, error, in_a_row=in_a_row))
        assert isinstance(decision, Resume) and decision.start == AFTER and not decision.new_origin
    decision = POLICY.decide(outcome(REFUSED, error, in_a_row=3))
    assert isinstance(decision, Resume) and decision.start == by_time and decision.new_origin
    known = {"position": None, "latest": LAST, "origin": by_time, "asked": by_time}
    decision = POLICY.decide(outcome(REFUSED, error, in_a_row=3, **known))
    assert isinstance(decision, Resume) and decision.start == EARLIEST and decision.new_origin
    known = {"position": None, "latest": LAST, "origin": EARLIEST, "asked": EARLIEST}
    decision = POLICY.decide(outcome(REFUSED, error, in_a_row=3, **known))
    assert isinstance(decision, Resume) and decision.start == EARLIEST and not decision.new_origin


@pytest.mark.parametrize("origin", [NOW, StartSelector.at_server_time(WHEN)])
def test_a_start_by_time_without_media_is_never_widened_to_the_earliest(origin: StartSelector) -> None:
    known = {"position": None, "latest": None, "origin": origin, "asked": StartSelector.at_server_time(WHEN)}
    decision = POLICY.decide(outcome(Ending.IN_STREAM, in_stream(4000), in_a_row=7, answered=WHEN, **known))
    assert isinstance(decision, Resume) and decision.start != EARLIEST and not decision.new_origin


# -- when


def test_no_wait_after_progress() -> None:
    for ending in (Ending.CLEAN, CUT):
        decision = POLICY.decide(outcome(ending, barren=0))
        assert isinstance(decision, Resume) and decision.delay == 0


def test_the_backoff_grows_while_nothing_arrives() -> None:
    delays = []
    for barren in range(1, 10):
        decision = POLICY.decide(outcome(Ending.EMPTY, barren=barren, in_a_row=barren))
        assert isinstance(decision, Resume)
        delays.append(decision.delay)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_chance_leaves_at_least_half_of_the_backoff() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    decision = StandardResume(uniform=uniform).decide(outcome(Ending.EMPTY, barren=3))
    assert isinstance(decision, Resume) and decision.delay == 1.0
    assert asked == [(1.0, 2.0)]


@pytest.mark.parametrize("barren", [0, 1])
def test_the_service_may_ask_for_more(barren: int) -> None:
    error = ServiceError("wait", status=503, retryable=True, retry_after=45.0)
    decision = POLICY.decide(outcome(REFUSED, error, barren=barren))
    assert isinstance(decision, Resume) and decision.delay == 45.0


@pytest.mark.parametrize(
    "error", [InvalidEndpointException(), ConnectFailed("DNS"), DENIED_AT_THE_FRONT_DOOR], ids=name
)
def test_a_moved_endpoint_is_asked_for_at_once_and_then_slowly(error: KvsFastError) -> None:
    first = POLICY.decide(outcome(REFUSED, error))
    second = POLICY.decide(outcome(REFUSED, error, in_a_row=2, barren=2))
    assert isinstance(first, Resume) and first.forget_endpoint and first.delay == 0
    assert isinstance(second, Resume) and second.forget_endpoint and second.delay == 1.0


def test_the_front_door_denies_a_session_that_never_worked_twice_at_most() -> None:
    known = {"position": None, "has_worked": False}
    assert isinstance(POLICY.decide(outcome(REFUSED, DENIED_AT_THE_FRONT_DOOR, **known)), Resume)
    assert isinstance(POLICY.decide(outcome(REFUSED, DENIED_AT_THE_FRONT_DOOR, in_a_row=2, **known)), GiveUp)


# -- other rules


def test_a_rule_can_be_replaced() -> None:
    class Patient(StandardResume):
        def is_fatal(self, outcome: Outcome) -> bool:
            return False

        def delay(self, outcome: Outcome) -> float:
            return 60.0

    decision = Patient().decide(outcome(REFUSED, ResourceNotFoundException(), has_worked=False))
    assert isinstance(decision, Resume) and decision.delay == 60.0


@pytest.mark.parametrize(
    "wrong",
    [{"base": 0}, {"base": "1"}, {"longest": float("inf")}, {"forgive": -1}, {"forgive": 1.5},
    {"max_failures": 0}], ids=str,
)  # fmt: skip
def test_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        StandardResume(**wrong)


@pytest.mark.parametrize("token", [None, "", "garb\x15age", "x" * 129])
def test_a_token_that_could_not_be_asked_for_is_not(token: str | None) -> None:
    """Media may be garbage, and what was committed of it is met again after each restart."""
    assert Position("900", token).after() == StartSelector.after_fragment("900")
    assert Position("900", "t.1-a_B").after() == StartSelector.from_token("t.1-a_B")
