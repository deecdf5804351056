"""The command as a whole: help, versions, exit codes, and what it does without rich."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kvsfast
from kvsfast.cli.output import clock, printable, quantity
from kvsfast.emulator.clip import CLIP
from tests.cli.command import PATIENCE, command, environment, run
from tests.mkv_writer import ebml_header, info, segment

COMMANDS = ("demo", "inspect", "get-media", "emulator")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    shown = run(capsys, name, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert f"kvsfast {name}" in shown.out.partition("examples:")[2]


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "--help")
    assert shown.code == 0
    assert all(name in shown.out for name in COMMANDS)
    assert "130  ended by Ctrl-C" in shown.out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version").out == f"kvsfast {kvsfast.__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("dance",), ("inspect",), ("inspect", CLIP, "--no-such-option")])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]) -> None:
    shown = run(capsys, *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert "usage: kvsfast" in shown.err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Traceback" not in run(capsys, "inspect", "/nowhere").err
    assert "Traceback" in run(capsys, "inspect", "/nowhere", "--debug").err


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        command("--version"), env=environment(), capture_output=True, timeout=PATIENCE, check=True
    )
    assert done.stdout.decode().strip() == f"kvsfast {kvsfast.__version__}"


def test_output_that_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "umlaut.mkv"
    path.write_bytes(ebml_header() + segment(info(Title="Türöffner")))
    done = subprocess.run(
        command("inspect", path),
        env=environment() | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert b'Title  "T\\xfcr\\xf6ffner"' in done.stdout


def test_help_needs_nothing_that_is_optional() -> None:
    """Where rich and trustme are not installed, everything but the table and --tls is there."""
    script = (
        "import sys; sys.modules.update(rich=None, trustme=None); from kvsfast.cli import main;"
        f"sys.exit(main(['inspect', {str(CLIP)!r}, '--depth', '1']) or main(['demo', '--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_missing_for_tls_is_named() -> None:
    script = (
        "import sys; sys.modules.update(trustme=None); from kvsfast.cli import main;"
        "sys.exit(main(['emulator', '--tls']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, timeout=PATIENCE, check=False
    )
    assert b"pip install 'kvsfast[tls]'" in done.stderr


def test_words() -> None:
    assert [quantity(n, "frame") for n in (0, 1, 2000)] == ["0 frames", "1 frame", "2,000 frames"]
    assert clock(None) == "-"
    assert printable("a\tb\u202e\x85ö") == "a\\tb\\u202e\\x85ö"
