"""Many streams in one process: the share of a core, beside what it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.drawing.style import COLOURS, FLOOR, INK, OURS, head, slide
from benchmarks.record.figures import Figures
from benchmarks.record.goals import FLEETS, KEEPS_UP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["paint"]


def paint(figures: Figures) -> Figure | None:
    fleets = figures.fleets()
    ours = figures.fleet(1000, "kvsfast")
    if ours is None:
        return None
    figure = slide()
    titles = dict.fromkeys((one["fleet"]["title"], one["fleet"]["transport"]) for one in fleets)
    most = 100 * max(one["share"] for one in fleets)
    panels = figure.subplots(len(titles), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (title, transport) in zip(panels, titles, strict=True):
        rows = [
            one for one in fleets if (one["fleet"]["title"], one["fleet"]["transport"]) == (title, transport)
        ]
        _bars(axes, rows)
        axes.set_xlim(0, most * 1.4)
        axes.set_title(f"{title} over {transport.upper()}", loc="left", fontweight="bold")
    panels[-1].set_xlabel("% of a core")
    head(
        figure,
        f"A thousand live streams in one thread: {100 * ours['share']:.0f} % of a core",
        "each stream gives 2 Mbit/s (below: 200) and no more; kvsfast parses every frame; dashed: the goal",
    )
    return figure


def _bars(axes: Axes, rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda one: float(one["share"]))
    kinds = [_kind(one["reader"]) for one in rows]
    axes.barh(
        range(len(rows)),
        [100 * one["share"] for one in rows],
        color=[COLOURS[kind] for kind in kinds],
        height=0.7,
    )
    axes.set_yticks(range(len(rows)), [one["reader"] for one in rows])
    for at, (one, kind, label) in enumerate(zip(rows, kinds, axes.get_yticklabels(), strict=True)):
        text = f"{100 * one['share']:.0f} %"
        if one["slowest"] < KEEPS_UP:
            text += f", falls behind: {100 * one['slowest']:.0f} % of the rate"
        ours = kind == "kvsfast"
        axes.annotate(
            text,
            (100 * one["share"], at),
            (7, 0),
            textcoords="offset points",
            va="center",
            color=OURS if ours else INK,
            fontweight="bold" if ours else "normal",
        )
        if ours:
            label.set_color(OURS)
            label.set_fontweight("bold")
    if (streams := rows[0]["fleet"]["streams"]) in FLEETS:
        axes.axvline(100 * FLEETS[streams][1], color=FLOOR, linewidth=1.4, linestyle=(0, (4, 3)))
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.tick_params(length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _kind(reader: str) -> str:
    if reader.startswith("kvsfast"):
        return "kvsfast"
    return "floor" if reader.startswith("C") else "rival"
