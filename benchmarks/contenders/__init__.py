"""Who runs in a race, each in a process of its own.

A contender is a command that takes a :class:`benchmarks.job.Job` on stdin and answers with an
:class:`benchmarks.job.Outcome` on stdout. Those in Python are functions of the modules here (``python -m
benchmarks.contenders NAME``); for others, derive from :class:`Contender` and build the program in
``command``."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from typing import Literal

__all__ = ["CONTENDERS", "Contender", "PythonContender"]


@dataclass(frozen=True)
class Contender:
    """``reads``: what must agree with the others: the sums over all "frames", or the number of "bytes" of the
    media or on the "wire". ``bare``: name of the bare loop that it is compared with, by the memory it has to
    go through."""

    name: str
    title: str
    reads: Literal["frames", "bytes", "wire"]
    bare: str = "bare"

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """What to run; it may be built now."""
        raise NotImplementedError


@dataclass(frozen=True)
class PythonContender(Contender):
    """``function``: "module.name" in this package. ``packages``: what it imports."""

    function: str = ""
    packages: tuple[str, ...] = ()

    def missing(self) -> str | None:
        absent = [package for package in self.packages if importlib.util.find_spec(package) is None]
        return f"not installed: {', '.join(absent)} (pip install 'kvsfast[bench]')" if absent else None

    def command(self) -> list[str]:
        return [sys.executable, "-m", "benchmarks.contenders", self.name]


CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        PythonContender("bare", "bare recv_into, ring of 1 MiB", "wire", function="sockets.bare"),
        PythonContender(
            "bare-fragments",
            "bare recv_into, ring of two fragments",
            "wire",
            "bare-fragments",
            "sockets.bare_fragments",
        ),
        PythonContender("frames", "kvsfast frames(), each touched", "frames", function="ours.frames"),
        PythonContender(
            "fragments",
            "kvsfast fragments(), each frame touched",
            "frames",
            "bare-fragments",
            "ours.fragments",
        ),
        PythonContender(
            "columns",
            "kvsfast fragments(), columns in numpy",
            "frames",
            "bare-fragments",
            "ours.columns",
            ("numpy",),
        ),
        PythonContender("read", "kvsfast read(65536), not parsed", "bytes", function="ours.read"),
        PythonContender(
            "boto3",
            "boto3 read(65536), not parsed",
            "bytes",
            function="libraries.boto3_read",
            packages=("boto3",),
        ),
        PythonContender(
            "pycurl",
            "pycurl to /dev/null, not parsed",
            "bytes",
            function="libraries.pycurl_discard",
            packages=("pycurl",),
        ),
    )
}
