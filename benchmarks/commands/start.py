"""``start``: the import, and the round trips before the first frame."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine
from benchmarks.commands.options import add_json, count, write_json
from benchmarks.start import first_calls, imports
from benchmarks.table import print_table

HELP = "the import, and the round trips before the first frame"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=count, default=11, help="of each import, in turns (default 11)")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    imported = imports(options.rounds)
    floor = next(one for one in imported if one.module == "botocore.exceptions")
    print_table(
        "import in a new process",
        ("module", "CPU ms (min)", "/ botocore.exceptions"),
        [
            (one.module, f"{one.median_ms:.1f} ({one.best_ms:.1f})", f"{one.median_ms / floor.median_ms:.2f}")
            for one in imported
        ],
    )
    calls = first_calls()
    print_table(
        "the first get_media on a known endpoint, until the first frame",
        ("transport", "control-plane calls", "connections", "round trips", "of TLS", "beyond TCP and TLS"),
        [
            (
                call.transport,
                str(call.control_calls),
                str(call.connections),
                str(call.round_trips),
                str(call.handshake),
                str(call.round_trips - call.handshake),
            )
            for call in calls
        ],
    )
    print(machine.one_line(about))
    record = {"imports": [asdict(one) for one in imported], "calls": [asdict(call) for call in calls]}
    write_json(options.json, {"about": about, **record})
