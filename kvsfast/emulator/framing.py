"""HTTP chunks: how the payload of a response is divided among them, and their framing.

The real service writes one HTTP chunk per stored EBML element: headers of masters apart from their children,
the head of a block apart from its frame, frames in pieces of at most 64,845 bytes. A client's HTTP layer is
fast or slow on exactly that, so it is the default; the other ways are there to test (``random``, ``byte``)
and to measure (``coalesced``, a list of recorded sizes).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, repeat
from typing import Literal

from kvsfast.emulator import ebml
from kvsfast.errors import UsageError

__all__ = ["LAST_CHUNK", "Framing", "Pieces", "cut", "element_ends", "http_chunks", "payload_size"]

Pieces = Literal["element", "coalesced", "random", "byte"] | Sequence[int]

#: What the service writes of one element at a time (measured; 64 KiB less some room for a header).
LARGEST_PIECE = 64_845
#: A coalesced HTTP chunk is no larger than this.
COALESCED_PIECE = 1 << 20
#: The end of a chunked body: a chunk of size 0 and no trailer fields (RFC 9112, section 7.1).
LAST_CHUNK = b"0\r\n\r\n"

MAX_DEPTH = 32


class Framing:
    """One way to divide payload among HTTP chunks.

    ``pieces``: "element", "coalesced" (up to 1 MiB), "random" (1 B to 64 KiB, small ones as likely as large
    ones, reproducible by ``seed``), "byte", or a list of sizes that is cycled over the payload.
    """

    def __init__(self, pieces: Pieces = "element", *, seed: int = 0) -> None:
        self._sizes: Iterator[int] | None
        if pieces == "element":
            self._sizes = None
        elif pieces == "coalesced":
            self._sizes = repeat(COALESCED_PIECE)
        elif pieces == "byte":
            self._sizes = repeat(1)
        elif pieces == "random":
            uniform = random.Random(seed).uniform
            # Not a generator: sessions in several threads draw from it at once.
            self._sizes = iter(lambda: int(2 ** uniform(0, 16)), 0)
        elif (
            isinstance(pieces, str)
            or not pieces
            or not all(isinstance(size, int) and size > 0 for size in pieces)
        ):
            raise UsageError(
                f'pieces is {pieces!r}, expected "element", "coalesced", "random", "byte" or sizes in bytes'
            )
        else:
            self._sizes = cycle(pieces)

    def frame(self, part: bytes | memoryview, cuts: Iterable[int] = ()) -> list[bytes]:
        """Elements as HTTP chunks. The result is cut where ``cuts`` say, which must be ends of elements."""
        view = memoryview(part)
        ends = iter(element_ends(view)) if self._sizes is None else None
        framed = []
        at = 0
        for cut in [*cuts, len(view)]:
            upto = self._ends(at, cut) if ends is None else _until(ends, cut)
            framed.append(_framed(view, at, upto if at < cut else ()))
            at = cut
        return framed

    def frame_pieces(self, pieces: Sequence[bytes]) -> bytes:
        """The same for something that is known in the pieces in which the service writes it."""
        if self._sizes is None:
            return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])
        whole = b"".join(pieces)
        return _framed(memoryview(whole), 0, self._ends(0, len(whole)))

    def _ends(self, at: int, limit: int) -> Iterator[int]:
        assert self._sizes is not None
        while at < limit:
            at = min(at + next(self._sizes), limit)
            yield at


def http_chunks(framed: bytes) -> Iterator[tuple[int, int]]:
    """Where the data of each HTTP chunk begins and ends in what this module framed."""
    at = 0
    while at < len(framed):
        data = framed.index(b"\r\n", at) + 2
        end = data + int(framed[at : data - 2], 16)
        yield data, end
        at = end + 2


def payload_size(framed: bytes) -> int:
    """How many bytes are left when the framing is taken off."""
    return sum(end - data for data, end in http_chunks(framed))


def cut(framed: bytes, size: int, *, whole_chunks: bool) -> bytes:
    """What comes before payload byte ``size``.

    ``whole_chunks``: the last HTTP chunk is made as short as it must be; otherwise it is broken off as it is.
    """
    start = 0
    for data, end in http_chunks(framed):
        if size < end - data:
            if whole_chunks:
                return framed[:start] + (
                    b"%x\r\n%b\r\n" % (size, framed[data : data + size]) if size else b""
                )
            return framed[: data + size] if size else framed[:start]
        size -= end - data
        start = end + 2
    return framed


def _until(ends: Iterator[int], limit: int) -> Iterator[int]:
    for end in ends:
        yield end
        if end >= limit:
            return


def _framed(view: memoryview, at: int, ends: Iterable[int]) -> bytes:
    out: list[bytes | memoryview] = []
    for end in ends:
        out += (b"%x\r\n" % (end - at), view[at:end], b"\r\n")
        at = end
    return b"".join(out)


def element_ends(part: memoryview) -> Iterator[int]:
    """Where the pieces end in which the service writes these elements."""
    return _ends_of(part, 0, len(part), 0)


def _ends_of(part: memoryview, start: int, limit: int, depth: int) -> Iterator[int]:
    for element in ebml.children(part, start, limit):
        if element.id == ebml.EBML:
            yield element.end
        elif element.id == ebml.SEGMENT:
            yield element.data
            yield from _ends_of(part, element.data, element.end, depth + 1)
        elif element.id == ebml.CLUSTER:
            # The Cluster's header and its Timestamp are one piece.
            at = element.data
            for child in ebml.children(part, element.data, element.end):
                if child.id not in (ebml.CRC_32, ebml.TIMESTAMP):
                    break
                at = child.end
            yield at
            yield from _ends_of(part, at, element.end, depth + 1)
        elif element.id in (ebml.SIMPLE_BLOCK, ebml.BLOCK):
            data = element.data + ebml.block_prefix(part, element)
            yield data
            yield from _steps(data, element.end)
        elif element.id in ebml.MASTERS and depth < MAX_DEPTH:
            yield element.data
            yield from _ends_of(part, element.data, element.end, depth + 1)
        else:
            yield from _steps(element.start, element.end)


def _steps(start: int, end: int) -> Iterator[int]:
    yield from range(start + LARGEST_PIECE, end, LARGEST_PIECE)
    if start < end:
        yield end
