"""``micro``: in memory, beside C."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine, native
from benchmarks.commands.options import add_json, count, write_json
from benchmarks.micro import BODIES, SHAPES, Timing, measure_bodies, measure_frames
from benchmarks.table import print_table

HELP = "ns per frame and HTTP decoding, in memory"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=count, default=9, help="of each case, in turns (default 9)")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    record: dict[str, list[Timing]] = {}
    for name, shape in SHAPES.items():
        record[name] = timings = measure_frames(shape, options.rounds)
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
    if why := native.missing():
        print(f"skipped the programs in C: {why}")
    print(machine.one_line(about))
    write_json(
        options.json,
        {"about": about, **{name: [asdict(each) for each in all_] for name, all_ in record.items()}},
    )
