"""``kvsfast demo`` from end to end: a service in a process of its own, TLS, and the real client."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import kvsfast
from kvsfast.emulator.clip import CLIP
from tests.cli.command import PATIENCE, run, run_on_terminal, started

FRAMES = [bytes(frame) for frame in kvsfast.parse(CLIP).frames()]


@pytest.mark.parametrize("options", [[], ["--no-tls"]])
def test_figures_and_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str]) -> None:
    target = tmp_path / "received.mkv"
    shown = run(capsys, "demo", "--seconds", "1.5", "-o", target, "--json", *options)
    assert (shown.code, shown.err) == (0, "")
    *progress, summary = shown.records
    assert {record["event"] for record in progress} == {"progress"}  # once a second
    # More than one pass of the clip, so that the loop is seen too.
    assert summary["fragments"] > 8
    assert summary["frames"] == 72 * summary["fragments"]
    assert summary["incomplete"] == 0
    assert 0 < summary["cpu_seconds"] < summary["seconds"] + 1
    assert summary["peak_memory"] > 2**20
    assert (summary["written"], summary["file"]) == (8, str(target))
    received = list(kvsfast.parse(target, strict=True).fragments())
    assert [bytes(frame) for fragment in received for frame in fragment.frames] == FRAMES


def test_lines_of_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = run(capsys, "demo", "--seconds", "1", "-o", tmp_path / "received.mkv")
    assert shown.code == 0
    assert shown.out.startswith("GetMedia over TLSv1.3 from https://127.0.0.1:")
    names = {line.split()[0] for line in shown.out.splitlines() if line.startswith("  ")}
    assert {"fragments", "frames", "media", "CPU", "memory", "file"} <= names
    assert "\x1b" not in shown.out


def test_live_table_on_a_terminal(tmp_path: Path) -> None:
    code, shown = run_on_terminal("demo", "--seconds", "1", "-o", tmp_path / "received.mkv")
    assert code == 0
    assert b"\x1b[" in shown
    assert b"fragment number" in shown
    assert b"behind now" in shown
    assert b"Mbit/s" in shown


def test_ctrl_c_ends_both_processes(tmp_path: Path) -> None:
    target = tmp_path / "received.mkv"
    with started("demo", "--seconds", "600", "-o", target, "--json", start_new_session=True) as process:
        assert process.stdout is not None
        assert b'"progress"' in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        # Standard output and error end only when every process that holds them has ended.
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, b"")
    assert len(list(kvsfast.parse(target, strict=True).fragments())) == 8


def test_a_file_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "demo", "--seconds", "1", "-o", "/nowhere/received.mkv")
    assert shown.code == 1
    assert shown.err == "kvsfast demo: /nowhere/received.mkv: No such file or directory; check the path\n"
