"""Pictures of a record, for a slide each: what the figures say is the title, ours is what has a colour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.record.figures import Figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Every picture that the record has the figures for, as PNG files in ``folder``; the others are removed,
    since they would show another run."""
    import matplotlib as mpl

    from benchmarks.drawing import cpu, fleet, latency, lines, perframe
    from benchmarks.drawing.style import STYLE, save

    pictures: dict[str, Callable[[Figures], Figure | None]] = {
        "cpu-1080p-tls": lambda figures: cpu.paint(figures, "tls"),
        "cpu-1080p-tcp": lambda figures: cpu.paint(figures, "tcp"),
        "per-frame": perframe.paint,
        "latency": latency.paint,
        "curves": lines.curves,
        "memory": lines.sessions,
        "fleet": fleet.paint,
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(STYLE):
        for name, paint in pictures.items():
            path = folder / f"{name}.png"
            path.unlink(missing_ok=True)
            if (figure := paint(figures)) is not None:
                save(figure, figures.record.about, path)
                written.append(path)
    return written
