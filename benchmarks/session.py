"""One session that goes on for gigabytes: that its memory does not grow.

``python -m benchmarks.session READER BYTES`` is the process that reads, with the server on stdin; it says how
much memory it had on the way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import kvsfast
from benchmarks.contenders.meter import forget_peak, resident
from benchmarks.contenders.ours import client_of
from benchmarks.job import Server
from benchmarks.machine import ROOT
from benchmarks.reference import read_lap
from benchmarks.server import serving
from benchmarks.workloads import WORKLOADS

__all__ = ["READERS", "Point", "Session", "run_session"]

SAMPLES = 200
#: Beside what the process has when the stream is open, all modules are imported, and nothing has been read.
ALLOWANCE = 8 << 20
#: The last fifth may have so much more than the first, after the very first samples.
FLAT = 1 << 20
#: Seconds after which a session is taken to hang: 50 MB/s for 20 GB.
HANG = 400.0


@dataclass(frozen=True)
class Point:
    read_bytes: int
    resident_bytes: int


@dataclass(frozen=True)
class Session:
    """``base_bytes``: resident before the first byte was read. ``limit_bytes``: what it may come to."""

    title: str
    transport: str
    base_bytes: int
    peak_bytes: int
    limit_bytes: int
    points: list[Point]

    def faults(self) -> list[str]:
        """What is wrong with it, a sentence each."""
        found = []
        if self.peak_bytes > self.limit_bytes:
            found.append(f"{self.title}: peak {_mib(self.peak_bytes)}, limit {_mib(self.limit_bytes)}")
        resident_bytes = [point.resident_bytes for point in self.points]
        fifth = len(resident_bytes) // 5
        grown = max(resident_bytes[-fifth:]) - max(resident_bytes[:fifth])
        if grown > FLAT:
            found.append(f"{self.title}: {_mib(grown)} more in the last fifth than in the first")
        return found


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _frames(media: kvsfast.MediaStream, say: Callable[[int], None]) -> None:
    read = 0
    for frame in media.frames():
        read += len(frame.data)
        say(read)


def _fragments(media: kvsfast.MediaStream, say: Callable[[int], None]) -> None:
    read = 0
    for fragment in media.fragments():
        read += len(fragment.raw)
        say(read)


#: Each with how many of the largest fragments it may hold.
READERS: dict[str, tuple[Callable[[kvsfast.MediaStream, Callable[[int], None]], None], int]] = {
    "frames": (_frames, 0),
    "fragments": (_fragments, 2),
}


def run_session(reader: str, workload: str, transport: str, size: int) -> Session:
    """In a process of its own, against a server of its own."""
    with serving([workload]) as servers:
        server = servers[workload, transport]
        lap = read_lap(server, len(WORKLOADS[workload].make()[1]))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.session", reader, str(size)],
            input=json.dumps(dataclasses.asdict(server)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=HANG,
            cwd=ROOT,
        )
    told = json.loads(done.stdout)
    points = [Point(*point) for point in told["points"]]
    limit = told["base"] + ALLOWANCE + READERS[reader][1] * lap.largest_fragment
    return Session(f"{reader}(), {transport}", transport, told["base"], told["peak"], limit, points)


class _Enough(Exception):
    """All was read."""


def main() -> None:
    reader, size = READERS[sys.argv[1]][0], int(sys.argv[2])
    server = Server(**json.loads(sys.stdin.read()))
    points: list[tuple[int, int]] = []
    step = size // SAMPLES

    def say(read: int) -> None:
        if read >= (len(points) + 1) * step:
            points.append((read, resident("VmRSS")))
            if read >= size:
                raise _Enough

    with client_of(server).get_media(server.stream, kvsfast.StartSelector.earliest()) as media:
        forget_peak()
        base = resident("VmRSS")
        with contextlib.suppress(_Enough):
            reader(media, say)
        print(json.dumps({"base": base, "peak": resident("VmHWM"), "points": points}))


if __name__ == "__main__":
    main()
