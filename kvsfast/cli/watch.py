"""Watching fragments arrive: counted, and shown as a live table or line by line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from kvsfast.cli.output import clock, quantity

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kvsfast import Fragment

__all__ = ["HEADING", "Arrival", "Show", "Tally", "live_table", "rate"]

#: How many fragments the live table shows, and how often it is drawn anew.
ROWS = 8
DRAWN_PER_SECOND = 8
#: Columns of a terminal that has room for whole numbers and dates; how much of a number is shown elsewhere.
WIDE = 112
SHORT = 16

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Arrival(NamedTuple):
    """What is shown of a fragment. It keeps none of its media."""

    number: str | None
    producer_timestamp_ms: int | None
    millis_behind_now: int | None
    frames: int
    size: int
    is_complete: bool

    def cells(self) -> tuple[str, str, str, str, str]:
        """Number, producer time, behind now, frames and bytes as text."""
        return (
            self.number or "-",
            _time(self.producer_timestamp_ms),
            "-" if self.millis_behind_now is None else f"{self.millis_behind_now / 1000:,.3f} s",
            f"{self.frames:,}",
            f"{self.size:,}" if self.is_complete else f"{self.size:,} (cut)",
        )

    def __str__(self) -> str:
        return LINE.format(*self.cells())


LINE = "{:<47}  {:<24}  {:>14}  {:>7}  {:>12}"
HEADING = LINE.format("fragment number", "producer time", "behind now", "frames", "bytes")

#: Called with each fragment that has arrived and was counted.
Show = Callable[[Arrival], None]


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    try:
        return clock(_EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError:
        return f"{milliseconds} ms"


class Tally:
    """Fragments, frames and bytes so far. The reading thread writes it, any thread may read it."""

    def __init__(self) -> None:
        self.fragments = 0
        self.incomplete = 0
        self.frames = 0
        self.size = 0
        self.token: str | None = None
        self.latest: tuple[Arrival, ...] = ()
        self._began = time.monotonic()
        self._began_cpu = time.process_time()

    def add(self, fragment: Fragment) -> Arrival:
        arrival = Arrival(
            fragment.number,
            fragment.producer_timestamp_ms,
            fragment.millis_behind_now,
            fragment.frame_count,
            fragment.size,
            fragment.is_complete,
        )
        self.fragments += 1
        self.incomplete += not arrival.is_complete
        self.frames += arrival.frames
        self.size += arrival.size
        self.token = fragment.continuation_token or self.token
        self.latest = (*self.latest[1 - ROWS :], arrival)
        return arrival

    @property
    def seconds(self) -> float:
        """Since this tally was begun."""
        return time.monotonic() - self._began

    @property
    def cpu_seconds(self) -> float:
        """Of this process, since then."""
        return time.process_time() - self._began_cpu

    def __str__(self) -> str:
        seconds = self.seconds
        return (
            f"{quantity(self.fragments, 'fragment')}, {quantity(self.frames, 'frame')}, "
            f"{self.size / 1e6:,.1f} MB in {seconds:,.1f} s, {rate(self.size, seconds)}"
        )


def rate(size: int, seconds: float) -> str:
    """Bytes over seconds, in the unit in which networks are sold."""
    megabits = size * 8 / 1e6 / seconds if seconds > 0 else 0.0
    return f"{megabits:,.0f} Mbit/s" if megabits >= 100 else f"{megabits:,.1f} Mbit/s"


@contextmanager
def live_table(console: Console, tally: Tally, title: str) -> Iterator[Show]:
    """A table of the latest fragments over what has come in all, drawn by a thread of its own."""
    from rich.live import Live

    marks: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=DRAWN_PER_SECOND)

    def draw() -> Table:
        table = _table(
            tally, title, rate(tally.size - marks[0][1], tally.seconds - marks[0][0]), console.width
        )
        marks.append((tally.seconds, tally.size))
        return table

    with Live(console=console, get_renderable=draw, refresh_per_second=DRAWN_PER_SECOND):
        yield lambda arrival: None


def _table(tally: Tally, title: str, rate_now: str, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_footer=True,
        footer_style="bold",
        header_style="dim",
        pad_edge=False,
    )
    table.add_column(
        "fragment number", Text(quantity(tally.fragments, "fragment")), no_wrap=True, style="cyan"
    )
    table.add_column("producer time", Text(f"{tally.seconds:,.1f} s"), no_wrap=True)
    table.add_column("behind now", Text(rate_now, "green"), justify="right", no_wrap=True)
    table.add_column("frames", Text(f"{tally.frames:,}"), justify="right", no_wrap=True)
    table.add_column("bytes", Text(f"{tally.size:,}"), justify="right", no_wrap=True)
    for arrival in tally.latest:
        number, producer_time, *others = arrival.cells()
        if width < WIDE:
            number = number if len(number) <= SHORT else "…" + number[-SHORT:]
            producer_time = producer_time.partition("T")[2] or producer_time
        table.add_row(*map(Text, (number, producer_time, *others)))
    return table
