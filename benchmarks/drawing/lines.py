"""Cost against size, and memory against time: small multiples of the same shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.drawing.style import FAINT, FLOOR, OURS, PALE, head, slide
from benchmarks.record.figures import Figures
from benchmarks.record.goals import are_met

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves", "sessions"]

MIB = 1 << 20
COLUMNS = 4


def curves(figures: Figures) -> Figure | None:
    drawn = figures.result("curves").get("curves", ())
    if not drawn:
        return None
    figure = slide()
    panels = figure.subplots(-(-len(drawn) // COLUMNS), COLUMNS, squeeze=False).ravel()
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    for axes, curve in zip(panels, drawn, strict=False):
        _curve(axes, curve)
    least = min(curve["r_squared"] for curve in drawn)
    head(
        figure,
        "Twice as much costs twice as much" if are_met(figures, "cost against size") else "Cost against size",
        f"CPU ms against size, in memory, with the line of least squares: R² is {least:.3f} or more in each",
    )
    return figure


def _curve(axes: Axes, curve: dict[str, Any]) -> None:
    x = [point["x"] for point in curve["points"]]
    y = [1000 * point["seconds"] for point in curve["points"]]
    line = [1000 * (curve["intercept"] + curve["slope"] * end) for end in (0, max(x))]
    axes.plot([0, max(x)], line, color=FLOOR, linewidth=1.6, alpha=0.55, zorder=1)
    axes.plot(x, y, "o", color=OURS, markersize=7.5, zorder=2)
    axes.set_xlim(0, max(x) * 1.08)
    axes.set_ylim(0, max(*y, *line) * 1.12)
    axes.set_title(curve["title"], loc="left", fontweight="bold", fontsize=13)
    axes.set_xlabel(curve["unit"], fontsize=11)
    axes.locator_params(nbins=4)
    axes.grid()
    axes.tick_params(length=0, labelsize=11)
    axes.xaxis.set_major_formatter(_short)


def sessions(figures: Figures) -> Figure | None:
    drawn = figures.sessions()
    if not drawn:
        return None
    figure = slide()
    panels = figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
    for axes, session in zip(panels, drawn, strict=True):
        _session(axes, session, 1.18 * max(one["limit_bytes"] for one in drawn) / MIB)
    panels[0].set_ylabel("resident MiB, interpreter and imports included")
    longest = max(one["points"][-1]["read_bytes"] for one in drawn) / 1e9
    head(
        figure,
        f"{longest:.0f} GB through one session"
        + (", and memory stays where it was" if are_met(figures, "memory over") else ": memory"),
        "resident set of the reading process, 200 samples a session; dashed: the limit set beforehand",
    )
    return figure


def _session(axes: Axes, session: dict[str, Any], top: float) -> None:
    read = [point["read_bytes"] / 1e9 for point in session["points"]]
    memory = [point["resident_bytes"] / MIB for point in session["points"]]
    base, limit = session["base_bytes"] / MIB, session["limit_bytes"] / MIB
    axes.axhspan(0, base, color=PALE, lw=0)
    axes.axhline(limit, color=FLOOR, linewidth=1.4, linestyle=(0, (4, 3)))
    axes.plot(read, memory, color=OURS, lw=3)
    offset: dict[str, Any] = {"textcoords": "offset points", "fontsize": 11.5}
    axes.annotate(f"limit {limit:.1f}", (0, limit), (5, 6), color=FLOOR, **offset)
    axes.annotate(
        f"{memory[-1]:.1f}", (read[-1], memory[-1]), (-4, 8), ha="right", color=OURS, weight="bold", **offset
    )
    axes.annotate(f"before the first byte: {base:.1f}", (0, 0), (5, 8), color=FAINT, **offset)
    axes.set_ylim(0, top)
    axes.set_yticks(range(10, int(top), 10))
    axes.locator_params(axis="x", nbins=3)
    axes.xaxis.set_major_formatter(_short)
    axes.set_xlim(0, read[-1])
    axes.set_xlabel("GB read")
    axes.set_title(
        session["title"].replace("tcp", "TCP").replace("tls", "TLS"), loc="left", fontweight="bold"
    )
    axes.grid(axis="y")
    axes.tick_params(length=0)


def _short(value: float, _at: object) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
