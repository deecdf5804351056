"""The logic of one endless session, without waiting: shared by everything that waits in its own manner.

A face (a blocking iterator, asyncio, one loop over many streams) goes round like this:

    delivery = session.begin("fragments")           # or "frames", "events"
    until session.is_over:
        media = drive(session.connect())            # None: some waiting is done; look at `notices`, ask again
        until the response is over:
            delivery.step()                         # ITEM: delivery.take(), it is the user's
                                                    # DATA: receive, between wait_begins() and wait_ends(), or
                                                    #       timed_out(error), which says whether to go on
                                                    # LOOK: session.look(), drive(session.settle()), leaves?
        session.ended(error)                        # closes it, and decides about the next one

`connect`, `settle`, `commit` and `close` are generators of steps (:mod:`kvsfast.steps`); all else returns at
once.
"""

from __future__ import annotations

import enum
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from kvsfast._native.delivery import Delivery
from kvsfast.consume.bookmark import Bookmark, position_to_commit
from kvsfast.consume.checkpoint import CheckpointStore
from kvsfast.consume.clock import Clock, SystemClock, date_of
from kvsfast.consume.events import GapReason, Idle, Reconnected, SessionEvent, Waiting
from kvsfast.consume.gate import Gate
from kvsfast.consume.options import SessionOptions
from kvsfast.consume.policy import Ending, GiveUp, Outcome, Position, Resume, resume_failed
from kvsfast.consume.quiet import Quiet
from kvsfast.consume.stats import ConsumerStats, Meter
from kvsfast.consume.trouble import Trouble
from kvsfast.consume.until import Until
from kvsfast.errors import (
    CredentialsError,
    InStreamError,
    KvsFastError,
    LeaseLost,
    MediaError,
    ServiceError,
    StreamClosed,
    TransportTimeout,
)
from kvsfast.model import Limits, StartSelector, StartSelectorType
from kvsfast.steps import Pause, Steps

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame
    from kvsfast.stream import MediaStream

__all__ = ["Opening", "Session", "SessionEnd"]

log = logging.getLogger(__name__)

#: Opens a response at a start: (start, idle_timeout, deadline), seconds each. It tries once.
Opening = Callable[[StartSelector, float, float], "Steps[MediaStream]"]


class SessionEnd(enum.StrEnum):
    """Why a session is over."""

    UNTIL = "until was reached"
    CLOSED = "closed"
    FAILED = "failed"


class _Broken(NamedTuple):
    """How the last response ended, when, and the calls since then."""

    ending: Ending
    error: KvsFastError | None
    at: float
    calls: int


