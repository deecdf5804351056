"""``micro``: in memory, beside C."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine, native
from benchmarks.commands.options import add_json, count, write_json
from benchmarks.micro import BODIES, SHAPES, Timing, measure_bodies, measure_frames
from benchmarks.rivals.memory import IN_MEMORY
from benchmarks.table import print_table

HELP = "ns per frame and HTTP decoding, in memory"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=count, default=9, help="of each case, in turns (default 9)")
    parser.add_argument("--rivals", action="store_true", help="parsers of other projects as well")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    missing = {rival: rival.program.missing() for rival in IN_MEMORY} if options.rivals else {}
    rivals = [rival for rival, why in missing.items() if why is None]
    record: dict[str, list[Timing]] = {}
    for name, shape in SHAPES.items():
        record[name] = timings = measure_frames(shape, options.rounds, rivals)
        print_table(
            f"{name}: 200-byte frames, {shape.frames_per_document} in a document",
            ("CPU", "ns/frame (min)", "/ first"),
            [
                (each.title, f"{each.median:.1f} ({each.best:.1f})", f"{each.median / timings[0].median:.2f}")
                for each in timings
            ],
        )
    for name, body in BODIES.items():
        record[f"http-{name}"] = timings = measure_bodies(body, options.rounds)
        print_table(
            f"HTTP chunks decoded: {body.title}",
            ("CPU", "GB/s (best)", "time / first"),
            [
                (each.title, f"{each.median:.1f} ({each.best:.1f})", f"{timings[0].median / each.median:.2f}")
                for each in timings
            ],
        )
    for rival, why in missing.items():
        if why:
            print(f"skipped {rival.title}: {why}")
    if why := native.missing():
        print(f"skipped the programs in C: {why}")
    print(machine.one_line(about))
    write_json(
        options.json,
        {"about": about, **{name: [asdict(each) for each in all_] for name, all_ in record.items()}},
    )
