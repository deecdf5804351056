"""``curves``: cost against size, which must be straight lines."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine
from benchmarks.commands.options import add_json, count, say, write_json
from benchmarks.curves import CURVES, fit, measure
from benchmarks.table import print_table

HELP = "cost against size: fails where it is no straight line"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rounds", type=count, default=7, help="of each size, in each of 3 processes (default 7)"
    )
    parser.add_argument("--only", action="append", choices=CURVES, metavar="NAME", help=", ".join(CURVES))
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    drawn = []
    for name in options.only or CURVES:
        say(name)
        points = measure(CURVES[name], options.rounds)
        drawn.append((CURVES[name], points, fit(points)))
    say("")
    print_table(
        "CPU against size, in memory",
        ("what grows", "from", "to", "ms at most", "R²", "square term", "straight"),
        [
            (
                curve.title,
                f"{curve.sizes[0]:,}",
                f"{curve.sizes[-1]:,}",
                f"{1000 * points[-1].seconds:.2f}",
                f"{line.r_squared:.4f}",
                f"{100 * line.curved:.1f} %",
                "yes" if line.is_straight else "NO",
            )
            for curve, points, line in drawn
        ],
    )
    print(machine.one_line(about))
    curves = [
        {
            "title": curve.title,
            "unit": curve.unit,
            "points": [asdict(point) for point in points],
            **asdict(line),
        }
        for curve, points, line in drawn
    ]
    write_json(options.json, {"about": about, "curves": curves})
    if crooked := [curve.title for curve, _, line in drawn if not line.is_straight]:
        raise SystemExit(f"no straight line: {', '.join(crooked)}")
