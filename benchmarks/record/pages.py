"""Writes what a record says into pages, between ``<!-- record: NAME -->`` and ``<!-- end -->``, and paints
its plots. What stands outside of the marks is written by hand."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.record.figures import Figures
from benchmarks.record.store import Record
from benchmarks.record.summary import summary
from benchmarks.record.tables import BLOCKS

__all__ = ["HOME", "PAGES", "filled", "render"]

#: Where the record of record is: committed, with its pages and plots.
HOME = ROOT / "benchmarks"
PAGES = (HOME / "README.md", ROOT / "README.md")

_BLOCK = re.compile(r"(<!-- record: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, figures: Figures) -> str:
    """The page with each of its blocks as the record has it. KeyError for a block that is not known."""
    blocks = {**BLOCKS, "summary": summary}
    return _BLOCK.sub(lambda match: f"{match[1]}\n{blocks[match[2]](figures)}\n\n{match[3]}", page)


def render(record: Record, out: Path) -> list[Path]:
    """All pages and plots. In `HOME` the pages are filled in place; elsewhere copies lie side by side."""
    from benchmarks.drawing import draw

    figures = Figures(record)
    written = []
    for page in PAGES:
        path = page if out.resolve() == HOME else out / "-".join(page.relative_to(ROOT).parts)
        path.write_text(filled(page.read_text(encoding="utf-8"), figures), encoding="utf-8")
        written.append(path)
    return written + draw(figures, out / "plots")
