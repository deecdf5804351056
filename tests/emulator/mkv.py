"""A few lines that write Matroska, so that every byte of a test's media is known."""

from __future__ import annotations

from collections.abc import Sequence


def size(value: int, width: int = 1) -> bytes:
    """An element size of the given width."""
    return (value | 1 << 7 * width).to_bytes(width)


def element(element_id: int, data: bytes = b"", *, width: int | None = None, unknown: bool = False) -> bytes:
    """An element; its size as narrow as it can be, or ``width`` bytes wide, or unknown."""
    header = element_id.to_bytes((element_id.bit_length() + 7) // 8)
    if unknown:
        return header + b"\x01" + b"\xff" * 7 + data
    narrowest = next(n for n in range(1, 9) if len(data) < (1 << 7 * n) - 1)
    return header + size(len(data), width or narrowest) + data


def uint(element_id: int, value: int, width: int = 8) -> bytes:
    return element(element_id, value.to_bytes(width))


EBML_HEADER = element(0x1A45DFA3, element(0x4282, b"matroska\0") + uint(0x4287, 4, 1) + uint(0x4285, 2, 1))
SEGMENT_HEADER = bytes.fromhex("18538067 01FFFFFFFFFFFFFF")
VOID = element(0xEC, bytes(40))
CRC_32 = element(0xBF, b"\xde\xad\xbe\xef")
SEEK_HEAD = element(
    0x114D9B74, CRC_32 + element(0x4DBB, element(0x53AB, b"\x15\x49\xa9\x66") + uint(0x53AC, 999, 2))
)
CUES = element(
    0x1C53BB6B, element(0xBB, uint(0xB3, 0, 1) + element(0xB7, uint(0xF7, 1, 1) + uint(0xF1, 500, 2)))
)
INFO = element(0x1549A966, CRC_32 + uint(0x2AD7B1, 1_000_000, 3) + element(0x4D80, b"test\0\0\0"))
TRACKS = element(
    0x1654AE6B,
    element(
        0xAE,
        uint(0xD7, 1, 1)
        + uint(0x73C5, 77, 8)
        + uint(0x83, 1, 1)
        + element(0x86, b"V_MPEG4/ISO/AVC")
        + element(0x63A2, bytes(range(43)))
        + element(0xE0, uint(0xB0, 1920, 2) + uint(0xBA, 1080, 2)),
        width=8,
    ),
)


def tags(name: str, value: str) -> bytes:
    """A Tags element with one SimpleTag, sizes 8 bytes wide as the producer SDK writes them."""
    simple = element(0x67C8, element(0x45A3, name.encode()) + element(0x4487, value.encode()), width=8)
    return element(0x1254C367, element(0x7373, simple, width=8), width=8)


def simple_block(data: bytes, time: int, track: int = 1, flags: int = 0x80) -> bytes:
    return element(0xA3, size(track) + time.to_bytes(2, signed=True) + bytes([flags]) + data, width=8)


def block_group(data: bytes, time: int, track: int = 1) -> bytes:
    return element(
        0xA0, element(0xA1, size(track) + time.to_bytes(2, signed=True) + b"\0" + data) + uint(0x9B, 40, 2)
    )


def cluster(
    timestamp: int, blocks: Sequence[bytes], *, unknown: bool = False, position: bool = True
) -> bytes:
    head = uint(0xE7, timestamp) + (uint(0xA7, 3, 1) if position else b"")
    return element(0x1F43B675, head + b"".join(blocks), unknown=unknown)


def frames(fragment: int, count: int = 5, length: int = 300) -> list[bytes]:
    """Payloads that tell where they come from."""
    return [bytes([fragment, index]) * (length // 2) for index in range(count)]


def blocks(fragment: int, count: int = 5, length: int = 300, step: int = 40) -> list[bytes]:
    return [simple_block(data, step * index) for index, data in enumerate(frames(fragment, count, length))]


def document(*parts: bytes, unknown: bool = False) -> bytes:
    return EBML_HEADER + element(0x18538067, b"".join(parts), unknown=unknown)


def clip(
    fragments: int = 4, *, unknown: bool = False, start: int = 0, duration: int = 200, **how: int
) -> bytes:
    """Fragments of five frames and 200 ms each, unless told otherwise."""
    clusters = [cluster(start + n * duration, blocks(n, **how), unknown=unknown) for n in range(fragments)]
    return document(SEEK_HEAD, VOID, INFO, TRACKS, *clusters, CUES, unknown=unknown)
