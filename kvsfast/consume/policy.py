"""What a session does when a response has ended: where the next one begins, and when. Pure: no clock, no
sleep.

    Outcome         how the last call ended, and what is known     -> decide ->     Resume or GiveUp

The rules, each a method of :class:`StandardResume` that a subclass can replace:

* ``start``: after the last fragment whose trailing tags arrived. If there is none yet, the start is repeated;
  NOW as the time at which it was answered, by the service's clock, so that nothing falls between.
* ``is_fatal``: access denied, a stream that does not exist, KMS keys that are refused. All else is ridden
out.
* ``is_missing``: the service has lost what to go on from; then ``reanchor`` says where to look instead.
* ``delay``: none after progress, else a backoff with jitter, which grows while nothing arrives.
"""

from __future__ import annotations

import enum
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from kvsfast.errors import (
    CheckpointError,
    CredentialsError,
    InStreamError,
    InvalidArgumentException,
    KvsFastError,
    NotAuthorizedException,
    ResourceNotFoundException,
    ResumeFailed,
    ServiceError,
    TransportError,
    UsageError,
)
from kvsfast.faults import endpoint_is_suspect
from kvsfast.model import StartSelector, StartSelectorType

__all__ = ["Ending", "GiveUp", "Outcome", "Position", "Resume", "ResumePolicy", "StandardResume"]

#: In-stream errors: the fragment to go on from is not there (3000 is undocumented for GetMedia).
NOT_FOUND_IDS = {3000, 4000}
#: KMS errors that last until somebody mends the key. 4503 (key unavailable) passes by itself.
KMS_IDS = {4500, 4501, 4502, 4504, 4505, 4506}
#: A refusal that may mean several things (a host that does not know GetMedia, a fragment that is gone, an
#: error number nobody knows) is met so often before it is believed.
_UNCLEAR = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What GetMedia takes for a ContinuationToken (API reference).
_TOKEN = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


class Ending(enum.StrEnum):
    """How a call ended."""

    #: The body ended as it should, after media. 45 minutes, a producer that pauses: they look alike.
    CLEAN = "clean end"
    #: A 200 whose body held nothing.
    EMPTY = "empty response"
    #: No byte came for the whole of ``idle_timeout``; a dead connection looks like an idle stream.
    STALL = "stall"
    #: The body broke off: a reset, a missing end of the HTTP framing, or an end inside a fragment.
    CUT = "cut"
    #: No response: DNS, connecting, TLS, a proxy, or a head that did not come.
    NO_RESPONSE = "no response"
    #: The service answered with an HTTP error.
    REFUSED = "refused"
    #: The service wrote an error into the media.
    IN_STREAM = "error in the media"
    #: The bytes break the grammar, or a limit.
    BROKEN_MEDIA = "broken media"
    #: The credential chain failed; nothing was sent.
    NO_CREDENTIALS = "no credentials"
    #: The consumer was too slow, and left the response itself (``when_behind="newest"``).
    BEHIND = "behind"
    #: A fragment was broken each time, and is stepped over.
    POISON = "poison"
    #: Another owner asked for the checkpoint, and got it; the session waits for it.
    HANDED_OVER = "handed over"


