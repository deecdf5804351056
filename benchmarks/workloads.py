"""What is streamed: media, and the pieces in which the server sends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import media, wire

__all__ = ["WORKLOADS", "Workload"]


@dataclass(frozen=True)
class Workload:
    """``make`` gives the sizes of the HTTP chunks (cycled over the payload) and of the frames, by fragment.
    ``tags``: of the producer's own, for each fragment."""

    name: str
    title: str
    make: Callable[[], tuple[list[int], list[list[int]]]]
    tags: int = 0

    def source(self) -> tuple[bytes, list[int]]:
        """The producer's file, which the server repeats, and the sizes of the HTTP chunks."""
        pieces, fragments = self.make()
        return media.matroska(fragments, self.tags), pieces


def _full_hd() -> tuple[list[int], list[list[int]]]:
    pieces = wire.recorded_pieces() or wire.synthetic_pieces()
    return pieces, wire.frame_sizes(pieces)


def _audio(frame: int = wire.AUDIO_FRAME) -> tuple[list[int], list[list[int]]]:
    return [wire.BLOCK_HEAD, frame], [[frame] * 400] * 16


def _alike(fragments: int, frames: int, size: int, key: int = 0) -> tuple[list[int], list[list[int]]]:
    """Fragments of a key frame, or none that is larger, and frames of about ``size``."""
    made = [
        [key or size, *(size * (9 + (fragment + frame) % 3) // 10 for frame in range(1, frames))]
        for fragment in range(fragments)
    ]
    return wire.pieces_of(made), made


_SHAPE = "recorded" if wire.RECORDED.exists() else "synthetic"

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("1080p", f"1080p H.264, {_SHAPE} piece sizes (median 20 bytes)", _full_hd),
        Workload("audio", "G.711 audio, 160-byte frames, each in pieces of 13 + 160 bytes", _audio),
        Workload("aac", "audio, 1,024-byte frames, each in pieces of 13 + 1,024 bytes", lambda: _audio(1024)),
        Workload(
            "200mbit",
            "1080p at 200 Mbit/s: fragments of a second, 25 MB",
            lambda: _alike(2, 30, 800_000, 1_800_000),
        ),
        Workload("4k", "4K: key frames of 800 kB, others of 120 kB", lambda: _alike(8, 30, 120_000, 800_000)),
        Workload("10mb", "fragments of 10 MB", lambda: _alike(4, 100, 100_000)),
        Workload("50mb", "fragments of 50 MB", lambda: _alike(2, 200, 250_000)),
        Workload("tags", "1080p with 200 tags of the producer's in each fragment", _full_hd, tags=200),
    )
}
