"""The torture run's command."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kvsfast.consume.dynamodb import DynamoCheckpoints
from tests.moto_server import dynamodb_options, moto_server
from tests.torture.children import work_in_children
from tests.torture.house import House, house
from tests.torture.plan import GRANULARITIES, STORES, TRANSPORTS, Choice
from tests.torture.session import TABLE
from tests.torture.table import summary, text
from tests.torture.threads import work_in_threads
from tests.torture.worker import Place, Report

SPAWN = multiprocessing.get_context("spawn")
#: How often it is said how far it is.
TELL_EVERY = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.quick:
        options.faults, options.fragments = min(options.faults, 150), min(options.fragments, 12)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    choice = Choice(
        seed,
        tuple(options.transport or TRANSPORTS),
        tuple(options.granularity or GRANULARITIES),
        tuple(options.store or STORES),
        options.fragments,
    )
    print(f"seed {seed}", file=sys.stderr, flush=True)
    began = time.monotonic()
    found = {"seed": seed, **run(choice, options.faults, options.seconds, options.threads, options.children)}
    found["seconds"] = round(time.monotonic() - began, 1)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(text(found))
        print(f"seed {seed}: {'clean' if found['is_clean'] else 'NOT CLEAN'} after {found['seconds']:.0f} s")
    return 0 if found["is_clean"] else 1


def run(choice: Choice, faults: int, seconds: float, threads: int, children: int) -> dict[str, Any]:
    """All of it; see :func:`table.summary`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        url = ""
        if "dynamodb" in choice.stores:
            url = stack.enter_context(moto_server())
            with DynamoCheckpoints(TABLE, **dynamodb_options(url)) as store:
                store.create_table()
        place = Place(stack.enter_context(house(folder, faults, seconds)), folder, url)
        workers = [(work_in_threads, threads)] if threads else []
        workers += [(work_in_children, children)] if children else []
        pipes = []
        for work, count in workers:
            ours, theirs = SPAWN.Pipe(duplex=False)
            process = SPAWN.Process(target=work, args=(place, choice, count, theirs))
            process.start()
            theirs.close()
            pipes.append((ours, process))
        reports = _gather(pipes, place)
    return summary(reports)


def _gather(pipes: list[tuple[Any, Any]], place: Place) -> list[Report]:
    reports: list[Report] = []
    asking = House(place.address)
    told = time.monotonic()
    while pipes:
        for pipe, process in list(pipes):
            if pipe.poll(0.2):
                reports.append(pipe.recv())
                process.join()
                pipes.remove((pipe, process))
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            print(f"{asking.faults():,} faults", file=sys.stderr, flush=True)
    return reports


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--faults", type=int, default=10_000, help="go on until there were so many")
    parser.add_argument("--seconds", type=float, default=1800.0, help="begin no session after so long")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--fragments", type=int, default=30, help="of a session, at most")
    parser.add_argument(
        "--transport", action="append", choices=TRANSPORTS, help="may be repeated; default all"
    )
    parser.add_argument("--granularity", action="append", choices=GRANULARITIES, help="the same")
    parser.add_argument("--store", action="append", choices=STORES, help="the same")
    parser.add_argument("--threads", type=int, default=16, help="sessions at once that restart")
    parser.add_argument("--children", type=int, default=3, help="sessions at once that are killed")
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    parser.add_argument("--json", action="store_true", help="all numbers, for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
