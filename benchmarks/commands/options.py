"""Options that several commands take, and what all of them write."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

__all__ = ["MEGABYTE", "add_json", "count", "say", "size", "write_json"]

MEGABYTE = 1_000_000


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every measurement, and where it was made, as JSON"
    )


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def size(text: str) -> int:
    """Bytes, as in 256MB or 1GB."""
    number = text.upper().removesuffix("B")
    for suffix, unit in (("G", 1000 * MEGABYTE), ("M", MEGABYTE), ("K", 1000)):
        if number.endswith(suffix):
            return int(float(number[:-1]) * unit)
    return int(number)


def write_json(path: Path | None, record: object) -> None:
    if path:
        path.write_text(json.dumps(record, indent=1) + "\n")


def say(what: str) -> None:
    """Progress, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
