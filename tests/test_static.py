"""What can be said about the code without running it: style, format, types, and stubs that tell the truth."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: The compiled modules, by their sources: none may be left out of the build.
COMPILED = sorted(path.stem for path in (ROOT / "kvsfast" / "_native").glob("*.pyx"))


def run_module(*arguments: str) -> None:
    """``python -m ARGUMENTS`` in the project's root must succeed; what it says otherwise is the failure."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_ruff_check() -> None:
    run_module("ruff", "check", "--no-cache", "--output-format", "concise", ".")


def test_ruff_format() -> None:
    run_module("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.timeout(600)
def test_mypy() -> None:
    run_module("mypy", "--cache-dir", "/dev/null")


@pytest.mark.timeout(600)
def test_stubs_of_compiled_modules() -> None:
    """Signatures, names and properties in the .pyi files are those of the modules."""
    modules = [f"kvsfast._native.{name}" for name in COMPILED]
    allowed = ["--allowlist", "tests/stubtest_allowlist.txt", "--ignore-unused-allowlist"]
    run_module("mypy.stubtest", "--mypy-config-file", "pyproject.toml", *allowed, *modules)


@pytest.mark.parametrize("name", COMPILED)
def test_modules_are_compiled(name: str) -> None:
    module = importlib.import_module(f"kvsfast._native.{name}")
    assert str(module.__file__).endswith((".so", ".pyd"))
    assert Path(str(module.__file__)).name.startswith(f"{name}.")
