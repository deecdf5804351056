"""How streams are doing, as a live table: one row for each, drawn from their stats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kvsfast.cli.output import printable, quantity
from kvsfast.cli.watch import DRAWN_PER_SECOND, SHORT, WIDE, rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kvsfast import ConsumerStats

__all__ = ["live_streams", "state_of", "totals"]

#: Silence that is worth a word, in seconds.
QUIET = 2.0
#: Digits of a fragment number.
LONG = 47


def state_of(stats: ConsumerStats) -> tuple[str, str]:
    """What a stream is doing, and in which style that is shown."""
    if stats.calls == 0:
        return "waits", "yellow"  # for the checkpoint, which another owner has
    if stats.idle_seconds >= QUIET:
        return f"idle {stats.idle_seconds:,.0f} s", "yellow"
    return ("reading", "green") if stats.fragments else ("begins", "dim")


def totals(all_stats: Sequence[ConsumerStats]) -> str:
    """All streams in a line."""
    fragments = sum(stats.fragments for stats in all_stats)
    parts = [
        quantity(fragments, "fragment"),
        quantity(sum(stats.frames for stats in all_stats), "frame"),
        f"{sum(stats.size for stats in all_stats) / 1e6:,.1f} MB",
        quantity(sum(stats.reconnects for stats in all_stats), "reconnect"),
    ]
    parts += [
        f"{total:,} {noun}"
        for noun in ("gaps", "duplicates", "refetches")
        if (total := sum(getattr(stats, noun) for stats in all_stats))
    ]
    return ", ".join(parts)


@contextmanager
def live_streams(console: Console, snapshots: Callable[[], Sequence[ConsumerStats]]) -> Iterator[None]:
    """A table that is drawn by a thread of its own, until the end."""
    from rich.live import Live

    def draw() -> Table:
        return _table(snapshots(), console.width)

    with Live(console=console, get_renderable=draw, refresh_per_second=DRAWN_PER_SECOND):
        yield


def _table(all_stats: Sequence[ConsumerStats], width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    is_wide = width >= WIDE
    table.add_column("stream", style="bold", overflow="ellipsis", no_wrap=True)
    table.add_column("state", no_wrap=True)
    if is_wide:
        table.add_column("fragment number", no_wrap=True, style="cyan")
    for name in ("behind now", "rate", "fragments", "reconnects", "gaps"):
        table.add_column(name, justify="right", no_wrap=True)
    for stats in all_stats:
        number = stats.last_number or "-"
        if width < WIDE + LONG - SHORT and len(number) > SHORT:
            number = "…" + number[-SHORT:]
        behind = stats.millis_behind_now
        table.add_row(
            Text(printable(stats.stream)),
            Text(*state_of(stats)),
            *([Text(number)] if is_wide else []),
            Text("-" if behind is None else f"{behind / 1000:,.1f} s"),
            Text(rate(int(stats.bytes_per_second), 1.0)),
            Text(f"{stats.fragments:,}"),
            Text(f"{stats.reconnects:,}"),
            Text(f"{stats.gaps:,}", "red" if stats.gaps else ""),
        )
    return table
