"""What is streamed: media, and the pieces in which the server sends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import media, wire

__all__ = ["WORKLOADS", "Workload"]


@dataclass(frozen=True)
class Workload:
    """``make`` gives the sizes of the HTTP chunks (cycled over the payload) and of the frames, by
    fragment."""

    name: str
    title: str
    make: Callable[[], tuple[list[int], list[list[int]]]]

    def source(self) -> tuple[bytes, list[int]]:
        """The producer's file, which the server repeats, and the sizes of the HTTP chunks."""
        pieces, fragments = self.make()
        return media.matroska(fragments), pieces


def _full_hd() -> tuple[list[int], list[list[int]]]:
    pieces = wire.recorded_pieces() or wire.synthetic_pieces()
    return pieces, wire.frame_sizes(pieces)


def _audio() -> tuple[list[int], list[list[int]]]:
    return wire.audio_pieces(), [[wire.AUDIO_FRAME] * 400] * 16


_SHAPE = "recorded" if wire.RECORDED.exists() else "synthetic"

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("1080p", f"1080p H.264, {_SHAPE} piece sizes (median 20 bytes)", _full_hd),
        Workload("audio", "G.711 audio, 160-byte frames, each in pieces of 13 + 160 bytes", _audio),
    )
}
