"""From the server's send to the frame in hand: each frame a dot."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from benchmarks.drawing.style import FAINT, INK, OURS, RIVAL, head, slide
from benchmarks.record.figures import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["paint"]

TRANSPORTS = {"tls": "TLS 1.3", "tcp": "plain TCP"}
#: Milliseconds. What is less stands here, and so does what is negative: the client may be quicker than the
#: return of the send.
LEAST = 0.01


def paint(figures: Figures) -> Figure | None:
    delays = figures.result("latency").get("delays", ())
    ours = figures.delay("kvsfast frames()", "tls")
    if ours is None:
        return None
    figure = slide()
    for axes, (transport, title) in zip(figure.subplots(2, 1, sharex=True), TRANSPORTS.items(), strict=True):
        _strips(axes, [one for one in delays if one["transport"] == transport])
        axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel("milliseconds, logarithmic; each frame a dot, the median in figures", color=FAINT)
    head(
        figure,
        f"A frame is in your hands {ours['median_ms']:.2f} ms after its last byte",
        "one frame of 500 bytes each 50 ms; from the return of the server's send to the user's loop",
    )
    return figure


def _strips(axes: Axes, delays: list[dict[str, Any]]) -> None:
    scatter = random.Random(1)
    axes.set_xscale("log")
    for row, one in enumerate(delays):
        is_ours = one["reader"].startswith("kvsfast frames")
        colour = OURS if is_ours else RIVAL
        values = [max(LEAST, value) for value in one["each_ms"]]
        axes.plot(
            values, [row + scatter.uniform(-0.22, 0.22) for _ in values], "o", color=colour, ms=4, alpha=0.35
        )
        median = max(LEAST, one["median_ms"])
        axes.plot([median, median], [row - 0.36, row + 0.36], color=INK if not is_ours else OURS, lw=2.5)
        axes.annotate(
            f"{one['median_ms']:,.2f} ms" if median < 10 else f"{one['median_ms']:,.0f} ms",
            (max(values), row),
            (9, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if is_ours else "normal",
            color=OURS if is_ours else INK,
        )
    axes.set_yticks(range(len(delays)), [one["reader"] for one in delays])
    for label, one in zip(axes.get_yticklabels(), delays, strict=True):
        if one["reader"].startswith("kvsfast frames"):
            label.set_color(OURS)
            label.set_fontweight("bold")
    axes.set_ylim(len(delays) - 0.45, -0.55)
    axes.set_xlim(LEAST, 30_000)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(axis="x")
    axes.tick_params(length=0, which="both")
    axes.spines["left"].set_visible(False)
