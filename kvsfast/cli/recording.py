"""Fragments written to files, whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kvsfast import Fragment
from kvsfast.errors import UsageError

__all__ = ["Keep", "check_output", "one_file", "one_file_each", "rotating_files"]

#: Called with each fragment that is to be written. It is in its file when this returns.
Keep = Callable[[Fragment], None]


def check_output(path: str | None, *, as_json: bool) -> None:
    """Whether standard output is free for media, if that is where they are to go. UsageError: it is not."""
    if path == "-":
        if as_json:
            raise UsageError("-o - and --json both want standard output")
        if sys.stdout.isatty():
            raise UsageError("-o - would write media to the terminal; redirect it, or name a file")


@contextmanager
def one_file(path: str | Path, *, append: bool = False) -> Iterator[Keep]:
    """Fragments byte for byte, one after the other; ``-`` is standard output. ``append``: to what is there.

    What an interruption left of a fragment is cut off, where the file is one that can be cut.
    """
    if path == "-":
        yield _to_stdout
        return
    with open(path, "ab" if append else "wb", buffering=0) as file:
        whole = file.tell()

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
        path = directory / f"{_name(fragment, written)}.mkv"
        # A file of this name is whole, however this ends.
        part = path.with_suffix(".part")
        try:
            fragment.to_mkv(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    return keep


@contextmanager
def rotating_files(directory: Path, seconds: float) -> Iterator[Keep]:
    """Files of about ``seconds`` of media each, by its server time, cut at the border of two fragments and
    named by the number of their first one: one document after the other, as the service sends them."""
    directory.mkdir(parents=True, exist_ok=True)
    written = 0
    began_ms: int | None = None
    current: Keep | None = None
    with ExitStack() as stack:

        def keep(fragment: Fragment) -> None:
            nonlocal written, began_ms, current
            written += 1
            at = fragment.server_timestamp_ms
            is_full = at is not None and (began_ms is None or not 0 <= at - began_ms < 1000 * seconds)
            if current is None or is_full:
                stack.close()
                current = stack.enter_context(one_file(directory / f"{_name(fragment, written)}.mkv"))
                began_ms = at
            current(fragment)

        yield keep


def _name(fragment: Fragment, place: int) -> str:
    """A number out of the media is only let into a path if it is one."""
    number = fragment.number or ""
    return number if number.isascii() and number.isdigit() and len(number) < 200 else f"{place:06d}"
