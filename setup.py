"""Build of the compiled modules. Everything that is not compiled is said in pyproject.toml.

KVSFAST_TRACE=1     line tracing for coverage of the .pyx files (generated C lies beside them)
KVSFAST_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer (see docs/contributing.md)
"""

import glob
import os
import shutil
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

TRACE = os.environ.get("KVSFAST_TRACE") == "1"
SANITIZE = os.environ.get("KVSFAST_SANITIZE") == "1"

# Listed as `depends`, these are in the sdist, stay out of the wheel, and an edit to any of them rebuilds.
SOURCES = sorted(
    glob.glob("src_c/*.h") + glob.glob("kvsfast/_native/*.p[yx][xd]") + glob.glob("kvsfast/_native/*.h")
)

CFLAGS = ["-O3", "-std=c11", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function", "-Wno-unreachable-code"]
LDFLAGS: list[str] = []
if SANITIZE:
    CFLAGS += [
        "-O1",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
        "-fno-omit-frame-pointer",
    ]
    LDFLAGS += ["-fsanitize=address,undefined"]


def extension(name: str) -> Extension:
    return Extension(
        f"kvsfast._native.{name}",
        [f"kvsfast/_native/{name}.pyx"],
        include_dirs=["src_c"],
        depends=SOURCES,
        extra_compile_args=CFLAGS,
        extra_link_args=LDFLAGS,
        define_macros=[("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if TRACE else [],
    )


class BuildOrExplain(build_ext):
    """A missing compiler or header is named, with the command that installs it."""

    def run(self) -> None:
        compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
        missing = []
        if shutil.which(compiler) is None:
            missing.append(f"a C compiler ({compiler}): apt-get install gcc libc6-dev")
        header = os.path.join(sysconfig.get_path("include"), "Python.h")
        if not os.path.exists(header):
            missing.append(f"the Python headers ({header}): apt-get install python3-dev")
        if missing:
            raise SystemExit("kvsfast is compiled on installation and needs\n  " + "\n  ".join(missing))
        super().run()


setup(
    ext_modules=cythonize(
        [extension(Path(path).stem) for path in sorted(glob.glob("kvsfast/_native/*.pyx"))],
        build_dir=None if TRACE else "build/cython",
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            "auto_pickle": False,
            "autotestdict": False,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "linetrace": TRACE,
        },
    ),
    cmdclass={"build_ext": BuildOrExplain},
)
