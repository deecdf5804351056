"""``session``: the memory of one long session."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine
from benchmarks.commands.options import add_json, say, write_json
from benchmarks.server import TRANSPORTS
from benchmarks.session import READERS, run_session
from benchmarks.table import print_table
from benchmarks.workloads import WORKLOADS

HELP = "memory of one long session: fails where it grows"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--session-gb", type=float, default=20.0, metavar="GB", help="to read (default 20)")
    parser.add_argument("--workload", choices=WORKLOADS, default="1080p", help="(default 1080p)")
    parser.add_argument("--transport", choices=TRANSPORTS, default="tcp", help="(default tcp)")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    sessions = []
    for reader in READERS:
        say(f"{options.session_gb:g} GB through {reader}()")
        size = int(options.session_gb * 1e9)
        sessions.append(run_session(reader, options.workload, options.transport, size))
    say("")
    print_table(
        f"{options.session_gb:g} GB in one session, {options.workload}: resident MiB",
        ("reader", "before", "first fifth", "last fifth", "peak", "limit"),
        [
            (
                session.title,
                _mib(session.base_bytes),
                _mib(max(point.resident_bytes for point in session.points[: len(session.points) // 5])),
                _mib(max(point.resident_bytes for point in session.points[-len(session.points) // 5 :])),
                _mib(session.peak_bytes),
                _mib(session.limit_bytes),
            )
            for session in sessions
        ],
    )
    print(machine.one_line(about))
    write_json(options.json, {"about": about, "sessions": [asdict(session) for session in sessions]})
    if faults := [fault for session in sessions for fault in session.faults()]:
        raise SystemExit("\n".join(faults))


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
