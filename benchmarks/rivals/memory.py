"""Rivals that parse what is in memory already, for the cost of parsing alone.

A command ``... FILE ROUNDS`` that goes over the file so many times, and answers as ``c/push_copy.c`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.rivals.programs import (
    AVFORMAT,
    GO_RIVALS,
    JAVA_RIVALS,
    PYTHON_RIVALS,
    RUST_RIVALS,
    WEBM,
)
from benchmarks.rivals.toolchains import Program

__all__ = ["IN_MEMORY", "InMemory"]


@dataclass(frozen=True)
class InMemory:
    """``warm_up``: rounds that do not count, for Java's compiler."""

    title: str
    program: Program
    arguments: tuple[str, ...]
    warm_up: int = 1

    def command(self, path: str, rounds: int) -> list[str]:
        return self.program.command(*self.arguments, path, str(rounds + self.warm_up))


_PYTHON = ("-m", "benchmarks.contenders.memory")

IN_MEMORY = (
    InMemory("C++: libwebm", WEBM, ("memory",)),
    InMemory("C: libavformat", AVFORMAT, ("memory",)),
    InMemory("Rust: webm-iterable", RUST_RIVALS, ("memory", "webm-iterable")),
    InMemory("Go: ebml-go", GO_RIVALS, ("memory", "ebml-go")),
    InMemory("Java: AWS's parser library", JAVA_RIVALS, ("memory", "parser-library"), 20),
    InMemory("Python: PyAV", PYTHON_RIVALS, (*_PYTHON, "pyav")),
    InMemory("Python: ebmlite", PYTHON_RIVALS, (*_PYTHON, "ebmlite")),
)
