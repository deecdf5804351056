"""Sessions in threads of one process: consumers that are closed and made anew, and leave nothing behind."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from multiprocessing.connection import Connection

import kvsfast
from tests.torture.house import House
from tests.torture.ledger import Ledger
from tests.torture.plan import Choice, Plan
from tests.torture.session import Run, new_store
from tests.torture.worker import MOST_RUNS, Baseline, Place, Report, Result, Watch, result_of

#: What is kept of an error's text.
MESSAGE = 90


def work_in_threads(place: Place, choice: Choice, count: int, report: Connection) -> None:
    """A worker process: ``count`` sessions at once, until the house says that it is enough."""
    baseline = Baseline()
    done = Report()
    lock = threading.Lock()
    watches: dict[str, Watch] = {}

    def work() -> None:
        house = House(place.address)
        while (number := house.number()) is not None:
            plan = choice.plan(number, "restart")
            watch = watches[plan.name] = Watch(place.ledger(plan))
            result = _in_thread(place, plan, house, watch)
            del watches[plan.name]
            with lock:
                done.results.append(result)
                baseline.sample()
        house.leave()

    threads = [threading.Thread(target=work, name=f"worker-{index}") for index in range(count)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        for watch in list(watches.values()):
            watch.stop_what_is_stuck()
    done.leaks = baseline.leaks()
    report.send(done)


def _in_thread(place: Place, plan: Plan, house: House, watch: Watch) -> Result:
    opened = house.open(plan)
    ledger = Ledger(place.ledger(plan))
    failures: Counter[str] = Counter()
    events: Counter[str] = Counter()
    is_done, runs, began = False, 0, time.monotonic()
    with kvsfast.Client(**opened.options, idle_timeout=0.5, connect_timeout=5.0) as client:
        while not is_done and runs < MOST_RUNS and not watch.is_stuck:
            runs += 1
            dice = random.Random(f"{plan.seed}/{runs}")
            run = watch.run = Run(plan, ledger, dice, restarts=runs < MOST_RUNS / 2)
            store = new_store(plan, place.database(plan), place.dynamodb_url)
            try:
                is_done = run.consume(client, store)
            except kvsfast.KvsFastError as error:
                # What an operator does: begin again.
                failures[f"{type(error).__name__}: {error}"[:MESSAGE]] += 1
                time.sleep(0.01)
            finally:
                store.close()
                events += run.events
    closed = house.close_session(plan.name)
    return result_of(
        place,
        plan,
        closed,
        ledger,
        runs=runs,
        stuck=not is_done,
        seconds=time.monotonic() - began,
        failures=failures,
        events=events,
    )
