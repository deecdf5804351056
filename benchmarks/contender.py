"""What a contender is."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import KW_ONLY, dataclass
from typing import Literal

__all__ = ["Contender", "PythonContender"]


@dataclass(frozen=True)
class Contender:
    """``reads``: what must agree with the others: the sums over all "frames", or the number of "bytes" of the
    media or on the "wire". ``bare``: name of the bare loop that it is compared with, by the memory it has to
    go through. ``kind``: what nobody can do without ("floor"), kvsfast, or what one would use instead.
    ``quick``: takes part in a run of a minute. ``most_bytes`` of media that it is given, and ``most_rounds``
    that it takes part in (the first ones), for those that are slow and far from the others."""

    name: str
    title: str
    reads: Literal["frames", "bytes", "wire"]
    _: KW_ONLY
    bare: str = "bare"
    kind: Literal["floor", "kvsfast", "rival"] = "rival"
    quick: bool = False
    most_bytes: int | None = None
    most_rounds: int | None = None

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """What to run."""
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
