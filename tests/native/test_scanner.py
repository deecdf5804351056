"""The element walk as a tree: what `kvsfast inspect` shows."""

from __future__ import annotations

import random

import pytest

from kvsfast import LimitExceeded, Limits, MediaError
from kvsfast._native.scanner import ElementReader
from tests import hostile
from tests.mkv_writer import (
    cluster,
    ebml_header,
    element,
    info,
    leaf,
    segment,
    service_fragment,
    simple_block,
    tags,
    track_entry,
    tracks,
    void,
)

Row = tuple[int, str, int, int | None, object]


def walk(data: bytes, step: int, limits: Limits | None = None) -> tuple[list[Row], bool]:
    reader = ElementReader(limits or Limits())
    rows: list[Row] = []
    for pos in range(0, len(data), step):
        piece = data[pos : pos + step]
        with memoryview(reader.buffer) as window:
            window[: len(piece)] = piece
        reader.buffer.commit(len(piece))
        while (e := reader.next_element()) is not None:
            rows.append((e.depth, e.name, e.offset, e.size, e.value if e.value is not None else e.head))
    return rows, reader.is_clean


def test_every_element_with_its_place_and_value() -> None:
    data = (
        ebml_header()
        + segment(
            info(Title="a film"),
            tracks(track_entry(1, element("Video", leaf("PixelWidth", 640)), Name="camera")),
            void(5),
            cluster(7, simple_block(1, 0, b"frame"), simple_block(1, 40, b"x" * 300), unknown=1),
            tags(("place", "hall")),
            element(b"\x4d\x4d", b"new"),
        )
        + void(3)
    )
    rows, clean = walk(data, len(data))
    assert clean
    for step in (1, 2, 3, 7, 100):
        assert walk(data, step) == (rows, clean)
    names = [name for _, name, *_ in rows]
    assert names[0] == "EBML"
    assert names[-1] == "Void"
    values = {name: value for _, name, _, _, value in rows}
    assert values["Title"] == "a film"
    assert values["PixelWidth"] == 640
    assert values["Name"] == "camera"
    assert values["TagString"] == "hall"
    assert values["Unknown"] == b"new"
    assert values["Timestamp"] == 7
    for depth, name, offset, size, value in rows:
        if name == "SimpleBlock" and size is not None and size > 256:
            assert isinstance(value, bytes)
            assert len(value) == 32, "of a large payload only the first bytes"
            assert value in data[offset:]
        if name == "Segment":
            assert (depth, size) == (0, None)
    depths = {name: depth for depth, name, *_ in rows}
    assert (depths["Info"], depths["Title"], depths["PixelWidth"], depths["Unknown"]) == (1, 2, 4, 1)


@pytest.mark.parametrize("name", [name for name in hostile.CASES if name[:2] not in ("01", "15")])
def test_hostile_input_ends_in_a_media_error_or_cleanly(name: str) -> None:
    data = hostile.CASES[name].data
    outcomes = set()
    for step in (65_536, 13, 1):
        if len(data) > 100_000 and step < 65_536:
            continue
        try:
            outcomes.add(str(len(walk(data, step)[0])))
        except MediaError as error:
            outcomes.add(str(error))
    assert len(outcomes) == 1, outcomes


def test_random_bytes_never_do_anything_else() -> None:
    dice = random.Random(3)
    seed = service_fragment()
    for _ in range(300):
        data = bytearray(seed)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            walk(bytes(data), 1000)
        except MediaError as error:
            assert error.offset <= len(data)


def test_strings_are_limited() -> None:
    with pytest.raises(LimitExceeded, match="max_string_size=10") as caught:
        walk(ebml_header() + segment(info(Title="x" * 11)), 100, Limits(max_string_size=10))
    assert (caught.value.declared, caught.value.limit) == (11, 10)
