"""The reference programs in C, built here when they are asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.machine import ROOT

__all__ = ["BUILT", "build", "missing"]

SOURCES = Path(__file__).with_name("c")
#: Ignored by git; rivals that need building go there as well.
BUILT = Path(__file__).with_name(".rivals")
FLAGS = ("-O3", "-std=c11", "-Wall", "-Wextra", "-I", str(ROOT / "src_c"))


def missing() -> str | None:
    """Why they cannot be built, or None."""
    return (
        None if shutil.which(_compiler()) else f"no C compiler ({_compiler()}): apt-get install gcc libc6-dev"
    )


def build(name: str) -> Path:
    """The program made of ``c/NAME.c``, which is compiled if it is older than any source."""
    program = BUILT / name
    sources = [*SOURCES.glob("*.[ch]"), *(ROOT / "src_c").glob("*.h")]
    if not program.exists() or program.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        BUILT.mkdir(exist_ok=True)
        partial = program.with_suffix(f".{os.getpid()}")
        subprocess.run([_compiler(), *FLAGS, "-o", partial, SOURCES / f"{name}.c"], check=True)
        partial.replace(program)
    return program


def _compiler() -> str:
    return os.environ.get("CC", "cc").split()[0]
