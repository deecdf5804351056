"""In which pieces a response comes off the wire: the sizes of its HTTP chunks, in order.

The real ones, when they lie beside the repository, are those of a recorded response (1080p H.264 by the
producer SDK). They show their media as well: each fragment is a run of small pieces (headers, tags), blocks
of a 13-byte head and the frame in pieces of at most 16 KiB, and a trailer of 174 bytes."""

from __future__ import annotations

import json
from itertools import cycle, islice
from pathlib import Path

__all__ = [
    "AUDIO_FRAME",
    "BLOCK_HEAD",
    "RECORDED",
    "audio_pieces",
    "frame_sizes",
    "full_hd_frames",
    "pieces_of",
    "recorded_pieces",
    "synthetic_pieces",
]

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "wire" / "getmedia-http-pieces.json"

#: ID, a size of 8 bytes, track number, time, flags: a SimpleBlock before its frame.
BLOCK_HEAD = 13
TRAILER = 174
SMALL_PIECES = (5, 12, 20, 26, 6, 39, 3, 17)
LARGEST_PIECE = 16_384
#: 20 ms of G.711, the usual audio of a camera.
AUDIO_FRAME = 160


def recorded_pieces() -> list[int] | None:
    """The sizes of a real response, None where they are not at hand."""
    if not RECORDED.exists():
        return None
    sizes: list[int] = json.loads(RECORDED.read_text())
    return sizes


def synthetic_pieces(fragments: int = 17) -> list[int]:
    """Sizes of the same shape by rule, for where there is no recording.

    A fragment: 32 small pieces that cycle through 5, 12, 20, 26, 6, 39, 3, 17; a key frame of 114 kB; 7
    further frames of 19 to 27 kB, each cut into pieces of 16,384 bytes and a rest; the trailer. Median 20
    bytes, two in three pieces below 64, 15 kB a frame and more: as recorded."""
    return pieces_of(full_hd_frames(fragments))


def full_hd_frames(fragments: int = 17) -> list[list[int]]:
    """By fragment."""
    return [
        [114_000, *(19_000 + (fragment * 7 + frame) * 1_237 % 8_000 for frame in range(1, 8))]
        for fragment in range(fragments)
    ]


def pieces_of(fragments: list[list[int]]) -> list[int]:
    """The pieces that such frames would come in."""
    sizes: list[int] = []
    for frames in fragments:
        sizes += islice(cycle(SMALL_PIECES), 32)
        for length in frames:
            sizes.append(BLOCK_HEAD)
            sizes += [LARGEST_PIECE] * (length // LARGEST_PIECE) + [length % LARGEST_PIECE]
        sizes.append(TRAILER)
    return [size for size in sizes if size]


def audio_pieces() -> list[int]:
    """Every frame in two pieces, head and payload: the hardest real shape for an HTTP layer."""
    return [BLOCK_HEAD, AUDIO_FRAME]


def frame_sizes(pieces: list[int]) -> list[list[int]]:
    """The frames that such pieces carried, by fragment. A fragment without its trailer is left out."""
    fragments: list[list[int]] = []
    frames: list[int] = []
    for size in pieces:
        if size == TRAILER and frames:
            fragments.append(frames)
            frames = []
        elif size == BLOCK_HEAD:
            frames.append(0)
        elif frames:
            frames[-1] += size
    return fragments
