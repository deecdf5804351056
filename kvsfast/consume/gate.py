"""What is handed over: asked by the compiled :class:`Delivery` at the borders of fragments.

It keeps the order, counts, and tells what is missing, what began anew and what came again otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kvsfast._native.delivery import Delivery
from kvsfast._native.selection import Selection
from kvsfast.consume.events import DigestMismatch, Gap, GapReason, Rewound, SessionEvent, StreamReset
from kvsfast.consume.options import SessionOptions
from kvsfast.consume.order import Order, Verdict, position_of
from kvsfast.consume.policy import Ending, Position
from kvsfast.consume.stats import Meter
from kvsfast.consume.trouble import Trouble
from kvsfast.consume.until import Until
from kvsfast.errors import GapError, KvsFastError

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart

__all__ = ["Gate"]

log = logging.getLogger(__name__)


class Gate:
    """Of one session. ``tell`` is called with each event, ``fail`` with the error that ends the session.

    A stretch is what follows one origin: the session's start, or where it went on behind a gap.
    """

    def __init__(
        self,
        options: SessionOptions,
        *,
        meter: Meter,
        trouble: Trouble,
        max_frames: int,
        tell: Callable[[SessionEvent], None],
        fail: Callable[[KvsFastError], KvsFastError],
    ) -> None:
        self.options = options
        self.order = Order()
        #: The last fragment of this stretch that was dealt with; the server timestamp of its first fragment
        #: if only a part of that has come.
        self.position: Position | None = None
        self.seen_ms: int | None = None
        #: What lies between the last fragment and this stretch.
        self.gap: Gap | None = None
        #: What auto_commit has to save.
        self.to_settle: Position | None = None
        #: Of this response: whether it brought media, and a new whole fragment; why it is to be left.
        self.had_media = self.had_progress = False
        self.leaving: Ending | None = None
        #: What cannot be had whole, where that ends the session; and whether ``until`` was reached.
        self.poisoned: str | None = None
        self.is_through = False
        self._meter = meter
        self._trouble = trouble
        self._tell = tell
        self._fail = fail
        self._until = Until.of(options.until)
        self._selection = Selection(options.tracks, options.key_frames_only)
        self._max_frames = max_frames
        self.begin("fragments")
        # the open fragment
        self._verdict = Verdict.NEW
        self._is_dropped = False
        self._told: str | None = None

    def begin(self, mode: str) -> Delivery:
        """What is delivered from now on."""
        self.delivery = Delivery(self, mode, self._selection, self._max_frames)
        return self.delivery

    def go_on_after(self, position: Position) -> None:
        """What a checkpoint says was dealt with before."""
        self.order.advance(position)
        self.position = position

    def begin_response(self) -> None:
        """Another call is made."""
        self.had_media = self.had_progress = False
        self.leaving = self.poisoned = None

    def begin_stretch(self, gap: Gap) -> None:
        """The next call goes on behind a gap."""
        self.gap = gap
        self.position = self.seen_ms = None

    # -- what the delivery asks

    def begins(self, start: FragmentStart) -> bool:
        """A fragment begins. Whether it is handed over."""
        self.had_media = True
        self._is_dropped = False
        here = position_of(start)
        self._verdict = Verdict.NEW if here is None else self.order.judge(here)
        if self._verdict is Verdict.DUPLICATE:
            self._meter.duplicates += 1
            return False
        if self._until.stops_before(start):
            self._verdict = Verdict.DUPLICATE
            self._end_here()
            return False
        if here is not None:
            is_rewound = self.options.rewinds != "deliver" and self.order.is_rewound(here)
            if self._told != here.number:
                self._told = here.number
                self._tell_of_order(here)
                if is_rewound:
                    self._tell_rewound(here)
            self._is_dropped = is_rewound and self.options.rewinds == "drop"
        return not self._is_dropped

    def ends(self, end: FragmentEnd) -> bool:
        """The fragment has ended. Whether that is its end for the user too."""
        if self._verdict is Verdict.DUPLICATE:
            return False
        if end.is_complete:
            self._pass(end)
            return not self._is_dropped
        if self.position is None and self.seen_ms is None:
            self.seen_ms = end.start.server_timestamp_ms
        return self.cut(position_of(end.start)) and not self._is_dropped

    def whole(self, fragment: Fragment) -> bool:
        """A fragment that was kept has come. Whether it is handed over."""
        is_wanted = self.begins(fragment.start)
        return self.ends(fragment.end) and is_wanted

    def mismatch(
        self, index: int, expected: tuple[int, int, int], found: tuple[int, int, int] | None
    ) -> None:
        """A frame that came again is not what it was."""
        self._meter.mismatches += 1
        self._tell(DigestMismatch(self.delivery.handed_over[0] or "", index, expected, found))

    def saw_frame(self) -> None:
        """The first item of all is handed over."""
        self._meter.saw_frame()

    # -- fragments

    def _pass(self, end: FragmentEnd) -> None:
        """A whole fragment is dealt with."""
        meter = self._meter
        if not self._is_dropped:
            meter.add_fragment(end.frame_count, end.size, end.millis_behind_now)
        position = position_of(end.start, end.continuation_token)
        if position is not None:
            self._step_to(position)
        if self._until.stops_after(end.number, meter.fragments, meter.frames, meter.size):
            self._end_here()
        if end.millis_behind_now is not None:
            self._keep_up(end.millis_behind_now / 1000)

    def _step_to(self, position: Position) -> None:
        self.order.advance(position)
        self.position = position
        self.had_progress = True
        self._trouble.fragment_passed()
        self._meter.last_number = position.number
        if self.options.auto_commit:
            self.to_settle = position

    def _keep_up(self, behind: float) -> None:
        """What to do about being so many seconds behind."""
        options = self.options
        if options.when_behind == "newest" and behind > options.behind_after:
            self.leaving = Ending.BEHIND
        elif options.when_behind == "key_frames":
            if behind > options.behind_after:
                self._selection.key_frames_only = True
            elif behind < options.behind_after / 2:
                self._selection.key_frames_only = options.key_frames_only

    def cut(self, position: Position | None) -> bool:
        """A fragment was cut or broken (None: before its number was known). Whether what there is of it ends
        it for the user."""
        cuts = self._trouble.cut(None if position is None else position.number)
        if cuts <= self.options.max_refetches:
            self._meter.refetches += 1
            return False
        if self.options.poison == "raise" or position is None:
            which = self._trouble.number or "of unknown number"
            self.poisoned = f"fragment {which} was cut or broken {cuts} times in a row"
            return False
        gap = self.gap_after(GapReason.POISON)
        self._step_to(position)
        self.leaving = Ending.POISON
        self.delivery.look = True
        if self.options.poison == "deliver":
            return True
        self.gap = gap
        self.delivery.forget()
        return False

    def _end_here(self) -> None:
        self.is_through = self.delivery.look = True

    # -- telling

    def gap_after(self, reason: GapReason, error: KvsFastError | None = None) -> Gap:
        """A gap of which only the beginning is known."""
        latest = self.order.latest
        if latest is None:
            return Gap(reason, error=error)
        return Gap(reason, latest.number, None, latest.server_timestamp_ms, None, error)

    def _tell_of_order(self, here: Position) -> None:
        """A fragment that was not seen before: what lies between it and the last one, if that is known."""
        latest = self.order.latest
        if self._verdict is Verdict.RESET and latest is not None:
            self.gap = None
            self._meter.resets += 1
            self._tell(
                StreamReset(
                    latest.number, here.number, latest.server_timestamp_ms or 0, here.server_timestamp_ms or 0
                )
            )
        number, _ = self.delivery.handed_over
        if self.gap is None and number is not None and number != here.number:
            self.gap = self.gap_after(GapReason.CUT)
        if self.gap is not None:
            self._tell_gap(self.gap, here)

    def _tell_gap(self, gap: Gap, here: Position) -> None:
        """Now both its ends are known."""
        self.gap = None
        gap = Gap(
            gap.reason,
            gap.after,
            here.number,
            gap.after_server_timestamp_ms,
            here.server_timestamp_ms,
            gap.error,
        )
        self._meter.gaps += 1
        log.warning("media is missing: %r", gap)
        if self.options.gaps == "raise" and gap.reason in (GapReason.NOT_FOUND, GapReason.CUT):
            latest = self.order.latest
            raise self._fail(GapError(gap, last_token=None if latest is None else latest.token))
        self._tell(gap)

    def _tell_rewound(self, here: Position) -> None:
        self._meter.rewound += 1
        is_delivered = self.options.rewinds != "drop"
        self._tell(
            Rewound(here.number, here.producer_timestamp_ms or 0, self.order.producer_ms or 0, is_delivered)
        )
