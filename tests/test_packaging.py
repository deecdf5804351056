"""Installing from source where something is missing: it is named, with the command that installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def build(target: Path, *, before: str = "pass", path: str | None = None) -> str:
    """What ``setup.py build_ext`` says when it refuses. ``before``: Python to run first; ``path``: PATH."""
    script = f"import runpy; {before}; runpy.run_path('setup.py', run_name='__main__')"
    environment = {name: value for name, value in os.environ.items() if name != "CC"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            "-q",
            "build_ext",
            "--build-lib",
            str(target),
            "--build-temp",
            str(target),
        ],
        cwd=ROOT,
        env=environment | ({} if path is None else {"PATH": path}),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not list(target.rglob("*.so"))
    return done.stderr


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    assert "apt-get install gcc libc6-dev" in build(tmp_path, path="/nowhere")


def test_missing_headers_are_named(tmp_path: Path) -> None:
    before = "import sysconfig; real = sysconfig.get_path; "
    before += (
        "sysconfig.get_path = lambda name, *a, **k: '/nowhere' if name == 'include' else real(name, *a, **k)"
    )
    assert "(/nowhere/Python.h): apt-get install python3-dev" in build(tmp_path, before=before)