@dataclass(frozen=True, slots=True)
class Position:
    """A fragment that was dealt with: what a session goes on after. Times in epoch milliseconds."""

    number: str
    token: str | None = None
    server_timestamp_ms: int | None = None
    producer_timestamp_ms: int | None = None

    def after(self) -> StartSelector:
        """The fragment after this one: by its token, which the service gives for this, or by its number where
        there is none, or one that could not be asked for."""
        if self.token is not None and _TOKEN.fullmatch(self.token):
            return StartSelector.from_token(self.token)
        return StartSelector.after_fragment(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the last call ended, and all that may matter for the next one.

    ``in_a_row``: calls that ended just so, without progress between, this one included; ``barren``: calls
    without progress in a row, however they ended (0: this one made progress, that is, it brought a whole
    fragment that had not been delivered). ``failures``: of these, those that ended with an error.
    ``has_worked``: whether any call of the session was answered with 200. ``position``: the last fragment
    dealt with in the stretch that began at ``origin``, None: none yet; ``latest``: the last one ever.
    ``origin``: where that stretch was to begin; ``seen_ms``: server timestamp of a fragment of it of which
    only a part arrived. ``answered``: the ``Date`` of the first response in it, by the service's clock.
    ``asked``: where the last call was to begin. ``now``: seconds of the session's monotonic clock.
    """

    ending: Ending
    error: KvsFastError | None = None
    in_a_row: int = 1
    barren: int = 1
    failures: int = 0
    has_worked: bool = True
    position: Position | None = None
    latest: Position | None = None
    origin: StartSelector
    asked: StartSelector
    seen_ms: int | None = None
    answered: datetime | None = None
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Resume:
    """Call again: from ``start``, after ``delay`` seconds, ``forget_endpoint`` first.

    ``new_origin``: a stretch of its own begins there, and between it and what was delivered there is a gap.
    """

    start: StartSelector
    delay: float = 0.0
    forget_endpoint: bool = False
    new_origin: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the session with ``error``, or, without one, with :class:`kvsfast.ResumeFailed` for ``reason``."""

    reason: str
    error: KvsFastError | None = None


class ResumePolicy(Protocol):
    """What decides. It is called with each end of a call, never while one is open."""

    def decide(self, outcome: Outcome) -> Resume | GiveUp:
        """Where and when to go on, or that it is over."""


@dataclass(frozen=True)
class StandardResume:
    """Goes on for ever, except where that is of no use. Subclass it to replace a rule.

    ``base``: seconds of the first backoff, doubled while nothing arrives up to ``longest``; a wait is between
    the half and the whole of its backoff. ``forgive``: how often in a row, once the session has worked, it
    takes that there is no access, no such stream, no credentials: once, since credentials may just have been
    renewed; a stream that may be gone for a while wants more. ``max_failures``: calls in a row that may fail,
    whatever the error; None: any number. ``uniform``: where chance comes from.
    """

    base: float = 0.5
    longest: float = 30.0
    forgive: int = 1
    max_failures: int | None = None
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False)

    def __post_init__(self) -> None:
        for name in ("base", "longest"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise UsageError(f"{name} is {value!r}, expected seconds, more than 0")
        if not isinstance(self.forgive, int) or self.forgive < 0:
            raise UsageError(f"forgive is {self.forgive!r}, expected a whole number of at least 0")
        if self.max_failures is not None and (
            not isinstance(self.max_failures, int) or self.max_failures < 1
        ):
            raise UsageError(f"max_failures is {self.max_failures!r}, expected at least 1, or None")

    def decide(self, outcome: Outcome) -> Resume | GiveUp:
        """The rules in their order: is it over, what is missing, where, when."""
        error = outcome.error
        if error is not None and self.is_fatal(outcome):
            return GiveUp(str(error), error)
        if self.max_failures is not None and outcome.failures >= self.max_failures:
            return GiveUp(f"{outcome.failures} calls in a row failed, the last one: {error}")
        moved = self.has_moved(outcome)
        delay = 0.0 if moved and outcome.in_a_row == 1 else self.delay(outcome)
        anchor = self.reanchor(outcome) if self.is_missing(outcome) else None
        if anchor is not None:
            return Resume(anchor, delay, moved, new_origin=True)
        if outcome.ending is Ending.BEHIND:
            return Resume(StartSelector.now(), delay, new_origin=True)
        return Resume(self.start(outcome), delay, moved)

    def start(self, outcome: Outcome) -> StartSelector:
        """Where the next response begins. Never NOW, where the service's clock is known."""
        if outcome.position is not None:
            return outcome.position.after()
        if outcome.origin.type is not StartSelectorType.NOW:
            return outcome.origin
        if outcome.seen_ms is not None:
            return StartSelector.at_server_time(_EPOCH + timedelta(milliseconds=outcome.seen_ms))
        if outcome.answered is not None:
            return StartSelector.at_server_time(outcome.answered.replace(microsecond=0))
        return outcome.origin

    def is_fatal(self, outcome: Outcome) -> bool:
        """Whether calling again is of no use."""
        error = outcome.error
        forgiven = outcome.has_worked and outcome.in_a_row <= self.forgive
        unclear = outcome.has_worked and outcome.in_a_row <= max(_UNCLEAR, self.forgive)
        if isinstance(error, InStreamError):
            if error.error_id in KMS_IDS:
                return True
            return not error.retryable and outcome.in_a_row > max(_UNCLEAR, self.forgive)
        if isinstance(error, InvalidArgumentException):
            return outcome.asked == outcome.origin and outcome.position is None and not unclear
        if isinstance(error, NotAuthorizedException | ResourceNotFoundException | CredentialsError):
            return not forgiven
        if self.has_moved(outcome) and outcome.in_a_row == 1:
            return False
        if isinstance(error, ServiceError | TransportError):
            return not error.retryable and not unclear
        return isinstance(error, UsageError | CheckpointError)

    def has_moved(self, outcome: Outcome) -> bool:
        """Whether another data endpoint may serve the stream by now: the service says so, nobody is there, or
        who is does not know GetMedia (a 403 at the front door, which a refusal by IAM looks like)."""
        return outcome.error is not None and endpoint_is_suspect(outcome.error)

    def is_missing(self, outcome: Outcome) -> bool:
        """Whether the service no longer has the fragment to go on from. A fragment written just now may be
        missing at first, so the same is asked three times."""
        error = outcome.error
        if outcome.in_a_row < 3:
            return False
        if isinstance(error, InStreamError):
            return error.error_id in NOT_FOUND_IDS
        return isinstance(error, InvalidArgumentException)

    def reanchor(self, outcome: Outcome) -> StartSelector | None:
        """Where to look for what comes behind the gap: at the time of the last fragment, which the service
        answers with the next one that it has; if that is refused as well, at the earliest. None: no change,
        since a start by time or NOW that has not yielded anything has no gap behind it."""
        latest = outcome.latest
        by_time = outcome.origin.timestamp is not None or outcome.origin.type is StartSelectorType.NOW
        if outcome.asked.type is StartSelectorType.EARLIEST or (
            outcome.position is None and by_time and latest is None
        ):
            return None
        if (
            latest is not None
            and latest.server_timestamp_ms is not None
            and outcome.asked.type is not StartSelectorType.SERVER_TIMESTAMP
        ):
            return StartSelector.at_server_time(_EPOCH + timedelta(milliseconds=latest.server_timestamp_ms))
        return StartSelector.earliest()

    def delay(self, outcome: Outcome) -> float:
        """Seconds to wait. Nothing after progress; what the service asks for at least."""
        retry_after = getattr(outcome.error, "retry_after", None) or 0.0
        if outcome.barren == 0:
            return float(retry_after)
        backoff = min(self.longest, self.base * 2.0 ** min(outcome.barren - 1, 60))
        return max(self.uniform(backoff / 2, backoff), float(retry_after))


def resume_failed(decision: GiveUp, outcome: Outcome) -> KvsFastError:
    """The error that ends the session."""
    if decision.error is not None:
        return decision.error
    latest = outcome.latest
    failed = ResumeFailed(
        f"the session gave up: {decision.reason}",
        attempts=outcome.barren,
        last_token=None if latest is None else latest.token,
    )
    failed.__cause__ = outcome.error
    return failed
