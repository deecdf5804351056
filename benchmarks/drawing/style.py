"""What all pictures have in common: the size of a slide, three colours, labels at the marks instead of a
legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FAINT", "FLOOR", "INK", "OURS", "PALE", "RIVAL", "STYLE", "Mark", "dots", "head", "save", "slide"]

OURS, FLOOR, RIVAL, INK, FAINT, PALE = "#E4572E", "#2E4057", "#8E9AA8", "#1B2430", "#5F6B7A", "#E3E7EC"
COLOURS = {"kvsfast": OURS, "floor": FLOOR, "rival": RIVAL}
STYLE: dict[Any, Any] = {
    "font.size": 12.5,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": "#C9D0D8",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 14,
    "axes.titlecolor": INK,
    "grid.color": "#ECEFF3",
    "xtick.color": FAINT,
    "ytick.color": INK,
    "xtick.minor.size": 0,
    "savefig.facecolor": "white",
}
WIDTH, HEIGHT = 13.33, 7.5
#: Inches above and below what is painted.
HEAD, FOOT = 1.25, 0.42


@dataclass(frozen=True)
class Mark:
    """A row of a dot plot. ``kind``: "kvsfast", "floor" or "rival"."""

    title: str
    value: float
    kind: str
    text: str


def slide() -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, HEIGHT))


def dots(axes: Axes, marks: Sequence[Mark], origin: float) -> None:
    """One below the other, the least on top, on a logarithmic axis: there a length from nought means nothing,
    but the way from ``origin`` is the factor."""
    marks = sorted(marks, key=lambda mark: mark.value)
    axes.set_xscale("log")
    axes.axvline(origin, color=FLOOR, linewidth=1.6, zorder=1)
    for row, mark in enumerate(marks):
        colour = COLOURS[mark.kind]
        ours = mark.kind == "kvsfast"
        axes.plot([origin, mark.value], [row, row], color=colour, lw=5 if ours else 3, alpha=0.45, zorder=2)
        axes.plot(mark.value, row, "o", color=colour, markersize=11 if ours else 8.5, zorder=3)
        axes.annotate(
            mark.text,
            (max(mark.value, origin), row),
            (10, 0),
            textcoords="offset points",
            va="center",
            color=colour if ours else INK,
            fontweight="bold" if ours else "normal",
        )
    axes.set_yticks(range(len(marks)), [mark.title for mark in marks])
    for label, mark in zip(axes.get_yticklabels(), marks, strict=True):
        if mark.kind == "kvsfast":
            label.set_color(OURS)
            label.set_fontweight("bold")
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.xaxis.set_minor_formatter(lambda _value, _at: "")
    axes.grid(axis="x")
    axes.tick_params(length=0, which="both")
    axes.spines["left"].set_visible(False)


def head(figure: Figure, title: str, subtitle: str) -> None:
    height = figure.get_figheight()
    figure.text(0.02, 1 - 0.25 / height, title, fontsize=22, fontweight="bold", va="top")
    figure.text(0.02, 1 - 0.74 / height, subtitle, fontsize=13, color=FAINT, va="top")


def save(figure: Figure, about: dict[str, str], path: Path) -> None:
    """With the place and time below, and in as few colours as are there: a third of the size."""
    from PIL import Image

    foot = f"{about['date'][:10]}, {about['machine']}, Python {about['python']}, commit {about['commit']}"
    figure.text(0.02, 0.14 / HEIGHT, foot, fontsize=10, color=FAINT)
    figure.tight_layout(rect=(0.01, FOOT / HEIGHT, 0.99, 1 - HEAD / HEIGHT), w_pad=2.5, h_pad=1.5)
    figure.savefig(path, dpi=96)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
