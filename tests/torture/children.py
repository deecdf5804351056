"""Sessions in processes that are killed, from one that has no threads and so can fork."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection, wait

import kvsfast
from tests.torture.house import House
from tests.torture.ledger import Ledger
from tests.torture.plan import Choice, Plan
from tests.torture.session import Run, new_store
from tests.torture.worker import MOST_RUNS, Place, Report, Result, Watch, result_of

FORK = multiprocessing.get_context("fork")
#: What a child says when a consumer gave up, to be begun again as an operator would. 1: the test has failed.
GAVE_UP = 3


class Life:
    """A session whose processes are killed, and the one that lives at the moment."""

    def __init__(self, place: Place, plan: Plan, house: House) -> None:
        self.plan = plan
        self.kills = 0
        self._place = place
        self._house = house
        self._options = house.open(plan).options
        self._ledger = Ledger(place.ledger(plan))
        self._dice = random.Random(f"{plan.seed}/kills")
        self._watch = Watch(self._ledger.path)
        self._began = time.monotonic()
        self._runs = self._crashes = 0
        self._failures: Counter[str] = Counter()
        self._is_stuck = False
        self._begin()

    @property
    def sentinel(self) -> int:
        """Becomes ready when the process dies."""
        return self._process.sentinel

    def look(self) -> bool:
        """Kill it if its time has come, and begin it anew. Whether the session is over."""
        process = self._process
        self._is_stuck = self._watch.is_stuck or self._runs >= MOST_RUNS + self.plan.kills
        if process.exitcode is None and (self._is_stuck or time.monotonic() >= self.dies_at):
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL and not self._is_stuck:
                self.kills += 1
                self._house.killed()
        if process.exitcode is None:
            return False
        status = process.exitcode
        process.close()
        if status == 0 or self._is_stuck:
            self._is_stuck = status != 0
            return True
        if status == GAVE_UP:
            self._failures["gave up"] += 1
        elif status != -signal.SIGKILL:
            self._crashes += 1
        self._begin()
        return False

    def end(self) -> Result:
        """The account of it."""
        return result_of(
            self._place,
            self.plan,
            self._house.close_session(self.plan.name),
            self._ledger,
            runs=self._runs,
            kills=self.kills,
            crashes=self._crashes,
            stuck=self._is_stuck,
            seconds=time.monotonic() - self._began,
            failures=self._failures,
        )

    def _begin(self) -> None:
        self._runs += 1
        arguments = (self._place, self.plan, self._options, self._runs)
        self._process = FORK.Process(target=_child, args=arguments)
        self._process.start()
        lives_on = self.kills >= self.plan.kills
        self.dies_at = time.monotonic() + (1e9 if lives_on else self._dice.uniform(*self.plan.killed_within))


def wait_for_deaths(lives: list[Life]) -> None:
    """Until one has died, or is to be killed."""
    left = min(life.dies_at for life in lives) - time.monotonic()
    wait([life.sentinel for life in lives], min(1.0, max(0.0, left)))


def work_in_children(place: Place, choice: Choice, count: int, report: Connection) -> None:
    """A worker process: ``count`` sessions at once, until the house says that it is enough."""
    house = House(place.address)
    done = Report()
    lives: list[Life] = []
    while True:
        while len(lives) < count and (number := house.number()) is not None:
            lives.append(Life(place, choice.plan(number, "kill"), house))
        if not lives:
            break
        wait_for_deaths(lives)
        for life in [each for each in lives if each.look()]:
            lives.remove(life)
            done.results.append(life.end())
    house.leave()
    report.send(done)


def _child(place: Place, plan: Plan, options: dict[str, object], run: int) -> None:
    ledger = Ledger(place.ledger(plan))
    dice = random.Random(f"{plan.seed}/{run}")
    try:
        client = kvsfast.Client(**options, idle_timeout=0.5, connect_timeout=5.0)  # type: ignore[arg-type]
        store = new_store(plan, place.database(plan), place.dynamodb_url)
        is_done = Run(plan, ledger, dice, restarts=False).consume(client, store)
        store.close()
    except kvsfast.KvsFastError:
        os._exit(GAVE_UP)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0 if is_done else 1)
