"""The reference programs in C, and an extension module for CPython, built here when they are asked for."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT

__all__ = ["BUILT", "build", "load", "missing"]

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
    return _make(BUILT / name, SOURCES / f"{name}.c")


@functools.cache
def load(name: str) -> Any:
    """The extension module made of ``c/NAME.c`` for this interpreter."""
    headers = sysconfig.get_path("include")
    library = _make(
        BUILT / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}",
        SOURCES / f"{name}.c",
        *("-shared", "-fPIC", "-isystem", headers),
    )
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make(made: Path, source: Path, *flags: str) -> Path:
    sources = [*SOURCES.glob("*.[ch]"), *(ROOT / "src_c").glob("*.h")]
    if not made.exists() or made.stat().st_mtime < max(each.stat().st_mtime for each in sources):
        BUILT.mkdir(exist_ok=True)
        partial = made.with_name(f"{made.name}.{os.getpid()}")
        libraries = LIBRARIES[made.name][1] if made.name in LIBRARIES else ()
        subprocess.run([_compiler(), *FLAGS, *flags, "-o", partial, source, *libraries], check=True)
        partial.replace(made)
    return made


def _compiler() -> str:
    return os.environ.get("CC", "cc").split()[0]
