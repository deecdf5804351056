"""Where the command writes: data to stdout, messages to stderr; colours only on a terminal, and with rich."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "clock", "console", "note", "printable", "quantity"]


class Output:
    """Lines of data on stdout: for people, or as JSON, one object per line."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console = None if as_json else console(sys.stdout)

    def line(self, *parts: str | tuple[str, str]) -> None:
        """A line of plain parts and of (text, style)."""
        if self._console is None:
            sys.stdout.write(
                "".join(part if isinstance(part, str) else part[0] for part in parts).rstrip() + "\n"
            )
            return
        from rich.text import Text

        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def record(self, **fields: Any) -> None:
        """One JSON object."""
        sys.stdout.write(json.dumps(fields, default=_plain, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def note(text: str) -> None:
    """A message, which is no data."""
    print(text, file=sys.stderr, flush=True)


def console(stream: TextIO) -> Console | None:
    """Rich's console on a terminal; None where there is no rich or no terminal."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream, highlight=False)


def printable(text: str) -> str:
    """Text out of media, made harmless for a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def clock(when: datetime | None) -> str:
    """A UTC time to the millisecond."""
    return "-" if when is None else f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


def quantity(number: int, noun: str) -> str:
    """``1 frame``, ``2,000 frames``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return clock(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
