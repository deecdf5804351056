"""What a process measures of itself: CPU, wall clock, memory, and how soon the first frame came."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.job import Outcome, Sums

__all__ = ["Meter", "cpu_seconds", "forget_peak", "resident"]

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = "5"  # written to clear_refs, see proc(5)


class Meter:
    """Made just before the request; ``with meter:`` stands around the reading, and ``first`` is called in it
    when the first frame, or the first bytes, are there."""

    def __init__(self) -> None:
        self._asked = time.perf_counter()
        self._first_s = 0.0

    def __enter__(self) -> Self:
        forget_peak()
        self._base = resident("VmRSS")
        self._began = time.perf_counter()
        self._cpu = cpu_seconds()
        return self

    @property
    def has_first(self) -> bool:
        return self._first_s > 0

    def first(self) -> None:
        self._first_s = time.perf_counter() - self._asked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cpu_s = cpu_seconds() - self._cpu
        self._wall_s = time.perf_counter() - self._began
        self._peak = resident("VmHWM")

    def outcome(self, read_bytes: int, sums: Sums | None = None) -> Outcome:
        return Outcome(self._cpu_s, self._wall_s, self._first_s, self._base, self._peak, read_bytes, sums)


def forget_peak() -> None:
    """From now on the peak is that of what follows, on Linux."""
    if _STATUS.exists():
        _STATUS.with_name("clear_refs").write_text(_FORGET_PEAK)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident(field: str) -> int:
    """Bytes. Of Linux's own count where it is: ``ru_maxrss`` begins with what the parent process had at the
    fork."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
