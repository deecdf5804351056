"""``build``: the rivals that are compiled."""

from __future__ import annotations

import argparse
import time

from benchmarks.commands.options import say
from benchmarks.rivals.programs import PROGRAMS
from benchmarks.rivals.toolchains import BuildFailed

HELP = "build the rivals in Go, Rust, Java, C and C++: three minutes and more"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"of {', '.join(PROGRAMS)}; else all")


def run(options: argparse.Namespace) -> None:
    unknown = set(options.programs) - PROGRAMS.keys()
    if unknown:
        raise SystemExit(f"no such program: {', '.join(sorted(unknown))}")
    build(options.programs or list(PROGRAMS))


def build(names: list[str]) -> None:
    """What cannot be built is named with the reason, and the others go on."""
    for name in names:
        program = PROGRAMS[name]
        if why := program.lacks():
            print(f"{name}: skipped, {why}")
            continue
        if program.is_built():
            print(f"{name}: is up to date")
            continue
        say(f"building {name}")
        began = time.monotonic()
        try:
            program.build()
        except BuildFailed as failure:
            print(f"{name}: failed\n{failure}")
        else:
            say("")
            print(f"{name}: built in {time.monotonic() - began:.0f} s by {program.toolchain.describe()}")
