"""``fleet``: many streams in one process."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine
from benchmarks.commands.options import add_json, count, say, write_json
from benchmarks.fleet import FLEETS, FLOOR, READERS, FleetOutcome, missing, run_fleet
from benchmarks.table import print_table

HELP = "many paced streams in one process: 1,000 and 400 of 2 Mbit/s, 16 of 200 Mbit/s"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", action="append", choices=FLEETS, metavar="NAME", help=f"of {', '.join(FLEETS)}"
    )
    parser.add_argument(
        "--seconds", type=count, default=10, help="of reading, once all are open (default 10)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    readers = [reader for reader in READERS if missing(reader) is None]
    record = []
    for name in options.only or FLEETS:
        fleet = FLEETS[name]
        rows = []
        for reader in readers:
            say(f"{fleet.title} over {fleet.transport}: {reader}")
            outcome = run_fleet(fleet, reader, options.seconds)
            rows.append((reader, outcome))
            record.append({"fleet": asdict(fleet), "reader": reader, **asdict(outcome)})
        say("")
        print_table(
            f"{fleet.title} over {fleet.transport}, {options.seconds} s",
            ("reader", "% of a core", "/ C", "MB/s", "peak MiB", "slowest stream", "median stream"),
            [
                (
                    reader,
                    f"{100 * outcome.share:.1f}",
                    _ratio(outcome, dict(rows).get(FLOOR)),
                    f"{outcome.megabytes_per_second:.0f}",
                    f"{outcome.peak_bytes / 2**20:.0f}",
                    f"{100 * outcome.slowest:.1f} %",
                    f"{100 * outcome.median:.1f} %",
                )
                for reader, outcome in rows
            ],
            "of a stream: what was read, against what the server had for it",
        )
    for reader in [reader for reader in READERS if reader not in readers]:
        print(f"skipped {reader}: {missing(reader)}")
    print(machine.one_line(about))
    write_json(options.json, {"about": about, "fleets": record})


def _ratio(outcome: FleetOutcome, floor: FleetOutcome | None) -> str:
    """CPU per byte, against what kernel and OpenSSL alone cost."""
    if floor is None:
        return "-"
    return f"{outcome.share / outcome.megabytes_per_second * floor.megabytes_per_second / floor.share:.2f}"
