"""Who consumes: threads that close and restart, and children that are killed."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import random
import resource
import signal
import socket
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

import kvsfast
from tests.torture.house import Closed, House
from tests.torture.ledger import Audit, Ledger, audit
from tests.torture.plan import Choice, Plan
from tests.torture.session import Run, new_store

FORK = multiprocessing.get_context("fork")
#: A session that delivers nothing for so long has lost something, or hangs.
STUCK_AFTER = 60.0
#: For connections and threads to be gone when all is over.
PATIENCE = 20.0
#: Of resident memory, before it can be said to be flat.
LEAST_SAMPLES = 25
#: Consumers of one session, before it is called stuck.
MOST_RUNS = 400
#: A child is killed at a moment within these seconds of its life, so often at most.
KILLED_WITHIN = (0.01, 0.4)
MOST_KILLS = 15


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    address: str
    folder: Path
    dynamodb_url: str

    def ledger(self, plan: Plan) -> Path:
        return self.folder / f"{plan.name}.ledger"

    def database(self, plan: Plan) -> str:
        return str(self.folder / f"{plan.name}.db")


@dataclass
class Result:
    """A session that is over."""

    plan: Plan
    audit: Audit
    closed: Closed
    runs: int
    kills: int = 0
    crashes: int = 0
    stuck: bool = False
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


@dataclass
class Leaks:
    """What a worker had more of at its end than at its beginning. ``grown``: KiB of resident memory between
    the second quarter of its sessions and the last."""

    sockets: int = 0
    threads: int = 0
    receive_memory: int = 0
    grown: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class Report:
    """All of a worker."""

    results: list[Result] = field(default_factory=list)
    leaks: Leaks = field(default_factory=Leaks)


def _result(place: Place, plan: Plan, closed: Closed, ledger: Ledger, **details: object) -> Result:
    ledger.close()
    by_frame = plan.granularity != "fragments"
    found = audit(ledger.lines(), plan.stream, plan.count, by_frame=by_frame)
    if found.is_clean and not details.get("stuck"):
        place.ledger(plan).unlink()
        for suffix in ("", "-wal", "-shm"):
            Path(place.database(plan) + suffix).unlink(missing_ok=True)
    return Result(plan, found, closed, **details)  # type: ignore[arg-type]


# -- threads


def work_in_threads(place: Place, choice: Choice, count: int, report: Connection) -> None:
    """A worker process: ``count`` sessions at once, until the house says that it is enough."""
    baseline = _Baseline()
    done = Report()
    lock = threading.Lock()
    watches: dict[str, _Watch] = {}

    def work() -> None:
        house = House(place.address)
        while (number := house.number()) is not None:
            plan = choice.plan(number, "restart")
            watch = watches[plan.name] = _Watch(place.ledger(plan))
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


def _in_thread(place: Place, plan: Plan, house: House, watch: _Watch) -> Result:
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
                failures[type(error).__name__] += 1
                time.sleep(0.01)
            finally:
                store.close()
                events += run.events
    closed = house.close_session(plan.name)
    return _result(
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


class _Watch:
    """Whether a ledger has grown lately. ``run``: who writes it, if that is a thread."""

    def __init__(self, path: Path) -> None:
        self.run: Run | None = None
        self._path = path
        self._size, self._since = -1, time.monotonic()

    @property
    def is_stuck(self) -> bool:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:  # not yet, or not any more
            size = 0
        if size != self._size:
            self._size, self._since = size, time.monotonic()
        return time.monotonic() - self._since > STUCK_AFTER

    def stop_what_is_stuck(self) -> None:
        """So that the thread that waits in it comes back."""
        if self.run is not None and self.is_stuck:
            self.run.stop()


class _Baseline:
    """What the process has when nothing goes on."""

    def __init__(self) -> None:
        self._sockets = _sockets()
        self._threads = {thread.name for thread in threading.enumerate()}
        self._memory: list[int] = []

    def sample(self) -> None:
        """After a session."""
        self._memory.append(_resident())

    def leaks(self) -> Leaks:
        # Botocore leaves its idle connections to the garbage collector, and an error that ended a session
        # holds its frames, which hold it. What is left after a collection, nobody will ever close.
        gc.collect()
        until = time.monotonic() + PATIENCE
        while (left := self._left()) != (set(), set()) and time.monotonic() < until:
            time.sleep(0.05)
        sockets, threads = left
        in_use = kvsfast.memory_stats().in_use
        leaks = Leaks(len(sockets), len(threads), in_use, notes=sorted(sockets | threads))
        quarter = len(self._memory) // 4
        if quarter >= LEAST_SAMPLES:
            before, after = self._memory[quarter : 2 * quarter], self._memory[-quarter:]
            leaks.grown = sorted(after)[quarter // 2] - sorted(before)[quarter // 2]
        return leaks

    def _left(self) -> tuple[set[str], set[str]]:
        threads = {thread.name for thread in threading.enumerate()}
        return _sockets() - self._sockets, threads - self._threads


def _sockets() -> set[str]:
    """Sockets of this process, by where they lead."""
    found = set()
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{each}")
            if name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(each))) as copy:
                    found.add(f"{name} to {copy.getpeername()}")
    return found


def _resident() -> int:
    """KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


