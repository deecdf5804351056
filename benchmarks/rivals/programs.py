"""The rivals that are compiled, and the contenders that they are."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.contender import Contender, PythonContender
from benchmarks.native import BUILT
from benchmarks.rivals.toolchains import (
    CARGO,
    CPP,
    GO,
    HERE,
    MAVEN,
    PYTHON,
    C,
    CProgram,
    Environment,
    JavaProject,
    Program,
    Project,
)

__all__ = ["COMPILED", "PROGRAMS", "CompiledContender", "EnvironmentContender"]

GO_RIVALS = Project(
    "go-rivals", GO, HERE / "go", BUILT / "go-rivals", ("go", "build", "-o", str(BUILT / "go-rivals"), ".")
)
RUST_RIVALS = Project(
    "rust-rivals",
    CARGO,
    HERE / "rust",
    BUILT / "rust" / "release" / "rust-rivals",
    ("cargo", "build", "--quiet", "--release", "--locked", "--target-dir", str(BUILT / "rust")),
)
JAVA_RIVALS = JavaProject(
    "java-rivals",
    MAVEN,
    HERE / "java",
    BUILT / "java" / "classpath",
    (
        *("mvn", "--quiet", "--batch-mode", "compile", "dependency:build-classpath"),
        f"-Dmdep.outputFile={BUILT / 'java' / 'classpath'}",
    ),
)
RECEIVE = CProgram("receive", C, HERE / "c" / "receive.c", ("openssl",), ("libssl-dev",))
CURL = CProgram("curl", C, HERE / "c" / "curl.c", ("libcurl",), ("libcurl4-openssl-dev",))
WEBM = CProgram(
    "webm",
    CPP,
    HERE / "c" / "webm.cc",
    ("libcurl", "webm"),
    ("libcurl4-openssl-dev", "libwebm-dev"),
    standard="gnu++17",
)
AVFORMAT = CProgram(
    "avformat",
    C,
    HERE / "c" / "avformat.c",
    ("libavformat", "libavcodec", "libavutil"),
    ("libavformat-dev",),
)
PYTHON_RIVALS = Environment(
    "python-rivals",
    PYTHON,
    HERE / "python" / "requirements.txt",
    BUILT / "python" / "bin" / "python",
)

PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (PYTHON_RIVALS, GO_RIVALS, RUST_RIVALS, JAVA_RIVALS, RECEIVE, CURL, WEBM, AVFORMAT)
}


@dataclass(frozen=True, kw_only=True)
class CompiledContender(Contender):
    """``rival``: which of the program's. Those in C cannot sign a request: the launcher does that first."""

    program: Program
    rival: str = ""

    def missing(self) -> str | None:
        return self.program.missing()

    def command(self) -> list[str]:
        if isinstance(self.program, CProgram):
            return [sys.executable, "-m", "benchmarks.rivals.launch", *self.program.command()]
        return self.program.command(self.rival)


@dataclass(frozen=True)
class EnvironmentContender(PythonContender):
    """In Python as the others, but with the packages of `PYTHON_RIVALS`."""

    def missing(self) -> str | None:
        return PYTHON_RIVALS.missing()

    def command(self) -> list[str]:
        return PYTHON_RIVALS.command("-m", "benchmarks.contenders", self.name)


@dataclass(frozen=True, kw_only=True)
class AbsentContender(Contender):
    """One that cannot be had: it is named, with the reason, in every run that it would belong to."""

    why: str

    def missing(self) -> str | None:
        return self.why


COMPILED = (
    CompiledContender(
        name="c-receive",
        title="C: recv / OpenSSL with read-ahead",
        reads="wire",
        kind="floor",
        quick=True,
        program=RECEIVE,
    ),
    CompiledContender(
        name="c-curl",
        title="C: libcurl, not parsed",
        reads="bytes",
        quick=True,
        program=CURL,
    ),
    CompiledContender(
        name="go-sdk-v1",
        title="Go: aws-sdk-go kinesisvideomedia, not parsed",
        reads="bytes",
        program=GO_RIVALS,
        rival="sdk-v1",
    ),
    CompiledContender(
        name="go-sdk-v2",
        title="Go: aws-sdk-go-v2 signer and HTTP client, not parsed",
        reads="bytes",
        quick=True,
        program=GO_RIVALS,
        rival="sdk-v2",
    ),
    CompiledContender(
        name="rust-sdk",
        title="Rust: aws-sdk-kinesisvideomedia, not parsed",
        reads="bytes",
        quick=True,
        program=RUST_RIVALS,
        rival="sdk",
    ),
    CompiledContender(
        name="java-sdk",
        title="Java: aws-java-sdk-kinesisvideo, not parsed",
        reads="bytes",
        most_bytes=128_000_000,
        most_rounds=3,
        program=JAVA_RIVALS,
        rival="sdk",
    ),
    CompiledContender(
        name="go-ebml",
        title="Go: aws-sdk-go-v2 + at-wat/ebml-go",
        reads="frames",
        most_rounds=3,
        program=GO_RIVALS,
        rival="ebml-go",
    ),
    CompiledContender(
        name="rust-webm",
        title="Rust: aws-sdk-kinesisvideomedia + webm-iterable",
        reads="frames",
        most_rounds=3,
        program=RUST_RIVALS,
        rival="webm-iterable",
    ),
    CompiledContender(
        name="java-parser",
        title="Java: AWS's parser library, FrameVisitor",
        reads="frames",
        most_bytes=128_000_000,
        most_rounds=3,
        program=JAVA_RIVALS,
        rival="parser-library",
    ),
    CompiledContender(
        name="c-webm",
        title="C++: libcurl + libwebm",
        reads="frames",
        program=WEBM,
    ),
    CompiledContender(
        name="c-avformat",
        title="C: libavformat over its own HTTP",
        reads="frames",
        program=AVFORMAT,
    ),
    AbsentContender(
        name="go-mkvparse",
        title="Go: remko/go-mkvparse",
        reads="frames",
        why="github.com/remko/go-mkvparse is not served by the Go module proxy (403)",
    ),
    AbsentContender(
        name="go-yacchi",
        title="Go: yacchi/ebml",
        reads="frames",
        why="github.com/yacchi/ebml is not served by the Go module proxy (403)",
    ),
    AbsentContender(
        name="rust-matroska-demuxer",
        title="Rust: matroska-demuxer",
        reads="frames",
        why="it needs a source that can seek, and ends with the first of the stream's documents",
    ),
)
