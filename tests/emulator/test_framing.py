"""HTTP chunks: where payload is cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvsfast.emulator.framing import LARGEST_PIECE, LAST_CHUNK, Framing, cut, payload_size
from kvsfast.errors import UsageError
from tests.emulator import mkv
from tests.emulator.wire import http_chunks


def pieces_of(framing: Framing, part: bytes) -> list[bytes]:
    return http_chunks(framing.frame(part)[0] + LAST_CHUNK)


def test_one_http_chunk_per_element_as_on_the_wire() -> None:
    head = mkv.EBML_HEADER + mkv.SEGMENT_HEADER + mkv.INFO + mkv.TRACKS + mkv.tags("name", "value")
    body = mkv.cluster(0, [mkv.simple_block(b"x" * 100, 0), mkv.block_group(b"yz", 40)], unknown=True)
    pieces = pieces_of(Framing("element"), head)
    assert b"".join(pieces) == head
    assert [len(piece) for piece in pieces] == [
        len(mkv.EBML_HEADER),
        12,  # Segment
        *(5, 6, 7, 10),  # Info: header, CRC-32, TimestampScale, MuxingApp
        *(5, 9, 3, 11, 3, 17, 46, 2, 4, 4),  # Tracks, TrackEntry, leaves, CodecPrivate, Video and its leaves
        *(12, 10, 10, 7, 8),  # Tags, Tag, SimpleTag, TagName, TagString
    ]
    pieces = pieces_of(Framing("element"), body)
    assert b"".join(pieces) == body
    # Cluster with its Timestamp; Position; head of the SimpleBlock, its frame; BlockGroup, Block, frame,
    # duration.
    assert [len(piece) for piece in pieces] == [22, 3, 13, 100, 2, 6, 2, 4]


def test_frames_are_cut_where_the_service_cuts_them() -> None:
    block = mkv.simple_block(bytes(200_000), 0)
    sizes = [len(piece) for piece in pieces_of(Framing("element"), mkv.cluster(0, [block], position=False))]
    assert sizes[1:] == [13, LARGEST_PIECE, LARGEST_PIECE, LARGEST_PIECE, 200_000 - 3 * LARGEST_PIECE]
    assert LARGEST_PIECE == 64_845


def test_the_pieces_of_a_recorded_response_add_up_to_the_largest_piece(data: Path) -> None:
    sizes = json.loads((data / "wire/getmedia-http-pieces.json").read_text())
    # A frame's first piece, as TLS records cut it.
    at = sizes.index(16378)
    assert sum(sizes[at : at + 4]) == LARGEST_PIECE


def test_empty_frames_and_deep_nesting() -> None:
    tag = b""
    for _ in range(200):
        tag = mkv.element(0x67C8, tag)
    for body in (
        mkv.cluster(0, [mkv.simple_block(b"", 0)] * 2),
        mkv.element(0x1254C367, mkv.element(0x7373, tag)),
    ):
        assert b"".join(pieces_of(Framing("element"), body)) == body


@pytest.mark.parametrize("pieces", ["coalesced", "random", "byte", [12, 6, 19, 1000]])
def test_sizes(pieces: str | list[int]) -> None:
    body = mkv.cluster(0, [mkv.simple_block(bytes(range(256)) * 2000, 0)])
    framing = Framing(pieces, seed=3)  # type: ignore[arg-type]
    got = pieces_of(framing, body)
    assert b"".join(got) == body
    sizes = [len(piece) for piece in got]
    match pieces:
        case "coalesced":
            assert sizes == [len(body)]
        case "byte":
            assert set(sizes) == {1}
        case "random":
            assert len(set(sizes)) > 10
            assert sizes == [len(piece) for piece in pieces_of(Framing("random", seed=3), body)]
        case _:
            assert sizes[:8] == [12, 6, 19, 1000] * 2


def test_cuts_lie_between_http_chunks() -> None:
    blocks = [mkv.simple_block(bytes([n]) * 90_000, n) for n in range(3)]
    body = mkv.cluster(0, blocks)
    ends = [body.index(block) + len(block) for block in blocks]
    for pieces in ("element", "coalesced", "byte", [7]):
        units = Framing(pieces).frame(body, ends)
        assert len(units) == 4
        assert [b"".join(http_chunks(unit + LAST_CHUNK)) for unit in units] == [
            body[: ends[0]],
            blocks[1],
            blocks[2],
            b"",
        ]


@pytest.mark.parametrize("pieces", ["all", "", [], [0], [1.5], None])
def test_other_modes_are_refused(pieces: object) -> None:
    with pytest.raises(UsageError, match="pieces"):
        Framing(pieces)  # type: ignore[arg-type]


@pytest.mark.parametrize("pieces", ["element", "coalesced", [7, 30]])
def test_cut_at_every_payload_byte(pieces: str | list[int]) -> None:
    body = mkv.cluster(0, mkv.blocks(1, count=2, length=20))
    framed = Framing(pieces).frame(body)[0]  # type: ignore[arg-type]
    assert payload_size(framed) == len(body)
    for size in range(len(body) + 1):
        clean = cut(framed, size, whole_chunks=True)
        assert b"".join(http_chunks(clean + LAST_CHUNK)) == body[:size]
        broken = cut(framed, size, whole_chunks=False)
        assert framed.startswith(broken)
        assert len(broken) <= len(clean) + 2
