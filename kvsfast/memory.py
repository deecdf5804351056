"""What receive memory costs at the moment: in use, pinned by views, kept for reuse."""

from __future__ import annotations

from typing import NamedTuple

from kvsfast._native import chunked

__all__ = ["MemoryStats", "memory_stats"]


class MemoryStats(NamedTuple):
    """Bytes of receive memory of this process.

    ``in_use``: held by readers that are open, or pinned by frames, fragments and views that are still alive;
    with no reader open, all of it is pinned. ``slabs``: how many pieces that is. ``free``: kept for reuse, at
    most 64 MiB, or the two pieces that were used last, if they are larger.
    """

    in_use: int
    slabs: int
    free: int


def memory_stats() -> MemoryStats:
    """A snapshot. A kept frame above 2 KiB pins a slab of 128 KiB or more; ``frame.copy()`` does not."""
    free, slabs, in_use = chunked.pool_stats()
    return MemoryStats(in_use, slabs, free)