class Session:
    """One stream, consumed for ever.

    ``open`` opens a response; ``forget_endpoint`` has the data endpoint asked for again. ``stall_after``:
    seconds without media after which a response is given up for dead. ``store``: where its checkpoint is;
    one that is there wins over ``start``. Used by one thread, but for ``commit``, ``stats`` and
    ``interrupt``.
    """

    def __init__(
        self,
        stream: str,
        start: StartSelector,
        *,
        open: Opening,
        forget_endpoint: Callable[[], None] = lambda: None,
        options: SessionOptions | None = None,
        store: CheckpointStore | None = None,
        stall_after: float = 60.0,
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.stream = stream
        self.options = options or SessionOptions()
        self.end: SessionEnd | None = None
        self.failure: KvsFastError | None = None
        #: What is to be told before the next item, in the mode "events".
        self.notices: deque[SessionEvent] = deque()
        self._open = open
        self._forget_endpoint = forget_endpoint
        self._stall_after = stall_after
        self._now = (clock or SystemClock()).monotonic
        self._until = Until.of(self.options.until)
        self._ends_at = self._now() + (self._until.seconds or math.inf)
        self._stats_at = self._now() + self.options.stats_every
        self._meter = Meter(stream, self._now)
        self._quiet = Quiet(self.options.idle_after)
        self._trouble = Trouble()
        self._bookmark = Bookmark(store, stream)
        self._gate = Gate(
            self.options,
            meter=self._meter,
            trouble=self._trouble,
            max_frames=(limits or Limits()).max_frames,
            tell=self._tell,
            fail=self._fail,
        )
        # the stretch: where it was to begin, and when the service first answered in it
        self._origin = start
        self._answered: datetime | None = None
        # the next call, or the one that is made
        self._next = Resume(start)
        self._next_at = self._now()
        self._broken: _Broken | None = None
        self._media: MediaStream | None = None
        self._dated: tuple[datetime, float] | None = None
        self._received = 0

    # -- a face's round

    def begin(self, mode: str) -> Delivery:
        """Choose what is delivered: "fragments", "frames" or "events". Once, before the first response."""
        return self._gate.begin(mode)

    def connect(self) -> Steps[MediaStream | None]:
        """One step towards the next response: claim the checkpoint, wait, or open. Returns the response, or
        None if it is not there yet. Raises what ends the session."""
        if self.failure is not None:
            raise self.failure
        self._look_at_the_clock()
        if self.is_over:
            return None
        if self._gate.leaving is Ending.HANDED_OVER:
            yield from self._hand_over()
            return None
        if self._bookmark.is_needed:
            yield from self._claim()
            return None
        now = self._now()
        if now < self._next_at:
            self._quiet.begins(now)
            yield Pause(max(0.0, min(self._next_at, self._quiet.next(now), self._ends_at) - now))
            self._look_at_the_clock()
            return None
        return (yield from self._call(now))

    def wait_begins(self) -> None:
        """Before a receive."""
        self._quiet.begins(self._now())

    def wait_ends(self) -> None:
        """After a receive. Media is a sign of life, HTTP framing is not."""
        received = self._gate.delivery.received
        if received > self._received:
            self._received = received
            self._quiet.ends()

    def timed_out(self, error: TransportTimeout) -> bool:
        """After a receive that brought nothing: whether the response is worth waiting on."""
        now = self._now()
        self._look_at_the_clock()
        if self.leaves or not error.retryable or self._until.is_past(self._service_time(now)):
            return False
        return self._quiet.seconds(now) < self._stall_after

    def look(self) -> SessionEvent | None:
        """What is to be told first. After the last of it, None: then ``settle``, and see if it ``leaves``."""
        if self.notices:
            return self.notices.popleft()
        self._gate.delivery.look = False
        if self._gate.is_through:
            self._finish(SessionEnd.UNTIL)
        self._ask_the_owner()
        self._give_stats()
        return None

    @property
    def leaves(self) -> bool:
        """Whether no more is wanted of the open response."""
        return self.is_over or self._gate.leaving is not None

    def ended(self, error: KvsFastError | None = None) -> None:
        """The response is over: cleanly, or by ``error``. It is closed, and the next call is decided.

        Raises what ends the session: ResumeFailed, or the cause itself where calling again is of no use.
        """
        self._close_media()
        self._decide(error, opening=False)

    # -- from outside

    @property
    def is_over(self) -> bool:
        return self.end is not None

    def settle(self) -> Steps[None]:
        """With ``auto_commit``: save that the user is done with what was given before."""
        position, self._gate.to_settle = self._gate.to_settle, None
        if position is not None:
            yield from self._save(position)

    def commit(self, what: Fragment | FragmentEnd | FragmentStart | Frame | None = None) -> Steps[None]:
        """Save that ``what`` and all before it is dealt with; None: all fragments that were given whole."""
        yield from self._save(position_to_commit(what, self._gate.order))

    def interrupt(self) -> None:
        """Nothing more is wanted. From any thread: who waits in a receive sees its end at once."""
        self._finish(SessionEnd.CLOSED)
        media = self._media
        if media is not None:
            media.close()

    def close(self) -> Steps[None]:
        """End it, and give the checkpoint back."""
        self._finish(SessionEnd.CLOSED)
        self._close_media()
        yield from self._bookmark.release()

    @property
    def stats(self) -> ConsumerStats:
        self._meter.quiet_since = self._quiet.since
        return self._meter.snapshot()

    @property
    def position(self) -> Position | None:
        """The last fragment that was dealt with."""
        return self._gate.order.latest

    @property
    def committed(self) -> Position | None:
        """The last fragment that was committed, by this session or before it."""
        return self._bookmark.committed

    # -- calls

    def _claim(self) -> Steps[None]:
        options = self.options
        if not (yield from self._bookmark.claim()):
            self._tell(Waiting(self.stream, options.claim_every))
            yield Pause(max(0.0, min(options.claim_every, self._ends_at - self._now())))
            self._look_at_the_clock()
            return
        position = self._bookmark.committed
        if position is not None and not self._gate.order.has_passed(position):
            self._gate.go_on_after(position)
            self._next = Resume(position.after())

    def _hand_over(self) -> Steps[None]:
        """Somebody else is to have the stream; when they are done with it, it is claimed again."""
        self._gate.begin_response()
        yield from self._bookmark.release()
        yield Pause(min(self.options.claim_every, max(0.0, self._ends_at - self._now())))
        self._look_at_the_clock()

    def _call(self, now: float) -> Steps[MediaStream | None]:
        """One GetMedia call. None: it failed, and what comes next is decided."""
        if self._next.forget_endpoint:
            self._forget_endpoint()
        self._trouble.call_begins()
        self._gate.begin_response()
        self._meter.call_begins(now)
        if self._broken is not None:
            self._broken = self._broken._replace(calls=self._broken.calls + 1)
        idle_timeout = min(self.options.idle_after, self._stall_after)
        try:
            media = yield from self._open(self._next.start, idle_timeout, self._ends_at - now)
        except KvsFastError as error:
            if isinstance(error, ServiceError):
                self._note_date(error.response["ResponseMetadata"]["HTTPHeaders"])
            self._decide(error, opening=True)
            return None
        if self.is_over:
            media.close()
            return None
        self._use(media)
        return media

    def _use(self, media: MediaStream) -> None:
        """A response is open."""
        self._media = media
        self._received = 0
        if self.options.prefetch_bytes is not None:
            media.read_ahead(self.options.prefetch_bytes)
        delivery = self._gate.delivery
        delivery.use(media.parser(delivery.mode))
        self._trouble.has_worked = True
        self._meter.responses += 1
        self._note_date(media.response_metadata["HTTPHeaders"])
        if self._broken is not None:
            ending, error, at, calls = self._broken
            self._broken = None
            self._tell(Reconnected(ending, error, self._next.start, calls, self._now() - at))

    def _note_date(self, headers: object) -> None:
        """The service's clock: by each response, and by the first one of a stretch."""
        date = date_of(headers)
        self._dated = None if date is None else (date, self._now())
        if self._answered is None:
            self._answered = date

    def _service_time(self, now: float) -> datetime | None:
        """The service's clock when the response began, and the seconds since then."""
        return None if self._dated is None else self._dated[0] + timedelta(seconds=now - self._dated[1])

    # -- how a call ended, and what comes next

    def _decide(self, error: KvsFastError | None, *, opening: bool) -> None:
        if self.failure is not None:
            raise self.failure
        self._look_at_the_clock()
        if isinstance(error, StreamClosed):
            self._finish(SessionEnd.CLOSED)
        if isinstance(error, TransportTimeout) and not error.retryable and self._until.seconds is not None:
            self._finish(SessionEnd.UNTIL)  # the call's deadline: there is no room for it before the end
        if self.is_over:
            return
        gate, trouble = self._gate, self._trouble
        if isinstance(error, MediaError) and not trouble.cut_in_this_call:
            gate.cut(None)
        ending = gate.leaving or self._ending_of(error, opening=opening)
        trouble.call_ended(ending, error, had_progress=gate.had_progress)
        outcome = self._outcome(ending, error)
        if gate.poisoned is not None:
            raise self._fail(resume_failed(GiveUp(gate.poisoned), outcome))
        if self._is_through(ending):
            self._finish(SessionEnd.UNTIL)
            return
        decision = self.options.resume.decide(outcome)
        if isinstance(decision, GiveUp):
            raise self._fail(resume_failed(decision, outcome))
        self._resume(decision, outcome)

    def _ending_of(self, error: KvsFastError | None, *, opening: bool) -> Ending:
        if error is None:
            if self._trouble.cut_in_this_call:
                return Ending.CUT
            return Ending.CLEAN if self._gate.had_media else Ending.EMPTY
        if isinstance(error, InStreamError):
            return Ending.IN_STREAM
        if isinstance(error, ServiceError):
            return Ending.REFUSED
        if isinstance(error, MediaError):
            return Ending.BROKEN_MEDIA
        if isinstance(error, CredentialsError):
            return Ending.NO_CREDENTIALS
        if opening:
            return Ending.NO_RESPONSE
        return Ending.STALL if isinstance(error, TransportTimeout) else Ending.CUT

    def _outcome(self, ending: Ending, error: KvsFastError | None) -> Outcome:
        gate, trouble = self._gate, self._trouble
        return Outcome(
            ending=ending,
            error=error,
            in_a_row=trouble.in_a_row,
            barren=trouble.barren,
            failures=trouble.failures,
            has_worked=trouble.has_worked,
            position=gate.position,
            latest=gate.order.latest,
            origin=self._origin,
            asked=self._next.start,
            seen_ms=gate.seen_ms,
            answered=self._answered,
            now=self._now(),
        )

    def _is_through(self, ending: Ending) -> bool:
        """Whether nothing can come any more before ``until.server_time``: it is past, and the service twice
        had nothing to give."""
        if ending not in (Ending.CLEAN, Ending.EMPTY, Ending.STALL) or self._trouble.barren < 2:
            return False
        return self._until.is_past(self._service_time(self._now()))

    def _resume(self, decision: Resume, outcome: Outcome) -> None:
        now = self._now()
        error = outcome.error
        gate = self._gate
        if decision.new_origin:
            is_behind = outcome.ending is Ending.BEHIND
            gap = gate.gap_after(GapReason.BEHIND if is_behind else GapReason.NOT_FOUND, error)
            if gap.after is None:  # what the user wanted to go on from is gone
                gap = replace(gap, after=self._origin.fragment_number)
            gate.begin_stretch(gap)
            self._origin = decision.start
            self._answered = None
        elif decision.start.type is StartSelectorType.NOW and self._trouble.has_worked:
            gate.gap = gate.gap_after(GapReason.NO_DATE, error)
        self._next = decision
        self._next_at = now + decision.delay
        if self._broken is None:
            self._broken = _Broken(outcome.ending, error, now, 0)
        if error is not None:
            self._meter.last_error = f"{type(error).__name__}: {error}"
        log.info(
            "%s: %s (%s); next call in %.2f s from %s",
            self.stream,
            outcome.ending,
            error or "no error",
            decision.delay,
            decision.start.type,
        )

    # -- the rest

    def _tell(self, event: SessionEvent) -> None:
        log.info("%s: %r", self.stream, event)
        if self._gate.delivery.mode == "events":
            self.notices.append(event)
            self._gate.delivery.look = True
        elif self.options.on_event is not None:
            self.options.on_event(event)

    def _look_at_the_clock(self) -> None:
        now = self._now()
        if now >= self._ends_at:
            self._finish(SessionEnd.UNTIL)
        if self._quiet.is_due(now):
            self._tell(Idle(self._quiet.seconds(now)))
        self._ask_the_owner()
        self._give_stats()

    def _ask_the_owner(self) -> None:
        """Whether the checkpoint is still ours."""
        try:
            if not self._bookmark.may_continue():
                self._gate.leaving = Ending.HANDED_OVER
        except LeaseLost as error:
            self._fail(error)
            self.interrupt()
            raise

    def _give_stats(self) -> None:
        give = self.options.on_stats
        if give is not None and self._now() >= self._stats_at:
            self._stats_at = self._now() + self.options.stats_every
            give(self.stats)

    def _save(self, position: Position) -> Steps[None]:
        try:
            yield from self._bookmark.save(position)
        except LeaseLost as error:
            self._fail(error)
            self.interrupt()
            raise

    def _finish(self, end: SessionEnd) -> None:
        if self.end is None:
            self.end = end
            self._gate.delivery.look = True

    def _fail(self, error: KvsFastError) -> KvsFastError:
        if self.failure is None:
            self.failure = error
            self._finish(SessionEnd.FAILED)
        return error

    def _close_media(self) -> None:
        self._gate.delivery.drop()
        media, self._media = self._media, None
        if media is not None:
            media.close()
