"""The SQLite store: the contract, what it says about files that are not its own, many processes, forks, and
SIGKILL at any moment."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kvsfast.consume.checkpoint import Checkpoint, StreamCheckpoint
from kvsfast.consume.sqlite import SqliteCheckpoints
from kvsfast.errors import CheckpointError, UsageError
from tests.consume.store_contract import FIRST, SECOND, NewStore, StoreContract, claimed

SPAWN = multiprocessing.get_context("spawn")
FORK = multiprocessing.get_context("fork")


class TestSqlite(StoreContract):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewStore:
        return lambda: SqliteCheckpoints(tmp_path / "front-door.db", synchronous="OFF")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "front-door.db"


# -- the file


def test_it_is_there_after_the_store_was_closed(path: Path) -> None:
    with SqliteCheckpoints(path) as store:
        claimed(store).save(SECOND)
    assert path.exists()
    with SqliteCheckpoints(str(path)) as store:
        assert store.load("front-door") == SECOND
        assert store.load("back-door") is None


@pytest.mark.parametrize(
    ("options", "number"),
    [({}, 2), ({"synchronous": "OFF"}, 0), ({"synchronous": "NORMAL"}, 1), ({"synchronous": "FULL"}, 2)],
)
def test_synchronous(path: Path, options: dict[str, Any], number: int) -> None:
    store = SqliteCheckpoints(path, **options)
    with store._database() as database:
        assert database.execute("PRAGMA synchronous").fetchone() == (number,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"synchronous": "full"}, "synchronous is 'full'"),
        ({"timeout": -1}, "timeout is -1"),
        ({"path": ":memory:"}, "memory"),
    ],
)
def test_arguments_that_cannot_be(path: Path, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SqliteCheckpoints(**{"path": path, **arguments})  # type: ignore[arg-type]


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere/front-door\.db: unable to open"):
        SqliteCheckpoints(tmp_path / "nowhere" / "front-door.db")
    with pytest.raises(CheckpointError, match="unable to open"):
        SqliteCheckpoints(tmp_path)


def test_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteCheckpoints("front-door.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    store.before_fork()
    store.after_fork_in_parent()
    claimed(store).save(FIRST)
    store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["elsewhere", "front-door.db"]


# -- files that are not ours, or not whole


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"a letter, and not a database at all" * 100)
    with pytest.raises(CheckpointError, match=r"front-door\.db: file is not a database"):
        SqliteCheckpoints(path)
    assert path.read_bytes().startswith(b"a letter")


def test_a_database_of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE checkpoints (theirs)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="another program"):
        SqliteCheckpoints(path)
    assert path.read_bytes() == before


def test_a_newer_version(path: Path) -> None:
    SqliteCheckpoints(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(CheckpointError, match="version 7, and this kvsfast knows 1"):
        SqliteCheckpoints(path)


def filled(path: Path) -> None:
    with SqliteCheckpoints(path, synchronous="OFF") as store:
        for index in range(200):
            claimed(store, f"stream-{index}").save(SECOND)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file(path: Path, seed: int) -> None:
    """Whatever is overwritten: what is loaded is what was saved, or it is said that it cannot be."""
    filled(path)
    dice = random.Random(seed)
    content = bytearray(path.read_bytes())
    at = dice.randrange(len(content) - 512)
    content[at : at + 512] = dice.randbytes(512)
    path.write_bytes(content)
    try:
        with SqliteCheckpoints(path) as store:
            loaded = {store.load(f"stream-{index}") for index in range(200)}
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert loaded <= {SECOND, None}


def test_a_file_cut_short(path: Path) -> None:
    filled(path)
    os.truncate(path, 8192)
    with pytest.raises(CheckpointError, match=r"front-door\.db"):
        SqliteCheckpoints(path)


def test_a_value_that_cannot_be(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE checkpoints SET fragment_number = 'twelve'")
    database.close()
    with pytest.raises(CheckpointError, match="stream-7: the fragment number is 'twelve', expected digits"):
        SqliteCheckpoints(path).load("stream-7")


def test_a_file_that_may_only_be_read(path: Path) -> None:
    filled(path)
    store = SqliteCheckpoints(path)
    mine = claimed(store)
    with store._database() as database:
        database.execute("PRAGMA query_only = 1")
    with pytest.raises(CheckpointError, match="readonly database") as caught:
        mine.save(FIRST)
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    store.close()


def test_another_program_holds_the_lock(path: Path) -> None:
    mine = claimed(SqliteCheckpoints(path, timeout=0.05))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CheckpointError, match="locked"):
        mine.save(FIRST)
    other.execute("ROLLBACK")
    other.close()
    mine.save(FIRST)


# -- many processes


def save_many(path: Path, worker: int, count: int) -> None:
    with SqliteCheckpoints(path, synchronous="OFF") as store:
        for number in range(count):
            mine = claimed(store, f"stream-{worker}-{number % 3}")
            mine.save(Checkpoint(str(1000 * worker + number)))


def open_together(path: Path, start: Any, rounds: int) -> None:
    for each in range(rounds):
        start.wait(60)
        SqliteCheckpoints(f"{path}-{each}", synchronous="OFF").close()


def test_many_processes_make_a_file_at_the_same_moment(path: Path) -> None:
    start = FORK.Barrier(4)
    processes = [FORK.Process(target=open_together, args=(path, start, 40)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_many_processes_make_and_use_one_file(path: Path) -> None:
    processes = [FORK.Process(target=save_many, args=(path, worker, 60)) for worker in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with SqliteCheckpoints(path) as store:
        for worker in range(6):
            numbers = [store.load(f"stream-{worker}-{rest}") for rest in range(3)]
            assert numbers == [Checkpoint(str(1000 * worker + number)) for number in (57, 58, 59)]


# -- forks


def test_a_child_opens_the_file_for_itself(path: Path) -> None:
    """Also while other threads are saving all the time, and the parent goes on as it did."""
    store = SqliteCheckpoints(path, synchronous="OFF")
    mine = claimed(store, "parent")
    is_over = threading.Event()
    saved = 0

    def save_on_and_on() -> None:
        nonlocal saved
        while not is_over.wait(0.0002):  # else nobody else would get the store's lock for seconds
            saved += 1
            mine.save(Checkpoint(str(saved)))

    def child(index: int) -> None:
        claimed(store, f"child-{index}").save(FIRST)

    busy = [threading.Thread(target=save_on_and_on)]
    for thread in busy:
        thread.start()
    try:
        for index in range(10):
            process = FORK.Process(target=child, args=(index,))
            process.start()
            process.join(60)
            assert process.exitcode == 0
    finally:
        is_over.set()
        for thread in busy:
            thread.join()
    assert store.load("parent") == Checkpoint(str(saved))
    assert all(store.load(f"child-{index}") == FIRST for index in range(10))
    store.close()


def test_the_file_is_not_open_in_a_child(path: Path) -> None:
    """An inherited connection would take the parent's locks for its own."""
    store = SqliteCheckpoints(path)
    claimed(store).save(FIRST)
    reader, writer = FORK.Pipe(duplex=False)

    def child() -> None:
        links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
        opened = [os.readlink(link) for link in links if os.path.lexists(link)]
        writer.send([each for each in opened if "front-door.db" in each])

    process = FORK.Process(target=child)
    process.start()
    process.join(60)
    assert reader.recv() == []
    reader.close()
    writer.close()
    assert store.load("front-door") == FIRST
    store.close()


