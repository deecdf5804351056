"""``kvsfast inspect`` against media whose elements, frames and fragments are known."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from kvsfast.emulator.clip import CLIP
from tests.cli.command import PATIENCE, command, environment, run, run_on_terminal
from tests.ffmpeg_tools import needs_ffmpeg, packets
from tests.mkv_writer import (
    block_group,
    cluster,
    ebml_header,
    error_document,
    info,
    segment,
    service_fragment,
    simple_block,
    tag,
    tags,
    track_entry,
    tracks,
    void,
)

HEAD = ebml_header() + segment(info(), tracks(track_entry(1)))


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A plain document with five SimpleBlocks, a BlockGroup and a Void in its Cluster."""
    blocks = [simple_block(1, 40 * i, bytes([i]) * 20, keyframe=i == 0) for i in range(5)]
    path = tmp_path / "document.mkv"
    path.write_bytes(HEAD + cluster(0, *blocks, block_group(1, 200, b"frame"), void(300)))
    return path


def test_json_tree_holds_every_byte_of_the_clip(capsys: pytest.CaptureFixture[str]) -> None:
    data = CLIP.read_bytes()
    shown = run(capsys, "inspect", CLIP, "--json")
    assert (shown.code, shown.err) == (0, "")
    expected_next = 0
    for element in shown.records:
        assert element["offset"] == expected_next, "elements follow each other without gap or overlap"
        identifier = bytes.fromhex(element["id"])
        assert data.startswith(identifier, element["offset"])
        payload_at = element["offset"] + element["header_size"]
        payload = data[payload_at : payload_at + element["size"]]
        if element["type"] == "uint":
            assert element["value"] == int.from_bytes(payload)
        elif element["type"] in ("string", "utf-8"):
            assert element["value"] == payload.rstrip(b"\0").decode()
        expected_next = payload_at if element["type"] == "master" else payload_at + element["size"]
    assert expected_next == len(data)
    assert sum(element["name"] == "SimpleBlock" for element in shown.records) == 8 * 72


def test_tree_of_text_sums_up_runs(capsys: pytest.CaptureFixture[str], document: Path) -> None:
    shown = run(capsys, "inspect", document)
    lines = [
        line.split(maxsplit=2)[2] if line[:10].strip() else line.strip() for line in shown.out.splitlines()
    ]
    start = lines.index("Timestamp  0")
    assert lines[start + 1 :] == [
        "SimpleBlock  track 1, +0, key",
        "SimpleBlock  track 1, +40",
        "... 3 more SimpleBlock, 78 bytes",
        "BlockGroup",
        "Block  track 1, +200",
        "Void",
    ]


def test_all_shows_every_block(capsys: pytest.CaptureFixture[str], document: Path) -> None:
    shown = run(capsys, "inspect", document, "--all")
    assert shown.out.count("SimpleBlock") == 5
    assert "more" not in shown.out


