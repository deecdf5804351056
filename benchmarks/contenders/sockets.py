"""What nobody can do without: receiving. HTTP framing stays in, nothing is looked at."""

from __future__ import annotations

from benchmarks.contenders.meter import Meter
from benchmarks.job import Job, Outcome
from benchmarks.request import open_body

__all__ = ["bare", "bare_fragments"]

#: As much as kvsfast asks for at a time.
WINDOW = 65_536


def bare(job: Job) -> Outcome:
    return _loop(job, 1 << 20)


def bare_fragments(job: Job) -> Outcome:
    """Who hands out whole fragments goes through more memory than a cache holds; so does this."""
    return _loop(job, 2 * job.largest_fragment)


def _loop(job: Job, ring: int) -> Outcome:
    windows = ring // WINDOW + 1
    memory = bytearray(windows * WINDOW)
    memory[:] = bytes(len(memory))  # no page faults later
    views = [memoryview(memory)[at * WINDOW : (at + 1) * WINDOW] for at in range(windows)]
    meter = Meter()
    sock, early = open_body(job.server)
    with sock:
        recv_into = sock.recv_into
        left = job.wire_bytes - len(early)
        with meter:
            at = 0
            left -= recv_into(views[at])
            meter.first()
            while left > 0:
                at = (at + 1) % windows
                left -= recv_into(views[at], min(left, WINDOW))
        return meter.outcome(job.wire_bytes - left)
