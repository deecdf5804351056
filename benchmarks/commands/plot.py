"""``plot``: pictures of what the other commands wrote by ``--json``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "pictures of records that other modes wrote by --json"
PLOTS = Path(__file__).parents[1] / "plots"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD", help="a JSON file")
    parser.add_argument("--to", type=Path, default=PLOTS, metavar="FOLDER", help="(default benchmarks/plots)")


def run(options: argparse.Namespace) -> None:
    from benchmarks.plots import draw

    for path in draw([json.loads(record.read_text()) for record in options.records], options.to):
        print(path)