def test_a_run_of_block_groups_is_summed_up_with_its_children(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "groups.mkv"
    path.write_bytes(HEAD + cluster(0, *(block_group(1, i, b"frame", duration=i) for i in range(1, 7))))
    shown = run(capsys, "inspect", path)
    assert shown.out.count("BlockDuration") == 2
    assert "... 4 more BlockGroup" in shown.out


def test_depth_cuts_the_tree(capsys: pytest.CaptureFixture[str], document: Path) -> None:
    shown = run(capsys, "inspect", document, "--depth", 2, "--json")
    assert {element["depth"] for element in shown.records} == {0, 1}
    assert [element["name"] for element in shown.records if element["depth"] == 1][-3:] == [
        "Info",
        "Tracks",
        "Cluster",
    ]
    shown = run(capsys, "inspect", document, "--depth", 1)
    assert [line.split()[2] for line in shown.out.splitlines()[1:]] == ["EBML", "Segment"]


@needs_ffmpeg
def test_frames_are_those_of_ffprobe(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "inspect", CLIP, "--frames", "--json")
    ours = [
        (frame["track"] - 1, frame["media_time_ns"] // 1_000_000, frame["size"], frame["keyframe"])
        for frame in shown.records
    ]
    assert ours == [
        (packet.stream, round(packet.pts_ms or 0), packet.size, packet.is_keyframe)
        for packet in packets(CLIP)
    ]
    assert {frame["codec"] for frame in shown.records} == {"V_MPEG4/ISO/AVC", "A_AAC"}


def test_a_line_per_frame(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "fragment.mkv"
    path.write_bytes(service_fragment(producer_ms=1_700_000_000_500))
    frames = run(capsys, "inspect", path, "--frames", "--json").records
    lines = run(capsys, "inspect", path, "--frames").out.splitlines()[1:]
    assert len(lines) == len(frames) > 0
    number, track, _, _, wall, size, *flags = lines[0].split()
    assert (number, track, size) == ("0", str(frames[0]["track"]), f"{frames[0]['size']:,}")
    assert wall == "2023-11-14T22:13:20.500Z"
    assert flags == ["key"]


def test_fragments_of_a_response(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "response.mkv"
    first, second = service_fragment(number="11"), service_fragment(number="12", behind=77)
    path.write_bytes(first + second)
    shown = run(capsys, "inspect", path, "--fragments", "--json")
    assert shown.code == 0
    assert [(f["number"], f["continuation_token"], f["size"], f["offset"]) for f in shown.records] == [
        ("11", "11", len(first), 0),
        ("12", "12", len(second), len(first)),
    ]
    assert shown.records[1]["millis_behind_now"] == 77
    assert all(fragment["is_complete"] for fragment in shown.records)
    lines = run(capsys, "inspect", path, "--fragments").out.splitlines()
    assert [line.split()[0] for line in lines] == ["11", "12"]
    assert "0.077 s behind" in lines[1]
    assert "token = number" in lines[1]


def test_errors_and_late_tags_of_the_service_are_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "response.mkv"
    late = tags(("ContactId", "late"))
    path.write_bytes(service_fragment(number="11") + late + error_document("KMS_KEY_UNAVAILABLE", 4503, "12"))
    shown = run(capsys, "inspect", path, "--fragments", "--json")
    assert shown.code == 1
    assert "the service wrote 1 error" in shown.err
    assert [record["event"] for record in shown.records] == ["fragment", "late_tags", "error"]
    assert shown.records[1]["tags"] == [["ContactId", "late"]]
    assert (shown.records[2]["id"], shown.records[2]["number"]) == (4503, "12")
    text = run(capsys, "inspect", path, "--fragments").out
    assert "tags after 11  ContactId=late" in text
    assert "error  4503 KMS_KEY_UNAVAILABLE" in text


def test_text_of_the_media_cannot_command_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "evil.mkv"
    path.write_bytes(
        HEAD
        + tags(("\x1b]0;title\x07", "\x9b2J\n\x1b[1m"))
        + cluster(0, simple_block(1, 0, b"f", keyframe=True))
    )
    for view in ((), ("--fragments",), ("--frames",)):
        shown = run(capsys, "inspect", path, *view)
        assert shown.code == 0
        assert not {"\x1b", "\x9b", "\x07"} & set(shown.out)
    assert "\\x1b]0;title\\x07" in run(capsys, "inspect", path).out


def test_a_cut_file_is_told_and_strict_refuses_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"
    path.write_bytes(CLIP.read_bytes()[:-1000])
    shown = run(capsys, "inspect", path)
    assert shown.code == 0
    assert "ends inside an element" in shown.err
    for view in ((), ("--fragments",), ("--frames",)):
        assert run(capsys, "inspect", CLIP, "--strict", *view).code == 0
        shown = run(capsys, "inspect", path, "--strict", *view)
        assert shown.code == 1
        assert shown.err.startswith("kvsfast inspect: ")


def test_broken_media_is_shown_up_to_the_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "broken.mkv"
    path.write_bytes(HEAD + b"\x00\x00")
    shown = run(capsys, "inspect", path)
    assert shown.code == 1
    assert "CodecID" in shown.out
    assert f"at byte {len(HEAD)} in Segment" in shown.err
    assert len(shown.err.splitlines()) == 1


def test_colours_on_a_terminal_only(capsys: pytest.CaptureFixture[str], document: Path) -> None:
    code, coloured = run_on_terminal("inspect", document)
    assert code == 0
    assert b"\x1b[" in coloured
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", coloured).decode()
    assert [line.rstrip() for line in plain.splitlines()] == run(capsys, "inspect", document).out.splitlines()


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = run(capsys, "inspect", CLIP)

    def piped() -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(CLIP.read_bytes()))

    monkeypatch.setattr("sys.stdin", piped())
    assert run(capsys, "inspect", "-") == from_file
    monkeypatch.setattr("sys.stdin", piped())
    assert run(capsys, "inspect", "-", "--fragments").out.count("72 frames") == 8


def test_a_reader_of_the_output_may_leave(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    # The output is more than a pipe holds, so that the command is still writing when head has left.
    path.write_bytes(HEAD + cluster(0, *(simple_block(1, i, b"f", keyframe=True) for i in range(10_000))))
    pipeline = f"{shlex.join(command('inspect', path, '--all'))} | head -n 3; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", pipeline], env=environment(), capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (141, 3, b"")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/nowhere/nothing.mkv"], "/nowhere/nothing.mkv: No such file or directory; check the path"),
        (["/"], "/ is a directory"),
        ([CLIP, "--frames", "--depth", "2"], "--depth belong to the tree"),
        ([CLIP, "--frames", "--fragments"], "not allowed with"),
        ([CLIP, "--depth", "0"], "'0' is not a whole number of at least 1"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[object], told: str) -> None:
    shown = run(capsys, "inspect", *arguments)
    assert shown.code == (1 if arguments[0] == "/nowhere/nothing.mkv" else 2)
    assert shown.out == ""
    assert told in shown.err


def test_nested_tags_and_dates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "tags.mkv"
    path.write_bytes(ebml_header() + segment(info(DateUTC=0), tags(tag())))
    shown = run(capsys, "inspect", path)
    assert "DateUTC  2001-01-01T00:00:00.000Z" in shown.out
