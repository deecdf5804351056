"""Checkpoints in an SQLite file: the embedded store, for the processes of one machine.

What ``save`` returned for is in the file, whatever happens to the process afterwards; with
``synchronous="FULL"`` also whatever happens to the machine, as far as its disk keeps its word
(https://www.sqlite.org/pragma.html#pragma_synchronous, https://www.sqlite.org/wal.html).

There are no leases: whoever claims a stream last has it. Each claim raises the stream's epoch, and a former
owner, which has an older one, is refused when it saves.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from kvsfast.consume.checkpoint import Checkpoint, checked
from kvsfast.errors import CheckpointError, LeaseLost, UsageError
from kvsfast.forking import survive_fork

__all__ = ["SqliteCheckpoints"]

#: "kvsf", in the header of each file that is ours (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x6B767366
SCHEMA_VERSION = 1
SCHEMA = """
    CREATE TABLE checkpoints (
        stream TEXT NOT NULL PRIMARY KEY,
        epoch INTEGER NOT NULL,
        fragment_number TEXT,
        continuation_token TEXT,
        server_timestamp_ms INTEGER,
        producer_timestamp_ms INTEGER
    ) WITHOUT ROWID
"""
Synchronous = Literal["FULL", "NORMAL", "OFF"]
#: Between two attempts to open a file that others are just opening.
OPENING_PAUSE = 0.005


class SqliteCheckpoints:
    """A store in the file ``path``, which is made if it is not there. For many threads and processes.

    ``synchronous``: "FULL" syncs the disk at each save; "NORMAL" and "OFF" leave that to the system, which is
    faster, and only a crash of the machine, not of the process, can undo what was saved. ``timeout``: seconds
    to wait for other processes that write.

    The file must lie on a local disk: WAL does not work over a network's.

    CheckpointError: the file cannot be opened, is damaged, belongs to another program, or was written by a
    newer version.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, synchronous: Synchronous = "FULL", timeout: float = 30.0
    ) -> None:
        if synchronous not in ("FULL", "NORMAL", "OFF"):
            raise UsageError(f'synchronous is {synchronous!r}, expected "FULL", "NORMAL" or "OFF"')
        if not timeout >= 0:
            raise UsageError(f"timeout is {timeout!r}, expected seconds, at least 0")
        if os.fspath(path) == ":memory:":
            raise UsageError("a checkpoint in memory would not outlive the process; give a file's path")
        # Absolute, since the file is opened again after a fork, and the directory may be another by then.
        self.path = Path(path).absolute()
        self._synchronous = synchronous
        self._timeout = timeout
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False
        with self._database():
            pass
        survive_fork(self)

    def claim(self, stream: str) -> SqliteCheckpoint:
        """The stream's checkpoint: ours until it is claimed again, here or by another process."""
        with self._database() as database:
            ((epoch,),) = database.execute(
                "INSERT INTO checkpoints (stream, epoch) VALUES (?, 1)"
                " ON CONFLICT (stream) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
                (stream,),
            ).fetchall()  # all: the statement commits when it has run to its end
        return SqliteCheckpoint(self, stream, epoch)

    def load(self, stream: str) -> Checkpoint | None:
        """What was saved last for the stream, by whomever; claims nothing."""
        with self._database() as database:
            row = database.execute(
                "SELECT fragment_number, continuation_token, server_timestamp_ms, producer_timestamp_ms"
                " FROM checkpoints WHERE stream = ? AND fragment_number IS NOT NULL",
                (stream,),
            ).fetchone()
        return None if row is None else checked(f"{self.path}: {stream}", *row)

    def close(self) -> None:
        """Close the file. What was claimed can no longer be saved. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A connection is part of a circle, and would stay open until the garbage collector finds it.
        if getattr(self, "_connection", None) is not None:
            self._disconnect()

    def __repr__(self) -> str:
        return f"SqliteCheckpoints({str(self.path)!r})"

    def _save(self, stream: str, epoch: int, checkpoint: Checkpoint) -> None:
        values = (
            checkpoint.fragment_number,
            checkpoint.continuation_token,
            checkpoint.server_timestamp_ms,
            checkpoint.producer_timestamp_ms,
        )
        with self._database() as database:
            changed = database.execute(
                "UPDATE checkpoints SET fragment_number = ?, continuation_token = ?,"
                " server_timestamp_ms = ?, producer_timestamp_ms = ? WHERE stream = ? AND epoch = ?",
                (*values, stream, epoch),
            ).rowcount
        if not changed:
            raise LeaseLost(f"{stream} was claimed again in {self.path}, and belongs to that claim by now")

    # -- the connection: one for all threads, opened when it is needed

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """The connection, in autocommit, for one statement. What SQLite raises becomes a CheckpointError."""
        with self._lock:
            if self._is_closed:
                raise UsageError(f"the checkpoints in {self.path} are closed")
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except sqlite3.Error as error:
                raise CheckpointError(f"{self.path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        """Waits for other processes by itself where SQLite does not: for them to change to WAL, or back."""
        until = time.monotonic() + self._timeout
        while True:
            connection = sqlite3.connect(
                self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except sqlite3.OperationalError as error:
                connection.close()
                if not _is_busy(error) or time.monotonic() >= until:
                    raise
                time.sleep(OPENING_PAUSE)
            except BaseException:
                connection.close()
                raise
            else:
                return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Nothing is changed in a file that is not ours."""
        with _transaction(connection, "DEFERRED"):
            self._check_owner(connection)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise CheckpointError(f"{self.path} cannot be kept in SQLite's WAL mode, but only in {mode!r}")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        with _transaction(connection, "IMMEDIATE"):
            if self._check_owner(connection):
                connection.execute(SCHEMA)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise CheckpointError(f"{self.path} is damaged: {verdict}")

    def _check_owner(self, connection: sqlite3.Connection) -> bool:
        """Whether the file is still empty; CheckpointError if it is neither that nor ours.

        To be called in a transaction, since another process may be filling the file.
        """
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (owner, version, tables) == (0, 0, 0):
            return True
        if owner != APPLICATION_ID:
            raise CheckpointError(f"{self.path} is a database of another program")
        if version != SCHEMA_VERSION:
            raise CheckpointError(
                f"{self.path} has schema version {version}, and this kvsfast knows {SCHEMA_VERSION}"
            )
        return False

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # -- forks: SQLite's locks are the process's, and a child that inherits an open file believes to hold them
    #    (https://www.sqlite.org/howtocorrupt.html, section 2.6). So the file is closed meanwhile.

    def before_fork(self) -> None:
        self._lock.acquire()
        self._disconnect()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        self._lock = threading.RLock()


class SqliteCheckpoint:
    """One stream's checkpoint, claimed."""

    def __init__(self, store: SqliteCheckpoints, stream: str, epoch: int) -> None:
        self._store = store
        self._stream = stream
        self._epoch = epoch
        self._is_released = False

    def load(self) -> Checkpoint | None:
        return self._store.load(self._stream)

    def save(self, checkpoint: Checkpoint) -> None:
        if self._is_released:
            raise LeaseLost(f"{self._stream} was released and not claimed again")
        self._store._save(self._stream, self._epoch, checkpoint)

    def may_continue(self) -> bool:
        return True

    def release(self) -> None:
        self._is_released = True


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _is_busy(error: sqlite3.OperationalError) -> bool:
    primary = error.sqlite_errorcode & 0xFF
    return primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
