"""How a session is doing, counted all the time and read as a frozen snapshot."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kvsfast._native.chunked import pool_stats

__all__ = ["ConsumerStats", "Meter"]

#: Over how many seconds rates are taken.
WINDOW = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerStats:
    """A snapshot of a session.

    ``millis_behind_now``: the age of the last fragment when the service sent it (its length at least, never
    0), None before the first. ``bytes_per_second``, ``fragments_per_second``: of media delivered, over the
    last ten seconds. ``fragments``, ``frames``, ``size``: delivered in all, fragments whole; frames of them,
    whether filtered or not. ``calls``: of GetMedia; ``reconnects``: responses after the first;
    ``duplicates``: fragments dropped because they had been delivered; ``refetches``: fragments fetched again
    because they were cut; ``rewound``: by :class:`kvsfast.Rewound`; ``mismatches``, ``gaps``, ``resets``: the
    events of these names. ``pinned_bytes``: receive memory in use in the whole process, by readers and by
    what the user keeps. ``time_to_first_frame``: seconds from the first call to the first frame or fragment,
    None before it. ``idle_seconds``: without media until now. ``seconds``: since the session began.
    """

    stream: str
    millis_behind_now: int | None
    bytes_per_second: float
    fragments_per_second: float
    fragments: int
    frames: int
    size: int
    calls: int
    reconnects: int
    duplicates: int
    refetches: int
    rewound: int
    mismatches: int
    gaps: int
    resets: int
    pinned_bytes: int
    time_to_first_frame: float | None
    idle_seconds: float
    seconds: float
    last_number: str | None
    last_error: str | None


@dataclass(slots=True)
class Meter:
    """The counters behind it. One thread writes, any may take a snapshot."""

    stream: str
    monotonic: Callable[[], float]
    began: float = field(init=False)
    millis_behind_now: int | None = None
    fragments: int = 0
    frames: int = 0
    size: int = 0
    calls: int = 0
    responses: int = 0
    duplicates: int = 0
    refetches: int = 0
    rewound: int = 0
    mismatches: int = 0
    gaps: int = 0
    resets: int = 0
    first_call: float | None = None
    first_frame: float | None = None
    quiet_since: float | None = None
    last_number: str | None = None
    last_error: str | None = None
    #: (time, fragments, bytes) at the beginning of each of the last seconds.
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.began = self.monotonic()
        self._marks.append((self.began, 0, 0))

    def call_begins(self, now: float) -> None:
        """GetMedia is called."""
        self.calls += 1
        if self.first_call is None:
            self.first_call = now

    def add_fragment(self, frames: int, size: int, behind: int | None) -> None:
        """A fragment was delivered."""
        now = self.monotonic()
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self.fragments, self.size))
            while len(self._marks) > 2 and self._marks[1][0] <= now - WINDOW:
                self._marks.popleft()
        self.fragments += 1
        self.frames += frames
        self.size += size
        self.millis_behind_now = behind if behind is not None else self.millis_behind_now

    def saw_frame(self) -> None:
        """The first frame or fragment is handed over."""
        if self.first_frame is None and self.first_call is not None:
            self.first_frame = self.monotonic() - self.first_call

    def snapshot(self) -> ConsumerStats:
        """What it is now."""
        now = self.monotonic()
        marks = [mark for mark in tuple(self._marks) if mark[0] >= now - WINDOW]
        since, fragments, size = marks[0] if marks else (now - WINDOW, self.fragments, self.size)
        seconds = max(now - since, 1.0)
        return ConsumerStats(
            stream=self.stream,
            millis_behind_now=self.millis_behind_now,
            bytes_per_second=(self.size - size) / seconds,
            fragments_per_second=(self.fragments - fragments) / seconds,
            fragments=self.fragments,
            frames=self.frames,
            size=self.size,
            calls=self.calls,
            reconnects=max(self.responses - 1, 0),
            duplicates=self.duplicates,
            refetches=self.refetches,
            rewound=self.rewound,
            mismatches=self.mismatches,
            gaps=self.gaps,
            resets=self.resets,
            pinned_bytes=pool_stats()[2],
            time_to_first_frame=self.first_frame,
            idle_seconds=0.0 if self.quiet_since is None else now - self.quiet_since,
            seconds=now - self.began,
            last_number=self.last_number,
            last_error=self.last_error,
        )
