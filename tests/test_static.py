"""What can be said about the code without running it: style, format, types, and stubs that tell the truth."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: The compiled modules, by their sources: none may be left out of the build.
COMPILED = sorted(path.stem for path in (ROOT / "kvsfast" / "_native").glob("*.pyx"))


COMMANDS = {
    "ruff check": ["ruff", "check", "--no-cache", "--output-format", "concise", "."],
    "ruff format": ["ruff", "format", "--no-cache", "--check", "."],
    "mypy": ["mypy", "--cache-dir", "/dev/null"],
    # Signatures, names and properties in the .pyi files are those of the compiled modules.
    "stubtest": [
        *["mypy.stubtest", "--mypy-config-file", "pyproject.toml"],
        *["--allowlist", "tests/stubtest_allowlist.txt", "--ignore-unused-allowlist"],
        *[f"kvsfast._native.{name}" for name in COMPILED],
    ],
}


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All commands at once, since each keeps one processor busy."""
    with contextlib.ExitStack() as stack:
        started = {}
        for name, arguments in COMMANDS.items():
            started[name] = process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
        yield started


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_found(name: str, running: dict[str, subprocess.Popen[str]]) -> None:
    said, _ = running[name].communicate()
    assert running[name].returncode == 0, said


@pytest.mark.parametrize("name", COMPILED)
def test_modules_are_compiled(name: str) -> None:
    module = importlib.import_module(f"kvsfast._native.{name}")
    assert str(module.__file__).endswith((".so", ".pyd"))
    assert Path(str(module.__file__)).name.startswith(f"{name}.")