def test_a_store_that_was_dropped_closes_its_file(path: Path) -> None:
    store = SqliteCheckpoints(path)
    claimed(store).save(FIRST)
    gc.disable()
    try:
        del store
        opened = [os.readlink(each.path) for each in os.scandir("/proc/self/fd") if os.path.exists(each.path)]
    finally:
        gc.enable()
    assert not [each for each in opened if each.startswith(str(path))]


# -- SIGKILL


SAVER = """
import sys
from kvsfast.consume.checkpoint import Checkpoint
from kvsfast.consume.sqlite import SqliteCheckpoints
store = SqliteCheckpoints(sys.argv[1], synchronous="OFF")
mine = store.claim("front-door")
last = mine.load()
number = int(last.fragment_number) if last else 0
print("from", number, flush=True)
while True:
    number += 1
    mine.save(Checkpoint(str(number)))
    print(number, flush=True)
"""


def test_killed_at_any_moment(path: Path) -> None:
    """What save() returned for is there, and at most the one under way beside it."""
    dice = random.Random(4)
    last = 0
    for _ in range(16):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        began = process.stdout.readline()
        assert began in (f"from {last}\n", f"from {last + 1}\n")
        lines = [process.stdout.readline()] if dice.random() < 0.5 else []
        time.sleep(dice.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines += [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.stdout.close()
        last = int((lines or [began.removeprefix("from ")])[-1])
        with SqliteCheckpoints(path) as store:
            kept = store.load("front-door")
        assert int(kept.fragment_number if kept else 0) in (last, last + 1)
        last = int(kept.fragment_number if kept else 0)
    assert last >= 5


def test_a_former_owner_is_refused_over_processes(path: Path) -> None:
    mine: StreamCheckpoint = claimed(SqliteCheckpoints(path))
    save_many(path, 0, 1)
    mine.save(FIRST)
    other = SPAWN.Process(target=claim_front_door, args=(path,))
    other.start()
    other.join(60)
    assert other.exitcode == 0
    with pytest.raises(CheckpointError, match="claimed again"):
        mine.save(SECOND)


def claim_front_door(path: Path) -> None:
    claimed(SqliteCheckpoints(path))
