"""Pictures of what was measured, for a slide: one for each kind of record that the commands write as JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

Record = dict[str, Any]

OURS, FLOOR, RIVAL, INK, FAINT = "#E4572E", "#2E4057", "#AEB8C4", "#1B2430", "#6B7785"
COLOURS = {"kvsfast": OURS, "floor": FLOOR, "rival": RIVAL}
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": "#D5DAE1",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E9ECF1",
    "xtick.color": FAINT,
    "ytick.color": INK,
    "savefig.facecolor": "white",
}
TRANSPORTS = {"tcp": "plain TCP", "tls": "TLS 1.3"}


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Every picture that these records have the figures for, as PNG files in ``folder``."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(STYLE):
        for record in records:
            for name, paint in _pictures(record):
                path = folder / f"{name}.png"
                _save(paint(record), record, path)
                written.append(path)
    return written


def _pictures(record: Record) -> list[tuple[str, Callable[[Record], Figure]]]:
    if "lanes" in record:
        return [
            (f"cpu-{lane['workload']}-{lane['transport']}", functools.partial(_cpu, lane=lane))
            for lane in record["lanes"]
        ]
    return [picture for key, picture in _PAINTERS.items() if key in record]


# -- bars


def _bars(
    axes: Axes,
    rows: Sequence[tuple[str, float, str]],
    *,
    unit: str,
    digits: int,
    log: bool = False,
    reference: float | None = None,
) -> None:
    """Horizontal bars of (title, value, kind), the shortest on top, each with how often it holds the
    ``reference``."""
    rows = sorted(rows, key=lambda row: row[1])
    values = [value for _, value, _ in rows]
    at = range(len(rows))
    axes.barh(at, values, color=[COLOURS[kind] for *_, kind in rows], height=0.72)
    axes.invert_yaxis()
    axes.set_yticks(at, [title for title, *_ in rows])
    for label, (_, _, kind) in zip(axes.get_yticklabels(), rows, strict=True):
        if kind == "kvsfast":
            label.set_fontweight("bold")
            label.set_color(OURS)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.set_xlim(min(values) / 2.2, max(values) * 5)
    else:
        axes.set_xlim(0, max(values) * 1.24)
    for row, value in zip(at, values, strict=True):
        text = f"{value:,.{digits}f}"
        if reference:
            text += f"   ×{_ratio(value / reference)}"
        axes.annotate(text, (value, row), (6, 0), textcoords="offset points", va="center", fontsize=10)
    axes.set_xlabel(unit + (", logarithmic" if log else ""))
    axes.grid(axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 2 else f"{value:.1f}" if value < 20 else f"{value:,.0f}"


def _cpu(_record: Record, lane: Record) -> Figure:
    """Above, who only receives; below, who gives every frame."""
    from matplotlib.figure import Figure

    standings = lane["standings"]
    parts = [
        ("receiving, nothing parsed", [one for one in standings if one["reads"] != "frames"]),
        ("every frame given and touched", [one for one in standings if one["reads"] == "frames"]),
    ]
    parts = [(title, rows) for title, rows in parts if rows]
    frames = next((one["cpu_median"] for one in standings if one["contender"] == "frames"), None)
    figure = Figure(figsize=(11, 1.9 + 0.34 * len(standings) + 0.75 * len(parts)))
    heights = [len(rows) + 1 for _, rows in parts]
    panels = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, rows) in zip(panels, parts, strict=True):
        bars = [(one["title"].partition(", not parsed")[0], one["cpu_median"], one["kind"]) for one in rows]
        spread = max(value for _, value, _ in bars) / min(value for _, value, _ in bars)
        _bars(axes, bars, unit="CPU seconds per GB", digits=2, log=spread > 15, reference=frames)
        axes.set_title(title, loc="left", fontsize=12, color=FAINT)
    note = ", × against kvsfast frames()" if frames else ""
    _head(figure, f"CPU per GB of GetMedia over {TRANSPORTS[lane['transport']]}", f"{lane['title']}{note}")
    return figure


def _per_frame(record: Record) -> Figure:
    from matplotlib.figure import Figure

    timings = record["tiny"]
    rows = []
    for one in timings:
        title = one["title"]
        if title.startswith(("fragments()", "frames()", "events()")):
            rows.append((f"kvsfast {title}", one["median"], "kvsfast"))
        else:
            rows.append((title, one["median"], "floor" if "push parser" in title else "rival"))
    frames = next(one["median"] for one in timings if one["title"].startswith("frames(): iterated"))
    figure = Figure(figsize=(11, 1.9 + 0.36 * len(rows)))
    axes = figure.subplots()
    _bars(axes, rows, unit="CPU nanoseconds per frame", digits=0, log=True, reference=frames)
    _head(figure, "What a frame of 200 bytes costs in memory", "× against kvsfast frames() iterated")
    return figure


def _latency(record: Record) -> Figure:
    from matplotlib.figure import Figure

    transports = [name for name in TRANSPORTS if any(one["transport"] == name for one in record["delays"])]
    figure = Figure(figsize=(11, 2.0 + 1.9 * len(transports)))
    panels = figure.subplots(len(transports), 1, squeeze=False)[:, 0]
    for axes, transport in zip(panels, transports, strict=True):
        rows = []
        for one in record["delays"]:
            if one["transport"] == transport:
                kind = "kvsfast" if one["reader"].startswith("kvsfast") else "rival"
                rows.append((one["reader"], max(one["median_ms"], 0.01), kind))
        _bars(axes, rows, unit="milliseconds, median", digits=2, log=True)
        axes.set_title(TRANSPORTS[transport], loc="left", fontsize=12, color=FAINT)
    _head(figure, "From the server's send to the frame in hand", "one frame of 500 bytes each 50 ms")
    return figure


# -- lines


def _curves(record: Record) -> Figure:
    """Cost against size, with the straight line through it."""
    from matplotlib.figure import Figure

    curves = record["curves"]
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.4 * columns, 1.3 + 3.3 * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    for axes, curve in zip(panels, curves, strict=False):
        x, y = (
            [point["x"] for point in curve["points"]],
            [point["seconds"] * 1000 for point in curve["points"]],
        )
        ends = [0, max(x)]
        line = [1000 * (curve["intercept"] + curve["slope"] * end) for end in ends]
        axes.plot(ends, line, color=RIVAL, linewidth=2.5, zorder=1)
        axes.plot(x, y, "o", color=OURS, markersize=7, zorder=2)
        axes.set_xlim(0, max(x) * 1.06)
        axes.set_ylim(0, max(*y, *line) * 1.15)
        axes.set_title(curve["title"], loc="left", fontsize=12, fontweight="bold")
        axes.set_xlabel(curve["unit"])
        axes.set_ylabel("CPU ms")
        axes.annotate(f"R² {curve['r_squared']:.4f}", (0.05, 0.88), xycoords="axes fraction", color=FAINT)
        axes.grid()
        axes.tick_params(length=0)
        axes.xaxis.set_major_formatter(_short)
    _head(figure, "Twice as much costs twice as much", "each line is fitted by least squares")
    return figure


def _sessions(record: Record) -> Figure:
    """Memory while a long session is read, beside what it may come to."""
    from matplotlib.figure import Figure

    sessions = record["sessions"]
    figure = Figure(figsize=(11, 4.6))
    panels = figure.subplots(1, len(sessions), squeeze=False, sharey=True)[0]
    for axes, session in zip(panels, sessions, strict=True):
        read = [point["read_bytes"] / 1e9 for point in session["points"]]
        limit = session["limit_bytes"] / 2**20
        axes.plot(read, [point["resident_bytes"] / 2**20 for point in session["points"]], color=OURS, lw=2.5)
        axes.axhline(limit, color=FLOOR, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(f"limit {limit:.1f}", (0, limit), (4, 5), textcoords="offset points", color=FLOOR)
        axes.set_ylim(0, 1.2 * max(one["limit_bytes"] for one in sessions) / 2**20)
        axes.set_xlim(0, read[-1])
        axes.set_xlabel("GB read in one session")
        axes.set_title(session["title"], loc="left", fontsize=12, fontweight="bold")
        axes.grid(axis="y")
        axes.tick_params(length=0)
    panels[0].set_ylabel("resident MiB")
    _head(figure, "Memory of one long session", "resident set of the process, imports included")
    return figure


def _short(value: float, _at: object) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


_PAINTERS: dict[str, tuple[str, Callable[[Record], Figure]]] = {
    "tiny": ("per-frame", _per_frame),
    "delays": ("latency", _latency),
    "curves": ("curves", _curves),
    "sessions": ("memory", _sessions),
}


# -- the frame around each


def _head(figure: Figure, title: str, subtitle: str) -> None:
    height = figure.get_figheight()
    figure.text(0.015, 1 - 0.2 / height, title, fontsize=17, fontweight="bold", va="top")
    figure.text(0.015, 1 - 0.56 / height, subtitle, fontsize=11, color=FAINT, va="top")


def _save(figure: Figure, record: Record, path: Path) -> None:
    about, height = record["about"], figure.get_figheight()
    foot = f"{about['date'][:10]}, {about['machine']}, Python {about['python']}, commit {about['commit']}"
    figure.text(0.015, 0.12 / height, foot, fontsize=8.5, color=FAINT)
    figure.tight_layout(rect=(0.005, 0.3 / height, 0.995, 1 - 0.85 / height))
    figure.savefig(path, dpi=120)
