"""Matroska to measure with, made by rule: the same bytes on every machine.

All sizes are written 8 bytes wide, as the producer SDK does, so that the head of a SimpleBlock has 13 bytes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from kvsfast.emulator import templates

__all__ = [
    "CLUSTER_OF_UNKNOWN_SIZE",
    "FRAME_MS",
    "clusters",
    "many_tracks",
    "matroska",
    "number",
    "service_documents",
    "service_head",
    "simple_block",
    "user_tags",
]

#: Between two frames.
FRAME_MS = 20

TIMESTAMP_SCALE_NS = 1_000_000

#: One that can be sent before it is over.
CLUSTER_OF_UNKNOWN_SIZE = bytes.fromhex("1F43B675 01FFFFFFFFFFFFFF")


def element(identifier: str, *content: bytes) -> bytes:
    """An element by its ID in hexadecimal."""
    data = b"".join(content)
    return bytes.fromhex(identifier) + (1 << 56 | len(data)).to_bytes(8, "big") + data


def number(identifier: str, value: int) -> bytes:
    return element(identifier, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def head(tracks: bytes | None = None) -> bytes:
    """EBML header, the header of a Segment of unknown size, Info, and Tracks: one video track if none are
    given."""
    ebml = element("1A45DFA3", element("4282", b"matroska"), number("4287", 4), number("4285", 2))
    info = element("1549A966", number("2AD7B1", TIMESTAMP_SCALE_NS), element("4D80", b"benchmarks"))
    return ebml + templates.SEGMENT_HEADER + info + (tracks or _one_track())


def _one_track() -> bytes:
    video = element("E0", number("B0", 1920), number("BA", 1080))
    track = [number("D7", 1), number("73C5", 1), number("83", 1), element("86", b"V_MPEG4/ISO/AVC")]
    private = element("63A2", bytes(range(43)))
    return element("1654AE6B", element("AE", *track, video, private))


def many_tracks(count: int, frames_each: int) -> bytes:
    """A document of so many tracks, up to 126, whose frames of 200 bytes take turns."""
    entries = (
        element("AE", number("D7", track), number("73C5", track), number("83", 2), element("86", b"A_AAC"))
        for track in range(1, count + 1)
    )
    tracks = element("1654AE6B", *entries)
    blocks = (
        simple_block(at, bytes(200), track=track)
        for at in range(frames_each)
        for track in range(1, count + 1)
    )
    return head(tracks) + element("1F43B675", number("E7", 0), *blocks)


def simple_block(time: int, payload: bytes, *, key: bool = False, track: int = 1) -> bytes:
    """``time``: against the Cluster's, in ms."""
    return element("A3", bytes([0x80 | track]), time.to_bytes(2, "big"), b"\x80" if key else b"\0", payload)


def clusters(fragments: Sequence[Sequence[int]]) -> list[bytes]:
    """One Cluster for each list of frame sizes."""
    payload = random.Random(5).randbytes
    made, time = [], 0
    for frames in fragments:
        blocks = [simple_block(at * FRAME_MS, payload(size), key=at == 0) for at, size in enumerate(frames)]
        made.append(element("1F43B675", number("E7", time), *blocks))
        time += len(frames) * FRAME_MS
    return made


def user_tags(count: int) -> bytes:
    """So many tags of a producer's own, in one Tags element."""
    pairs = (
        element("67C8", element("45A3", f"sensor-{at:03d}".encode()), element("4487", b"21.5"))
        for at in range(count)
    )
    return element("1254C367", element("7373", *pairs)) if count else b""


def matroska(fragments: Sequence[Sequence[int]], tags: int = 0) -> bytes:
    """A producer's file: what the emulator makes fragments of, each with so many tags."""
    before = user_tags(tags)
    return head() + b"".join(before + cluster for cluster in clusters(fragments))


def service_head(fragment: int) -> bytes:
    """What the service sends before the Cluster of its ``fragment``-th fragment."""
    fragment_number = f"{fragment + 1:047d}"
    return head() + b"".join(templates.before_cluster(fragment_number, "1700000000.250", "1700000000.000"))


def service_documents(fragments: Sequence[Sequence[int]]) -> bytes:
    """What the service makes of it: a document per Cluster, between the tags of its own."""
    return b"".join(
        service_head(at) + cluster + b"".join(templates.after_cluster(0, f"{at + 1:047d}"))
        for at, cluster in enumerate(clusters(fragments))
    )
