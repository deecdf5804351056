"""What the workers have in common: where everything is, what they report, and what may be left of them."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import kvsfast
from tests.torture.house import Closed
from tests.torture.ledger import Audit, Ledger, audit
from tests.torture.plan import Plan
from tests.torture.session import Run

#: A session that delivers nothing for so long has lost something, or hangs.
STUCK_AFTER = 60.0
#: For connections and threads to be gone when all is over.
PATIENCE = 60.0
#: Of resident memory, before it can be said to be flat.
LEAST_SAMPLES = 25
#: Consumers of one session, before it is called stuck.
MOST_RUNS = 400


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    address: str
    folder: Path
    dynamodb_url: str

    def ledger(self, plan: Plan) -> Path:
        return self.folder / f"{plan.name}.ledger"

    def database(self, plan: Plan) -> str:
        return str(self.folder / f"{plan.name}.db")


@dataclass
class Result:
    """A session that is over."""

    plan: Plan
    audit: Audit
    closed: Closed
    runs: int
    kills: int = 0
    crashes: int = 0
    stuck: bool = False
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


@dataclass
class Leaks:
    """What a worker had more of at its end than at its beginning. ``grown``: KiB of resident memory between
    the second quarter of its sessions and the last; ``resident``: all of it, by twenty samples."""

    sockets: int = 0
    threads: int = 0
    receive_memory: int = 0
    grown: int = 0
    resident: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Report:
    """All of a worker."""

    results: list[Result] = field(default_factory=list)
    leaks: Leaks = field(default_factory=Leaks)


def result_of(place: Place, plan: Plan, closed: Closed, ledger: Ledger, **details: object) -> Result:
    ledger.close()
    by_frame = plan.granularity != "fragments"
    found = audit(ledger.lines(), plan.stream, plan.count, by_frame=by_frame)
    if found.is_clean and not details.get("stuck"):
        place.ledger(plan).unlink()
        for suffix in ("", "-wal", "-shm"):
            Path(place.database(plan) + suffix).unlink(missing_ok=True)
    return Result(plan, found, closed, **details)  # type: ignore[arg-type]


class Watch:
    """Whether a ledger has grown lately. ``run``: who writes it, if that is a thread."""

    def __init__(self, path: Path) -> None:
        self.run: Run | None = None
        self._path = path
        self._size, self._since = -1, time.monotonic()

    @property
    def is_stuck(self) -> bool:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:  # not yet, or not any more
            size = 0
        if size != self._size:
            self._size, self._since = size, time.monotonic()
        return time.monotonic() - self._since > STUCK_AFTER

    def stop_what_is_stuck(self) -> None:
        """So that the thread that waits in it comes back."""
        if self.run is not None and self.is_stuck:
            self.run.stop()


class Baseline:
    """What the process has when nothing goes on."""

    def __init__(self) -> None:
        self._sockets = _sockets()
        self._threads = {thread.name for thread in threading.enumerate()}
        self._memory: list[int] = []

    def sample(self) -> None:
        """After a session."""
        self._memory.append(_resident())

    def leaks(self) -> Leaks:
        # Botocore leaves its idle connections to the garbage collector, and an error that ended a session
        # holds its frames, which hold it. What is left after a collection, nobody will ever close.
        gc.collect()
        until = time.monotonic() + PATIENCE
        while (left := self._left()) != (set(), set()) and time.monotonic() < until:
            time.sleep(0.05)
        sockets, threads = left
        in_use = kvsfast.memory_stats().in_use
        leaks = Leaks(len(sockets), len(threads), in_use, notes=sorted(sockets | threads))
        leaks.resident = self._memory[:: max(1, len(self._memory) // 20)]
        quarter = len(self._memory) // 4
        if quarter >= LEAST_SAMPLES:
            before, after = self._memory[quarter : 2 * quarter], self._memory[-quarter:]
            leaks.grown = sorted(after)[quarter // 2] - sorted(before)[quarter // 2]
        return leaks

    def _left(self) -> tuple[set[str], set[str]]:
        threads = {thread.name for thread in threading.enumerate()}
        return _sockets() - self._sockets, threads - self._threads


def _sockets() -> set[str]:
    """Sockets of this process, by where they lead."""
    found = set()
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{each}")
            if name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(each))) as copy:
                    found.add(f"{name} to {copy.getpeername()}")
    return found


def _resident() -> int:
    """KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024
