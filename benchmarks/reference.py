"""What the media really holds: a second reader, in plain Python, for one kind of document. It shares no code
with kvsfast and is in no hurry."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.job import Server, Sums
from benchmarks.request import open_body

__all__ = ["Lap", "read_lap", "walk"]

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
TIMESTAMP, SIMPLE_BLOCK = 0xE7, 0xA3


@dataclass(frozen=True)
class Lap:
    """One pass over the media that a server repeats: everything up to the EBML header of fragment
    ``fragments``."""

    fragments: int
    media_bytes: int
    wire_bytes: int
    largest_fragment: int
    sums: Sums


class _Body:
    """A chunked body, one HTTP chunk at a time."""

    def __init__(self, sock: socket.socket, early: bytes) -> None:
        self._sock = sock
        self._early = early
        self._file = sock.makefile("rb", buffering=1 << 20)
        self.wire_bytes = 0

    def _take(self, size: int) -> bytes:
        early, self._early = self._early[:size], self._early[size:]
        data: bytes = early + self._file.read(size - len(early))
        if len(data) < size:
            raise EOFError(f"the body ended after {self.wire_bytes} bytes")
        self.wire_bytes += size
        return data

    def chunk(self) -> bytes:
        line = self._take(3)
        while line[-2:] != b"\r\n":
            line += self._take(1)
        return self._take(int(line, 16) + 2)[:-2]


def read_lap(server: Server, fragments: int) -> Lap:
    """Read the first ``fragments`` fragments of the stream."""
    sock, early = open_body(server)
    with sock:
        body = _Body(sock, early)
        media, ends, searched = bytearray(), [0], 1
        while len(ends) <= fragments:
            media += body.chunk()
            at = media.find(EBML.to_bytes(4, "big"), searched)
            searched = len(media) - 3 if at < 0 else at + 1
            if at >= 0:
                ends.append(at)
        wire_bytes = body.wire_bytes
    sizes = [end - start for start, end in pairwise(ends)]
    content = bytes(media[: ends[-1]])
    return Lap(fragments, len(content), wire_bytes, max(sizes), walk(content))


def walk(media: bytes) -> Sums:
    """The sums over documents of SimpleBlocks without lacing, times in ms. Segment and Cluster are walked
    into without regard to their size, everything else is passed over."""
    at = frames = size = time_ns = edges = cluster_ms = 0
    while at < len(media):
        identifier, at = _vint(media, at, keep_marker=True)
        length, at = _vint(media, at, keep_marker=False)
        if identifier in (SEGMENT, CLUSTER):
            continue
        if identifier == TIMESTAMP:
            cluster_ms = int.from_bytes(media[at : at + length], "big")
        elif identifier == SIMPLE_BLOCK:
            relative_ms = int.from_bytes(media[at + 1 : at + 3], "big", signed=True)
            frames += 1
            size += length - 4
            time_ns += (cluster_ms + relative_ms) * 1_000_000
            edges += media[at + 4] + media[at + length - 1]
        at += length
    return Sums(frames, size, time_ns, edges)


def _vint(media: bytes, at: int, *, keep_marker: bool) -> tuple[int, int]:
    width = 9 - media[at].bit_length()
    value = int.from_bytes(media[at : at + width], "big")
    return value if keep_marker else value & ~(1 << 7 * width), at + width
