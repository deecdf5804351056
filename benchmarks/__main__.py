"""``python -m benchmarks``: see ``--help`` and README.md."""

from __future__ import annotations

import argparse
import importlib

#: What can be done instead of the race, each a module of `benchmarks.commands`.
MODES = (
    "record",
    "micro",
    "latency",
    "instructions",
    "curves",
    "session",
    "start",
    "fleet",
    "build",
)


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    race = importlib.import_module("benchmarks.commands.race")
    race.add_options(parser)
    parser.set_defaults(run=race.run)
    modes = parser.add_subparsers(title="or instead", metavar="MODE")
    for name in MODES:
        command = importlib.import_module(f"benchmarks.commands.{name}")
        mode = modes.add_parser(name, help=command.HELP)
        command.add_options(mode)
        mode.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    main()
