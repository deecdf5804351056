"""``record``: everything in one go, for the tables and plots."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.commands.build import build
from benchmarks.record.pages import HOME, render
from benchmarks.record.runner import make
from benchmarks.record.steps import FULL, QUICK
from benchmarks.record.store import Record
from benchmarks.rivals.programs import PROGRAMS

HELP = "everything in one go: measures, then renders the READMEs' tables and the plots"

#: Git ignores it.
QUICK_HOME = HOME / ".quick"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help=f"each step in little, into {QUICK_HOME.name}/: some minutes"
    )
    parser.add_argument(
        "--only", action="append", choices=[step.name for step in FULL], metavar="STEP", help="pick steps"
    )
    parser.add_argument("--build", action="store_true", help="first build the rivals that are not up to date")
    parser.add_argument("--render", action="store_true", help="render again from what was measured")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where record.json, plots/ and the pages go (default: benchmarks/, and the main README)",
    )


def run(options: argparse.Namespace) -> None:
    out = options.out or (QUICK_HOME if options.quick else HOME)
    out.mkdir(parents=True, exist_ok=True)
    final = out / "record.json"
    if options.render:
        record = Record.read(final)
    else:
        record = _measured(options, final)
    for path in render(record, out):
        _say(f"wrote {path}")
    failed = [name for name, step in record.steps.items() if step.failed]
    if failed and not options.render:
        raise SystemExit(f"failed, as the record says: {', '.join(failed)}")


def _measured(options: argparse.Namespace, final: Path) -> Record:
    """A record that is not whole never takes the place of one that is."""
    steps = [step for step in (QUICK if options.quick else FULL) if step.name in (options.only or step.name)]
    partial = final.with_name("record.partial.json")
    if options.build:
        build(list(PROGRAMS))
    try:
        make(steps, partial, _say)
    except KeyboardInterrupt:
        raise SystemExit(f"\nstopped; what was measured is in {partial}") from None
    partial.replace(final)
    return Record.read(final)  # as it is kept: its figures are rounded


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
