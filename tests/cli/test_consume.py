"""``kvsfast consume`` against the local service: what it keeps, shows and says, and where it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvsfast
from kvsfast.emulator import Cut, Emulator, HttpError, Stall
from kvsfast.emulator.clip import CLIP
from tests.cli.command import PATIENCE, command, environment, place, run, run_on_terminal, sign_in, started
from tests.ffmpeg_tools import needs_ffmpeg, packets

EARLIEST = ("--start", "EARLIEST")
FRAGMENTS = 8


def numbers(service: Emulator) -> list[str]:
    return [service.stream("demo").fragment(i).number for i in range(FRAGMENTS)]


def payloads(path: Path) -> list[bytes]:
    return [bytes(frame) for frame in kvsfast.parse(path).frames()]


def test_everything_once_over_faults(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, service: Emulator
) -> None:
    service.faults.plan("demo", Cut("reset", inside="frame", fragment=2), HttpError("ServiceUnavailable"))
    target = tmp_path / "received.mkv"
    shown = run(
        capsys,
        "consume",
        "demo",
        *EARLIEST,
        *place(service),
        "-o",
        target,
        "--json",
        "--fragments",
        FRAGMENTS,
    )
    assert (shown.code, shown.err) == (0, "")
    by_event: dict[str, list[dict[str, object]]] = {}
    for record in shown.records:
        by_event.setdefault(str(record["event"]), []).append(record)
    assert [record["number"] for record in by_event["fragment"]] == numbers(service)
    assert {record["stream"] for record in by_event["fragment"]} == {"demo"}
    assert payloads(target) == payloads(CLIP)
    (reconnected,) = by_event["reconnected"]
    assert reconnected["ending"] == "cut" and reconnected["calls"] == 2
    (summary,) = by_event["summary"]
    assert (summary["end"], summary["fragments"], summary["calls"]) == ("until was reached", FRAGMENTS, 3)
    assert summary["size"] == target.stat().st_size


def test_lines_events_and_where_to_go_on(capsys: pytest.CaptureFixture[str], service: Emulator) -> None:
    service.faults.plan("demo", Cut("eof", inside="frame", fragment=1))
    shown = run(capsys, "consume", "demo", *EARLIEST, *place(service), "--fragments", 3)
    heading, *lines = shown.out.splitlines()
    assert heading.split()[:2] == ["fragment", "number"]
    assert [line.split()[0] for line in lines] == numbers(service)[:3]
    assert "reconnected: ending cut, start CONTINUATION_TOKEN" in shown.err
    assert "3 fragments, 216 frames" in shown.err and "1 reconnect, 1 refetches" in shown.err
    assert f"go on with --start token:{numbers(service)[2]}" in shown.err


def test_a_checkpoint_is_gone_on_with_and_so_is_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, service: Emulator
) -> None:
    target, checkpoint = tmp_path / "received.mkv", tmp_path / "demo.db"
    arguments = ("consume", "demo", *EARLIEST, *place(service), "--checkpoint", checkpoint, "-o", target)
    first = run(capsys, *arguments, "--fragments", 3)
    assert f"committed up to fragment {numbers(service)[2]}" in first.err
    run(capsys, *arguments, "--fragments", FRAGMENTS - 3)
    assert payloads(target) == payloads(CLIP)


@needs_ffmpeg
def test_files_that_play(capsys: pytest.CaptureFixture[str], tmp_path: Path, service: Emulator) -> None:
    run(capsys, "consume", "demo", *EARLIEST, *place(service), "--split", tmp_path, "--fragments", 2)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == [f"{number}.mkv" for number in numbers(service)[:2]]
    for path in files:
        assert len(packets(path)) == 72


def test_files_that_rotate(capsys: pytest.CaptureFixture[str], tmp_path: Path, service: Emulator) -> None:
    """The clip has a fragment a second."""
    arguments = ("consume", "demo", *EARLIEST, *place(service), "--fragments", FRAGMENTS)
    shown = run(capsys, *arguments, "--rotate", 3, "--into", tmp_path)
    assert shown.code == 0
    files = sorted(tmp_path.iterdir())
    assert [path.stem for path in files] == numbers(service)[::3]
    assert [len(list(kvsfast.parse(path).fragments())) for path in files] == [3, 3, 2]
    assert [payload for path in files for payload in payloads(path)] == payloads(CLIP)


def test_until_a_time(capsys: pytest.CaptureFixture[str], service: Emulator) -> None:
    at = service.stream("demo").fragment(5).server_ms / 1000
    shown = run(capsys, "consume", "demo", *EARLIEST, *place(service), "--until", at, "--json")
    found = [record["number"] for record in shown.records if record["event"] == "fragment"]
    assert (shown.code, found) == (0, numbers(service)[:5])


def test_other_limits(capsys: pytest.CaptureFixture[str], service: Emulator) -> None:
    for limit, value, count in (("--frames", 73, 2), ("--bytes", 1, 1)):
        shown = run(capsys, "consume", "demo", *EARLIEST, *place(service), limit, value, "--json")
        assert shown.code == 0
        assert [record["event"] for record in shown.records].count("fragment") == count
    shown = run(capsys, "consume", "demo", *EARLIEST, *place(service), "--seconds", 1.5, "--json")
    assert shown.code == 0 and shown.records[-1]["seconds"] >= 1.5
    assert [record["event"] for record in shown.records].count("fragment") <= FRAGMENTS


def test_media_to_standard_output(service: Emulator) -> None:
    done = subprocess.run(
        command("consume", "demo", *EARLIEST, *place(service), "-o", "-", "--fragments", 3),
        capture_output=True,
        env=environment(),
        timeout=PATIENCE,
        check=True,
    )
    assert [fragment.number for fragment in kvsfast.parse(done.stdout).fragments()] == numbers(service)[:3]
    assert b"3 fragments" in done.stderr


def test_live_table_on_a_terminal(service: Emulator) -> None:
    code, shown = run_on_terminal("consume", "demo", *EARLIEST, *place(service), "--fragments", FRAGMENTS)
    assert code == 0
    for word in (b"behind now", b"reconnects", b"reading", b"demo"):
        assert word in shown


def test_ctrl_c_leaves_whole_files_and_a_true_checkpoint(
    tmp_path: Path, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(service, monkeypatch)
    service.faults.plan("demo", Stall(None, inside="frame", fragment=5))
    target, checkpoint, split = tmp_path / "received.mkv", tmp_path / "demo.db", tmp_path / "split"
    arguments = ("consume", "demo", *EARLIEST, *place(service), "--checkpoint", checkpoint, "-o", target)
    with started(*arguments, "--split", split) as process:
        give_up = time.monotonic() + PATIENCE
        while not split.is_dir() or len(list(split.glob("*.mkv"))) < 5:
            assert process.poll() is None and time.monotonic() < give_up
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
    with kvsfast.SqliteCheckpoints(checkpoint) as store:
        saved = store.load("demo")
    assert saved is not None
    count = numbers(service).index(saved.fragment_number) + 1
    assert 4 <= count <= 5
    kept = [fragment.number for fragment in kvsfast.parse(target).fragments()]
    assert kept[:count] == numbers(service)[:count] and len(kept) - count in (0, 1)
    assert sorted(path.name for path in split.iterdir()) == [
        f"{number}.mkv" for number in numbers(service)[:5]
    ]
    assert b"committed up to fragment" in error
    assert b"Traceback" not in error


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (HttpError("NotAuthorizedException"), "kinesisvideo:GetMedia"),
        (HttpError("ResourceNotFoundException"), "check the stream's name"),
    ],
)
def test_refusals_end_it_and_say_what_to_do(
    capsys: pytest.CaptureFixture[str], service: Emulator, fault: HttpError, told: str
) -> None:
    service.faults.plan("demo", fault)
    shown = run(capsys, "consume", "demo", *place(service))
    assert shown.code == 1 and told in shown.err.splitlines()[-1]


def test_giving_up(capsys: pytest.CaptureFixture[str], service: Emulator) -> None:
    service.faults.plan("demo", HttpError("ServiceUnavailable"), times=2)
    shown = run(capsys, "consume", "demo", *place(service), "--give-up-after", 2)
    assert shown.code == 1 and "2 calls in a row failed" in shown.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--until", "2026-01-01"], "has no time zone"),
        (["--fragments", "0"], "whole number"),
        (["-o", "-", "--json"], "both want standard output"),
        (["--poison", "deliver"], "invalid choice"),
    ],
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str], service: Emulator, arguments: list[str], told: str
) -> None:
    shown = run(capsys, "consume", "demo", *place(service), *arguments)
    assert shown.code == 2 and told in shown.err


def test_a_file_cut_by_a_full_disk_is_none(tmp_path: Path) -> None:
    """A directory in the place of the file that is to be made: nothing is left lying about."""
    from kvsfast.cli.recording import one_file_each

    (fragment, *_) = kvsfast.parse(CLIP).fragments()
    os.mkdir(tmp_path / "000001.mkv")
    with pytest.raises(OSError, match=r"000001\.mkv"):
        one_file_each(tmp_path)(fragment)
    assert [path.name for path in tmp_path.iterdir()] == ["000001.mkv"]


# -- several streams


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator({"front": CLIP, "back": CLIP}) as service:
        sign_in(service, monkeypatch)
        yield service


def test_several_streams_into_a_folder_each(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, doors: Emulator
) -> None:
    doors.faults.plan("back", Cut("reset", inside="frame", fragment=2))
    target, checkpoint = tmp_path / "media", tmp_path / "doors.db"
    got: dict[str, list[object]] = {"front": [], "back": []}
    for count in (3, FRAGMENTS - 3):
        shown = run(
            capsys,
            "consume",
            *("front", "back", "front"),
            *EARLIEST,
            *place(doors),
            *("--checkpoint", checkpoint, "--split", target, "--json", "--fragments", count),
        )
        assert (shown.code, shown.err) == (0, "")
        for record in shown.records:
            if record["event"] == "fragment":
                got[str(record["stream"])].append(record["number"])
        assert sum(record["event"] == "summary" for record in shown.records) == 2
    for name in ("front", "back"):
        assert len(set(map(str, got[name]))) == len(got[name]) == FRAGMENTS
        files = sorted((target / name).iterdir())
        assert [file.stem for file in files] == sorted(map(str, got[name]))
        assert sum(len(payloads(file)) for file in files) == len(payloads(CLIP))


def test_one_of_several_streams_fails(capsys: pytest.CaptureFixture[str], doors: Emulator) -> None:
    limit = ("--fragments", FRAGMENTS)
    shown = run(capsys, "consume", "nobody", "back", *EARLIEST, *place(doors), *limit)
    assert shown.code == 1
    assert shown.out.count("  back") == FRAGMENTS
    assert "nobody: ResourceNotFoundException" in shown.err and "check the stream's name" in shown.err
    assert f"back: {FRAGMENTS} fragments" in shown.err
    shown = run(capsys, "consume", "nobody", "back", *EARLIEST, *place(doors), *limit, "--json")
    assert shown.code == 1
    (failure,) = [record for record in shown.records if record["event"] == "failure"]
    assert failure["stream"] == "nobody"


def test_one_file_is_for_one_stream(capsys: pytest.CaptureFixture[str], doors: Emulator) -> None:
    shown = run(capsys, "consume", "front", "back", *EARLIEST, *place(doors), "-o", "x.mkv")
    assert shown.code == 2 and "--split and --rotate have a folder for each" in shown.err


def test_a_live_table_of_several_streams(doors: Emulator) -> None:
    limit = ("--fragments", FRAGMENTS)
    code, shown = run_on_terminal("consume", "front", "back", *EARLIEST, *place(doors), *limit)
    assert code == 0
    assert b"front" in shown and b"back" in shown and b"behind now" in shown
