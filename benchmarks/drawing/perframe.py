"""What a frame of 200 bytes costs in memory, beside other parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.drawing.style import FAINT, FLOOR, Mark, dots, head, slide
from benchmarks.record.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["paint"]

OURS = {
    "fragments(): columns": "kvsfast: columns",
    "frames(): iterated": "kvsfast: Frame objects",
    "frames(): one attribute read": "kvsfast: one attribute read",
}


def paint(figures: Figures) -> Figure | None:
    limit = figures.timing("tiny", "C: push parser")
    frames = figures.timing("tiny", "frames(): iterated")
    if limit is None or frames is None:
        return None
    marks = []
    for title, label in OURS.items():
        if (one := figures.timing("tiny", title)) is not None:
            marks.append(_mark(label, one, "kvsfast"))
    own = {one["title"] for one in figures.result("micro").get("tiny", ())}
    rivals = [one for one in figures.result("micro-rivals").get("tiny", ()) if one["title"] not in own]
    marks += [_mark(one["title"].replace("Python: ", ""), one, "rival") for one in rivals]
    figure = slide()
    axes = figure.subplots()
    dots(axes, marks, limit["median"])
    values = [mark.value for mark in marks]
    axes.set_xlim(min(*values, limit["median"]) / 1.3, max(values) * 1.6)
    axes.annotate(
        f"C: parse and copy each payload, nothing else: {limit['median']:.0f} ns",
        (limit["median"], 1),
        (0, 6),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=FLOOR,
    )
    axes.set_xlabel("CPU nanoseconds per frame, logarithmic", color=FAINT)
    nearest = min((one["median"] for one in rivals), default=None)
    title = f"A Frame object in {frames['median']:.0f} ns"
    if nearest is not None:
        title += f"; the next parser takes {nearest:.0f}"
    head(figure, title, "frames of 200 bytes, 1,000 in a document, in memory; median of rounds")
    return figure


def _mark(title: str, timing: dict[str, Any], kind: str) -> Mark:
    return Mark(title, timing["median"], kind, f"{timing['median']:,.0f}")
