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
#: Of the programs that need more than libc: a header, the linker's flags, Debian's package.
LIBRARIES = {"fleet": ("openssl/ssl.h", ("-lssl", "-lcrypto"), "libssl-dev")}


def missing(name: str = "") -> str | None:
    """Why they, or the one that is named, cannot be built, or None."""
    if shutil.which(_compiler()) is None:
        return f"no C compiler ({_compiler()}): apt-get install gcc libc6-dev"
    if name in LIBRARIES:
        header, _, package = LIBRARIES[name]
        looking = [_compiler(), "-E", "-include", header, "-x", "c", os.devnull]
        if subprocess.run(looking, capture_output=True, check=False).returncode:
            return f"no {header}: apt-get install {package}"
    return None


def build(name: str) -> Path:
    """The program made of ``c/NAME.c``, which is compiled if it is older than any source."""
    program = BUILT / name
    sources = [*SOURCES.glob("*.[ch]"), *(ROOT / "src_c").glob("*.h")]
    if not program.exists() or program.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        BUILT.mkdir(exist_ok=True)
        partial = program.with_suffix(f".{os.getpid()}")
        libraries = LIBRARIES[name][1] if name in LIBRARIES else ()
        subprocess.run([_compiler(), *FLAGS, "-o", partial, SOURCES / f"{name}.c", *libraries], check=True)
        partial.replace(program)
    return program


def _compiler() -> str:
    return os.environ.get("CC", "cc").split()[0]
