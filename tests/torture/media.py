"""Tiny media whose every frame says which it is, so that a lost, repeated or mixed-up one is seen."""

from __future__ import annotations

import random
import struct
from functools import lru_cache

from tests.mkv_writer import VIDEO_TRACKS, cluster, ebml_header, info, segment, simple_block

_NAME = struct.Struct(">IIH")
#: Milliseconds of media per fragment, and between frames.
FRAGMENT_MS = 1000
FRAME_MS = 20


@lru_cache(1024)
def frames(stream: int, index: int) -> tuple[bytes, ...]:
    """The frames of a fragment: mostly small, some larger than what is copied out of a slab."""
    dice = random.Random(f"{stream}/{index}")
    sizes = [int(2 ** dice.uniform(0, 13 if dice.random() < 0.1 else 9)) for _ in range(dice.randrange(1, 6))]
    return tuple(_NAME.pack(stream, index, at) + dice.randbytes(size) for at, size in enumerate(sizes))


def name(frame: bytes | memoryview) -> tuple[int, int, int]:
    """Stream, fragment and place in it, as a frame says."""
    stream, index, at = _NAME.unpack_from(frame)
    return stream, index, at


def document(stream: int, first: int, last: int) -> bytes:
    """A Matroska file of the fragments from ``first`` to before ``last``."""
    clusters = [
        cluster(
            index * FRAGMENT_MS,
            *(
                simple_block(1, at * FRAME_MS, frame, keyframe=at == 0)
                for at, frame in enumerate(frames(stream, index))
            ),
        )
        for index in range(first, last)
    ]
    return ebml_header() + segment(info(), VIDEO_TRACKS, *clusters)
