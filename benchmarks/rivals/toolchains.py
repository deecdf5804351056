"""How programs in other languages are built, and what they need for it."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT, said
from benchmarks.native import BUILT

__all__ = [
    "C",
    "CARGO",
    "CPP",
    "GO",
    "MAVEN",
    "BuildFailed",
    "CProgram",
    "JavaProject",
    "PYTHON",
    "Environment",
    "Program",
    "Project",
    "Toolchain",
]

#: Where the sources are.
HERE = Path(__file__).parent
#: Seconds for a build; that of Rust takes three minutes on two cores.
SLOWEST_BUILD = 1800.0


class BuildFailed(Exception):
    """With what the tool said."""


@dataclass(frozen=True)
class Toolchain:
    """``needs``: commands without which nothing is built. ``version``: the command that tells it."""

    name: str
    needs: tuple[str, ...]
    version: tuple[str, ...]

    def missing(self) -> str | None:
        absent = [command for command in self.needs if shutil.which(command) is None]
        return f"no {self.name} ({', '.join(absent)} not found)" if absent else None

    def describe(self) -> str:
        return said(*self.version).splitlines()[0]


GO = Toolchain("Go", ("go",), ("go", "version"))
CARGO = Toolchain("Rust", ("cargo",), ("rustc", "--version"))
MAVEN = Toolchain("Java", ("java", "mvn"), ("java", "--version"))
PYTHON = Toolchain("Python", (sys.executable,), (sys.executable, "--version"))
C = Toolchain("C", ("cc", "pkg-config"), ("cc", "--version"))
CPP = Toolchain("C++", ("c++", "pkg-config"), ("c++", "--version"))


class Program:
    """Something that can be built and run: of ``sources``, into ``built``, which counts as long as they are
    what it was built of."""

    name: str
    toolchain: Toolchain
    built: Path

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        why = self.lacks()
        if why is None and not self.is_built():
            why = "not built (python -m benchmarks build)"
        return why

    def lacks(self) -> str | None:
        """Why it cannot even be built here, or None."""
        return self.toolchain.missing()

    def is_built(self) -> bool:
        mark = self._mark()
        return self.built.exists() and mark.exists() and mark.read_text() == self._digest()

    def build(self) -> None:
        """BuildFailed if it cannot."""
        BUILT.mkdir(exist_ok=True)
        self.compile()
        self._mark().write_text(self._digest())

    def command(self, *arguments: str) -> list[str]:
        return [str(self.built), *arguments]

    def sources(self) -> list[Path]:
        raise NotImplementedError

    def compile(self) -> None:
        raise NotImplementedError

    def _mark(self) -> Path:
        return BUILT / f"{self.name}.sha256"

    def _digest(self) -> str:
        return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(self.sources()))).hexdigest()


@dataclass(frozen=True)
class Project(Program):
    """A folder here with a manifest of its own; ``tool`` is run in it."""

    name: str
    toolchain: Toolchain
    folder: Path
    built: Path
    tool: tuple[str, ...]

    def sources(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def compile(self) -> None:
        _run(*self.tool, cwd=self.folder)


@dataclass(frozen=True)
class JavaProject(Project):
    """``built`` is the class path that Maven wrote down."""

    def command(self, *arguments: str) -> list[str]:
        classes = f"{self.built.parent / 'classes'}:{self.built.read_text().strip()}"
        return ["java", "-cp", classes, "rivals.Main", *arguments]


@dataclass(frozen=True)
class Environment(Program):
    """A virtual environment with what ``requirements`` lists: aiobotocore wants an older botocore than others
    have. ``built`` is its interpreter."""

    name: str
    toolchain: Toolchain
    requirements: Path
    built: Path

    def sources(self) -> list[Path]:
        return [self.requirements]

    def compile(self) -> None:
        _run(sys.executable, "-m", "venv", self.built.parents[1], cwd=HERE)
        _run(self.built, "-m", "pip", "install", "--quiet", "-r", self.requirements, cwd=HERE)


@dataclass(frozen=True)
class CProgram(Program):
    """One source file. ``library``: pkg-config's names, or the bare one of a library that it does not know.
    ``packages``: Debian's names."""

    name: str
    toolchain: Toolchain
    source: Path
    libraries: tuple[str, ...]
    packages: tuple[str, ...]
    standard: str = "gnu11"

    @property
    def built(self) -> Path:  # type: ignore[override]
        return BUILT / self.name

    def lacks(self) -> str | None:
        why = self.toolchain.missing()
        if why is None and (absent := [name for name in self.libraries if _flags(name) is None]):
            why = f"no {', '.join(absent)}: apt-get install {' '.join(self.packages)}"
        return why

    def sources(self) -> list[Path]:
        return [self.source, *HERE.glob("c/*.h"), *(ROOT / "benchmarks" / "c").glob("*.h")]

    def compile(self) -> None:
        compiler = self.toolchain.needs[0]
        flags = [flag for name in self.libraries for flag in _flags(name) or ()]
        warnings = ("-Wall", "-Wextra", "-Wno-missing-field-initializers")
        _run(
            compiler,
            f"-std={self.standard}",
            "-O3",
            *warnings,
            "-o",
            self.built,
            self.source,
            *flags,
            cwd=HERE,
        )


def _flags(library: str) -> list[str] | None:
    """What the compiler has to be told to use it, None where it is not installed."""
    told = subprocess.run(
        ["pkg-config", "--cflags", "--libs", library], capture_output=True, text=True, check=False
    )
    if told.returncode == 0:
        return shlex.split(told.stdout)
    # libwebm comes without a description for pkg-config.
    return [f"-l{library}"] if any(Path("/usr/lib").glob(f"*/lib{library}.so")) else None


def _run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=SLOWEST_BUILD
    )
    if done.returncode:
        raise BuildFailed(f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr)[-4000:]}")
