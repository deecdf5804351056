"""Fragments written to files, whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvsfast import Fragment

__all__ = ["Keep", "one_file", "one_file_each"]

#: Called with each fragment that is to be written.
Keep = Callable[[Fragment], None]


@contextmanager
def one_file(path: str) -> Iterator[Keep]:
    """Fragments byte for byte, one after the other; ``-`` is standard output.

    What an interruption left of a fragment is cut off, where the file is one that can be cut.
    """
    if path == "-":
        yield _to_stdout
        return
    with open(path, "wb", buffering=0) as file:
        whole = 0

        def keep(fragment: Fragment) -> None:
            nonlocal whole
            rest = fragment.raw
            while rest:
                rest = rest[file.write(rest) :]
            whole += fragment.size

        try:
            yield keep
        finally:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.truncate(whole)


def _to_stdout(fragment: Fragment) -> None:
    sys.stdout.buffer.write(fragment.raw)
    sys.stdout.buffer.flush()


def one_file_each(directory: Path) -> Keep:
    """Each fragment as a document that plays, named by its number, or by its place where it has none."""
    directory.mkdir(parents=True, exist_ok=True)
    written = 0

    def keep(fragment: Fragment) -> None:
        nonlocal written
        written += 1
        # A number out of the media is only let into a path if it is one.
        number = fragment.number or ""
        name = number if number.isascii() and number.isdigit() and len(number) < 200 else f"{written:06d}"
        fragment.to_mkv(directory / f"{name}.mkv")

    return keep
