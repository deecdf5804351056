"""``instructions``: what the hot paths take, counted by callgrind, against the record."""

from __future__ import annotations

import argparse

from benchmarks import instructions, machine
from benchmarks.commands.options import add_json, write_json
from benchmarks.table import print_table

HELP = "instructions of the hot paths, counted by callgrind"


def add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check",
        action="store_true",
        help=f"fail where a count is off the record by more than {100 * instructions.TOLERANCE:.0f} %%",
    )
    what.add_argument("--record", action="store_true", help=f"write {instructions.RECORD.name} anew")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    if why := instructions.missing():
        raise SystemExit(why)
    about = machine.describe()
    known = instructions.recorded() if instructions.RECORD.exists() else None
    old = known.counts if known else {}
    counts = instructions.measure()
    print_table(
        "instructions, counted by callgrind",
        ("path", "per", "counted", "recorded", "change"),
        [
            ("C: push parser, payload copied", "frame", f"{instructions.measure_push_copy():.1f}", "-", "-"),
            *(
                (
                    path.title,
                    path.unit,
                    f"{counts[name]:.1f}",
                    f"{old[name]:.1f}" if name in old else "-",
                    f"{100 * (counts[name] / old[name] - 1):+.1f} %" if name in old else "-",
                )
                for name, path in instructions.PATHS.items()
            ),
        ],
    )
    toolchain = instructions.toolchain()
    if known and known.toolchain != toolchain:
        print(f"recorded with {known.toolchain}, counted with {toolchain}")
    print(machine.one_line(about))
    write_json(options.json, {"about": about, "counts": counts})
    if options.record:
        instructions.record(instructions.Record(toolchain, counts))
    if options.check:
        if known is None:
            raise SystemExit("nothing was recorded yet: --record")
        if known.toolchain != toolchain:
            raise SystemExit("these counts cannot be compared with those")
        if changes := instructions.compare(old, counts):
            raise SystemExit("off the record, or to be recorded (--record):\n" + "\n".join(changes))
