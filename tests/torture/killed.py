"""One consumer, killed again and again while its stream goes on.

    python -m tests.torture.killed --kills 200 --minutes 20 --speed 12

Stream time runs ``--speed`` times as fast as time: a fragment is a second of it. In the end every fragment
was delivered, none again after it was committed, and each kill was survived.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from kvsfast.consume.dynamodb import DynamoCheckpoints
from tests.moto_server import dynamodb_options, moto_server
from tests.torture.children import Life, wait_for_deaths
from tests.torture.house import House, house
from tests.torture.plan import GRANULARITIES, STORES, TRANSPORTS, Plan
from tests.torture.session import TABLE
from tests.torture.worker import Place, Result

#: The shortest life: some have not even begun by then.
SHORTEST = 0.02


def run(plan: Plan) -> Result:
    """The whole life of one session."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="killed-")))
        url = ""
        if plan.store == "dynamodb":
            url = stack.enter_context(moto_server())
            with DynamoCheckpoints(TABLE, **dynamodb_options(url)) as store:
                store.create_table()
        place = Place(stack.enter_context(house(folder, 1 << 60, 1e9)), folder, url)
        life = Life(place, plan, House(place.address))
        told = time.monotonic()
        while not life.look():
            wait_for_deaths([life])
            if time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"{life.kills} kills", file=sys.stderr, flush=True)
        return life.end()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.killed", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=20.0, help="of stream time")
    parser.add_argument("--speed", type=float, default=12.0, help="seconds of stream time in a second")
    parser.add_argument(
        "--faults", type=float, default=0.0, help="share of connections that meet one, besides"
    )
    parser.add_argument("--transport", choices=TRANSPORTS, default="tls")
    parser.add_argument("--granularity", choices=GRANULARITIES, default="fragments")
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    count = round(60 * options.minutes)
    # All kills happen while the stream goes on: their mean distance is that of its time, less a quarter.
    longest = 2 * 0.75 * count / options.speed / options.kills - SHORTEST
    plan = Plan(
        stream=1,
        seed=str(seed),
        transport=options.transport,
        granularity=options.granularity,
        store=options.store,
        interruption="kill",
        count=count,
        share=options.faults,
        auto_commit=False,
        prefetch=False,
        limits=False,
        stored=1,
        same_owner=True,
        pause=1 / options.speed,
        kills=options.kills,
        killed_within=(SHORTEST, max(2 * SHORTEST, longest)),
    )
    result = run(plan)
    found = result.audit
    print(
        f"seed {seed}: {result.kills} kills in {count} s of stream time ({result.seconds:.0f} s),"
        f" {found.delivered} of {count} fragments delivered, {found.lost} lost,"
        f" {found.repeated} repeated after commit, {found.wrong + result.crashes} wrong",
        *found.notes,
        sep="\n",
    )
    is_well = found.is_clean and not result.stuck and not result.crashes and not result.closed.leaked
    return 0 if is_well and result.kills == options.kills and found.committed == count else 1


if __name__ == "__main__":
    sys.exit(main())
