"""Everything about a session that has a default: keywords of ``client.consume``."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypedDict, Unpack

from kvsfast._native.selection import Selection
from kvsfast.consume.events import SessionEvent
from kvsfast.consume.policy import ResumePolicy, StandardResume
from kvsfast.consume.stats import ConsumerStats
from kvsfast.consume.until import Until
from kvsfast.errors import UsageError
from kvsfast.model import TrackType

__all__ = ["SessionChanges", "SessionOptions"]

Poison = Literal["raise", "deliver", "skip"]
Gaps = Literal["report", "raise"]
Rewinds = Literal["deliver", "report", "drop"]
WhenBehind = Literal["keep", "newest", "key_frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How a session goes on, what it delivers and when it ends. Times are seconds.

    What one call does (timeouts, signing, the data endpoint) is said by the client's own options: its
    ``idle_timeout`` is how long a response may stay without a byte before it is given up for dead, its
    ``retry`` is not used, since ``resume`` decides about every failure.
    """

    #: When the session ends by itself: Until, a datetime (server time) or a timedelta.
    until: Until | datetime | timedelta | None = None
    #: What decides where and when the next call begins.
    resume: ResumePolicy = field(default_factory=StandardResume)
    #: Commit each fragment when the next one is asked for.
    auto_commit: bool = False
    #: Only these tracks: numbers, names or TrackTypes. Empty: all.
    tracks: Sequence[int | str | TrackType] = ()
    #: Only key frames.
    key_frames_only: bool = False
    #: After so long without media: an Idle event, and another one each time as long again.
    idle_after: float = 10.0
    #: A fragment that is cut or broken is fetched again so often; then "raise" ResumeFailed, "deliver" what
    #: there is of it, or "skip" it and report a Gap.
    max_refetches: int = 5
    poison: Poison = "raise"
    #: Media that the service no longer has: report a Gap, or raise GapError.
    gaps: Gaps = "report"
    #: Media that a producer sent again under new numbers, by its producer timestamps: deliver it, report it
    #: as Rewound and deliver it, or report and drop it.
    rewinds: Rewinds = "deliver"
    #: When the last fragment was sent more than ``behind_after`` after its time: keep everything, go to the
    #: newest (a Gap), or give key frames only until half of it is made good.
    when_behind: WhenBehind = "keep"
    behind_after: float = 30.0
    #: Read ahead by a thread, at most so many bytes. None: no thread.
    prefetch_bytes: int | None = None
    #: While another owner has the checkpoint, it is asked for so often.
    claim_every: float = 5.0
    #: Called with each SessionEvent (``events()`` gives them itself).
    on_event: Callable[[SessionEvent], object] | None = None
    #: Called with a ConsumerStats, at most each ``stats_every``, between fragments and while idle.
    on_stats: Callable[[ConsumerStats], object] | None = None
    stats_every: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "until", Until.of(self.until))
        Selection(self.tracks, self.key_frames_only)
        for name in ("idle_after", "behind_after", "claim_every", "stats_every"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise UsageError(f"{name} is {value!r}, expected seconds greater than 0 (math.inf: never)")
        for name, allowed in _WORDS.items():
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        for name in ("auto_commit", "key_frames_only"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected True or False")
        for name, least in (("max_refetches", 0), ("prefetch_bytes", 1)):
            value = getattr(self, name)
            if value is None and name == "prefetch_bytes":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UsageError(f"{name} is {value!r}, expected a whole number of at least {least}")
        if math.isinf(self.claim_every):
            raise UsageError("claim_every is inf, expected how often to ask for the checkpoint")
        if not callable(getattr(self.resume, "decide", None)):
            raise UsageError(f"resume is {self.resume!r}, expected a policy such as kvsfast.StandardResume()")
        for name in ("on_event", "on_stats"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)!r}, expected a function")

    def replace(self, **changes: Unpack[SessionChanges]) -> SessionOptions:
        """A copy with some values changed."""
        names = SessionOptions.__slots__
        unknown = set(changes) - set(names)
        if unknown:
            raise UsageError(
                f"consume has no option {', '.join(sorted(unknown))}; its options are {', '.join(names)}"
            )
        return dataclasses.replace(self, **changes)


_WORDS: dict[str, tuple[str, ...]] = {
    "poison": typing.get_args(Poison),
    "gaps": typing.get_args(Gaps),
    "rewinds": typing.get_args(Rewinds),
    "when_behind": typing.get_args(WhenBehind),
}


class SessionChanges(TypedDict, total=False):
    """The fields of :class:`SessionOptions` as keywords."""

    until: Until | datetime | timedelta | None
    resume: ResumePolicy
    auto_commit: bool
    tracks: Sequence[int | str | TrackType]
    key_frames_only: bool
    idle_after: float
    max_refetches: int
    poison: Poison
    gaps: Gaps
    rewinds: Rewinds
    when_behind: WhenBehind
    behind_after: float
    prefetch_bytes: int | None
    claim_every: float
    on_event: Callable[[SessionEvent], object] | None
    on_stats: Callable[[ConsumerStats], object] | None
    stats_every: float
