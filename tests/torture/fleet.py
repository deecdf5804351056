"""Two processes share four streams by one lease table; one is stopped and goes on, and one is killed.

    python -m tests.torture.fleet --lease 6

Each fragment is committed once, whoever does it. When a process is stopped or killed, the other has its
streams within the lease time; when it goes on, it is fenced, and they share again.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import boto3.session

import kvsfast
from kvsfast.consume.dynamodb import DynamoCheckpoints
from tests.moto_server import dynamodb_options, moto_server
from tests.torture import media
from tests.torture.house import House, house
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan, Transport
from tests.torture.session import RESUME, TABLE

SPAWN = multiprocessing.get_context("spawn")
STREAMS: dict[int, Transport] = {1: "tcp", 2: "tls", 3: "sealed", 4: "direct"}
#: Nothing takes so long unless something hangs.
PATIENCE = 120.0


def plan_of(stream: int, seed: int, *, share: float) -> Plan:
    """A live stream that does not end. ``share``: of responses that meet a fault."""
    return Plan(
        stream=stream,
        seed=f"{seed}/{stream}",
        transport=STREAMS[stream],
        granularity="fragments",
        store="dynamodb",
        interruption="restart",
        count=1 << 30,
        share=share,
        auto_commit=False,
        prefetch=False,
        limits=False,
        stored=1,
        same_owner=True,
        pause=0.1,
    )


def ledger_of(folder: Path, stream: int) -> Path:
    return folder / f"stream-{stream}.ledger"


# -- a member of the fleet


@dataclass(frozen=True)
class Order:
    """What a member has to know: its streams, how each is reached, and the table."""

    folder: Path
    plans: list[Plan]
    options: list[dict[str, Any]]
    dynamodb_url: str
    lease: float


def member(me: int, order: Order) -> None:
    """A process: all streams, each by a thread, with one store."""
    session = boto3.session.Session()
    with DynamoCheckpoints(
        TABLE,
        owner=f"member-{me}",
        lease_seconds=order.lease,
        fair_share=True,
        session=session,
        **dynamodb_options(order.dynamodb_url),
    ) as store:
        threads = [
            threading.Thread(target=_consume, args=(me, order.folder, plan, options, store))
            for plan, options in zip(order.plans, order.options, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _consume(me: int, folder: Path, plan: Plan, options: dict[str, Any], store: DynamoCheckpoints) -> None:
    ledger = Ledger(ledger_of(folder, plan.stream))
    with kvsfast.Client(**options, idle_timeout=2.0) as client:
        while True:
            try:
                _own(plan, me, client, store, ledger)
            except kvsfast.LeaseLost:
                ledger.write("fenced", me)
            except kvsfast.CheckpointError:  # the table could not be reached; an operator begins again
                ledger.write("failed", me)


def _own(plan: Plan, me: int, client: kvsfast.Client, store: DynamoCheckpoints, ledger: Ledger) -> None:
    with client.consume(
        plan.name,
        kvsfast.StartSelector.earliest(),
        checkpoint=store,
        resume=RESUME,
        max_refetches=1000,
        idle_after=1.0,
        claim_every=store.lease_seconds / 6,
    ) as fragments:
        for fragment in fragments:
            index = media.name(fragment.frames[0].data)[1]
            ledger.write("given", index, me)
            ledger.write("commits", index, me)
            fragments.commit(fragment)
            ledger.write("committed", index, me)


# -- what is done to them


@dataclass
class Account:
    """What came of it. ``takeovers``: seconds until the others had all streams, by what had happened."""

    takeovers: dict[str, float] = field(default_factory=dict)
    fenced: int = 0
    committed: int = 0
    twice: int = 0
    lost: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.twice or self.lost) and self.fenced > 0


class Fleet:
    """The members, and what their ledgers say at the moment."""

    def __init__(self, folder: Path, start: Callable[[int], BaseProcess], lease: float) -> None:
        self._folder = folder
        self._lease = lease
        self._start = start
        self.processes: dict[int, BaseProcess] = {}
        self.account = Account()

    def join(self, *members: int) -> None:
        for each in members:
            self.processes[each] = self._start(each)

    def lines(self, stream: int) -> list[tuple[str, ...]]:
        """What was written so far: what it is, which fragment, which member."""
        path = ledger_of(self._folder, stream)
        if not path.exists():
            return []
        whole = path.read_text().rpartition("\n")[0]
        return [tuple(line.split()) for line in whole.splitlines()]

    def owners(self) -> dict[int, int]:
        """Who committed last, by stream."""
        found = {}
        for stream in STREAMS:
            if commits := [line for line in self.lines(stream) if line[0] == "committed"]:
                found[stream] = int(commits[-1][2])
        return found

    def wait_until_shared(self, *members: int) -> None:
        """Each of two has half of the streams, and nothing has changed hands for the time of a lease."""
        owners, since = self.owners(), time.monotonic()

        def rests() -> bool:
            nonlocal owners, since
            if (now := self.owners()) != owners:
                owners, since = now, time.monotonic()
            is_shared = Counter(owners.values()) == dict.fromkeys(members, 2)
            return is_shared and time.monotonic() - since >= self._lease

        self.wait(rests, "the streams are shared")

    def time_takeover(self, what: str, streams: list[int], heir: int) -> None:
        """How long it takes until ``heir`` gives from all ``streams``."""
        began = time.monotonic()
        marks = {stream: len(self.lines(stream)) for stream in streams}

        def has_all() -> bool:
            return all(
                any(
                    (line[0], line[-1]) == ("given", str(heir))
                    for line in self.lines(stream)[marks[stream] :]
                )
                for stream in streams
            )

        self.wait(has_all, f"the other has them after it was {what}")
        self.account.takeovers[what] = time.monotonic() - began

    def signal(self, each: int, number: signal.Signals) -> None:
        pid = self.processes[each].pid
        assert pid is not None
        os.kill(pid, number)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, f"{what}: it does not come about; {self.told()}"
            time.sleep(0.02)

    def told(self) -> str:
        """The last lines of all ledgers."""
        return "; ".join(f"{stream}: {self.lines(stream)[-4:]}" for stream in STREAMS)

    def end(self) -> Account:
        """Kill all, and look at every fragment up to the last one that was committed."""
        for process in self.processes.values():
            process.kill()
            process.join()
        for stream in STREAMS:
            self._audit(stream)
        return self.account

    def _audit(self, stream: int) -> None:
        lines = self.lines(stream)
        commits = Counter(int(line[1]) for line in lines if line[0] == "committed")
        begun = {int(line[1]) for line in lines if line[0] == "commits"}
        given = {int(line[1]) for line in lines if line[0] == "given"}
        # One who was killed may have committed what it could not write down any more.
        missing = [index for index in range(max(commits)) if index not in given or index not in begun]
        twice = [index for index, times in commits.items() if times > 1]
        self.account.committed += len(commits)
        self.account.lost += len(missing)
        self.account.twice += len(twice)
        self.account.fenced += sum(line[0] == "fenced" for line in lines)
        if missing or twice:
            self.account.notes.append(
                f"stream {stream}: missing {missing[:10]}, committed twice {twice[:10]}"
            )


def run(lease: float, seed: int, *, quick: bool = False) -> Account:
    """The whole story, or ``quick`` without faults on the way and without one who takes the place of the
    killed."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        url = stack.enter_context(moto_server())
        with DynamoCheckpoints(TABLE, **dynamodb_options(url)) as store:
            store.create_table()
        keeper = House(stack.enter_context(house(folder, 1 << 60, 1e9)))
        plans = [plan_of(stream, seed, share=0.0 if quick else 0.3) for stream in STREAMS]
        order = Order(folder, plans, [keeper.open(plan).options for plan in plans], url, lease)

        def start(each: int) -> BaseProcess:
            process = SPAWN.Process(target=member, args=(each, order))
            process.start()
            stack.callback(process.kill)
            return process

        fleet = Fleet(folder, start, lease)
        fleet.join(1, 2)
        fleet.wait_until_shared(1, 2)
        owned = [stream for stream, owner in fleet.owners().items() if owner == 1]
        fleet.signal(1, signal.SIGSTOP)
        fleet.time_takeover("stopped", owned, heir=2)
        fleet.signal(1, signal.SIGCONT)
        fleet.wait(
            lambda: all(("fenced", "1") in fleet.lines(stream) for stream in owned),
            "the stopped one is fenced",
        )
        fleet.wait_until_shared(1, 2)
        owned = [stream for stream, owner in fleet.owners().items() if owner == 2]
        fleet.signal(2, signal.SIGKILL)
        fleet.time_takeover("killed", owned, heir=1)
        if not quick:
            fleet.join(3)
            fleet.wait_until_shared(1, 3)
        return fleet.end()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.fleet", description=__doc__)
    parser.add_argument("--lease", type=float, default=6.0, help="seconds")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--patient", action="store_true", help="do not mind how long it takes to take over")
    parser.add_argument(
        "--quick", action="store_true", help="no faults on the way, nobody for the killed one"
    )
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    account = run(options.lease, seed, quick=options.quick)
    took = ", ".join(f"{what}: {seconds:.1f} s" for what, seconds in account.takeovers.items())
    print(
        f"seed {seed}: {account.committed} fragments committed, {account.twice} twice, {account.lost} lost,"
        f" {account.fenced} times fenced; taken over, of {options.lease:g} s, when {took}",
        *account.notes,
        sep="\n",
    )
    in_time = options.patient or all(
        seconds <= options.lease + GRACE for seconds in account.takeovers.values()
    )
    return 0 if account.is_clean and in_time else 1


#: From having a stream to giving its first fragment, on a busy machine.
GRACE = 1.0

if __name__ == "__main__":
    sys.exit(main())
