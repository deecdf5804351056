"""``latency``: how long a frame is under way."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine
from benchmarks.commands.options import add_json, count, write_json
from benchmarks.latency import READERS, measure
from benchmarks.server import TRANSPORTS
from benchmarks.table import print_table

HELP = "from a paced server's send to the frame in hand"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--frames", type=count, default=200, help="of 500 bytes, one each 50 ms (default 200)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    delays = [
        measure(reader, transport, frames=options.frames, interval_s=0.05)
        for transport in TRANSPORTS
        for reader in READERS
    ]
    print_table(
        f"{options.frames} frames of 500 bytes, one each 50 ms: ms from the send to the frame in hand",
        ("reader", "transport", "median", "95 %", "median from before the send"),
        [
            (
                delay.reader,
                delay.transport,
                f"{delay.median_ms:.3f}",
                f"{delay.p95_ms:.3f}",
                f"{delay.from_before_ms:.3f}",
            )
            for delay in delays
        ],
    )
    print(machine.one_line(about))
    write_json(options.json, {"about": about, "delays": [asdict(delay) for delay in delays]})