# -- children


@dataclass
class _Life:
    """A session whose processes are killed, and the one that lives at the moment."""

    plan: Plan
    options: dict[str, object]
    ledger: Ledger
    dice: random.Random
    watch: _Watch
    began: float
    process: multiprocessing.process.BaseProcess | None = None
    dies_at: float = 0.0
    runs: int = 0
    kills: int = 0
    crashes: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def is_stuck(self) -> bool:
        return self.watch.is_stuck or self.runs >= MOST_RUNS


def work_in_children(place: Place, choice: Choice, count: int, report: Connection) -> None:
    """A worker process without threads, so that it can fork: ``count`` sessions at once."""
    house = House(place.address)
    done = Report()
    lives: list[_Life] = []
    while True:
        while len(lives) < count and (number := house.number()) is not None:
            plan = choice.plan(number, "kill")
            path = place.ledger(plan)
            dice, now = random.Random(f"{plan.seed}/kills"), time.monotonic()
            lives.append(_Life(plan, house.open(plan).options, Ledger(path), dice, _Watch(path), now))
            _begin(place, lives[-1])
        if not lives:
            break
        _wait_for_death(lives)
        for life in list(lives):
            if _look_at(place, life, house):
                lives.remove(life)
                closed = house.close_session(life.plan.name)
                stuck = life.process is not None
                done.results.append(
                    _result(
                        place,
                        life.plan,
                        closed,
                        life.ledger,
                        runs=life.runs,
                        kills=life.kills,
                        crashes=life.crashes,
                        stuck=stuck,
                        seconds=time.monotonic() - life.began,
                        failures=life.failures,
                    )
                )
    house.leave()
    report.send(done)


def _begin(place: Place, life: _Life) -> None:
    life.runs += 1
    life.process = FORK.Process(target=_child, args=(place, life.plan, life.options, life.runs))
    life.process.start()
    lives_on = life.kills >= MOST_KILLS
    life.dies_at = time.monotonic() + (1e9 if lives_on else life.dice.uniform(*KILLED_WITHIN))


def _wait_for_death(lives: list[_Life]) -> None:
    sentinels = [life.process.sentinel for life in lives if life.process is not None]
    left = min(life.dies_at for life in lives) - time.monotonic()
    wait(sentinels, min(1.0, max(0.0, left)))


def _look_at(place: Place, life: _Life, house: House) -> bool:
    """Kill it if its time has come, and begin it anew. Whether the session is over."""
    process = life.process
    assert process is not None
    is_stuck = life.is_stuck
    if process.exitcode is None and (is_stuck or time.monotonic() >= life.dies_at):
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            life.kills += 1
            house.killed()
            if is_stuck:
                return True
    if process.exitcode is None:
        return False
    status = process.exitcode
    process.close()
    life.process = None
    if status == 0:
        return True
    if status == GAVE_UP:
        life.failures["gave up"] += 1
    elif status != -signal.SIGKILL:
        life.crashes += 1
    _begin(place, life)
    return False


#: What a child says when a consumer gave up, as an operator would begin it again; 1 is a failure of the test.
GAVE_UP = 3


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
