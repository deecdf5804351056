"""Tables in the terminal: by rich on a terminal where it is installed, plain otherwise."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

__all__ = ["print_table"]


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """The first column is text, the others are numbers."""
    if importlib.util.find_spec("rich") is None or not sys.stdout.isatty():
        _print_plain(title, columns, rows, note)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", caption=note or None, box=box.SIMPLE_HEAD
    )
    table.caption_justify = "left"
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left", no_wrap=at > 0)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _print_plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> None:
    widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]
    print(f"\n{title}")
    for row in [columns, ["-" * width for width in widths], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    if note:
        print(note)
