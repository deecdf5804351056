"""Checkpoints in a DynamoDB table, with leases: for fleets that share streams among machines.

    store = DynamoCheckpoints("front-doors", region_name="eu-west-1")
    store.create_table()                                       # once
    with client.consume("front-door", checkpoint=store) as fragments: ...

Each stream is an item, which all writers change by conditional writes only. Who may have it is decided in
:mod:`kvsfast.consume.leases`. Needs ``kvsfast[dynamodb]``.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast.consume.checkpoint import Checkpoint, checked
from kvsfast.consume.leases import Lease, Sightings, fair_loads, may_claim, renewal_interval, validity
from kvsfast.consume.table import Item, Table
from kvsfast.errors import CheckpointError, LeaseLost, UsageError
from kvsfast.forking import survive_fork

if TYPE_CHECKING:
    import boto3.session

__all__ = ["DynamoCheckpoints"]

log = logging.getLogger(__name__)

#: Another writer may come between reading an item and changing it. Then it is read once more.
CLAIM_ATTEMPTS = 2


class DynamoCheckpoints:
    """A store in the table ``table``. One per process is enough: it is safe for many threads.

    A stream belongs to one owner at a time. Its lease is renewed by a thread of the store, which is there
    while there are leases. If that fails for two thirds of ``lease_seconds``, the lease is lost, and another
    owner may take it: within ``lease_seconds`` if it asks at least every sixth of them. A stream that was
    released can be taken at once.

    ``owner``: a name that no other process has, by default one made of host, process and chance. A process
    that comes back under the name it had takes its streams back at once. ``fair_share``: one who is refused a
    stream asks its owner to hand it over, if that one has at least two streams more; ``may_continue()`` tells
    it so. After ``lease_seconds`` in vain the stream is taken. All owners should ask for the same streams.

    ``session``: a boto3 Session. ``client_options``: what ``boto3.client("dynamodb", ...)`` takes, such as
    ``region_name``, ``endpoint_url`` and ``config``. Throttling and failures of the network are retried by
    boto3, by default for about half of ``lease_seconds``.

    UsageError: an argument cannot be, or boto3 is not installed. Nothing is sent before the first claim.
    """

    def __init__(
        self,
        table: str,
        *,
        owner: str | None = None,
        lease_seconds: float = 30.0,
        fair_share: bool = False,
        session: boto3.session.Session | None = None,
        **client_options: Any,
    ) -> None:
        if not 0 < lease_seconds < math.inf:
            raise UsageError(f"lease_seconds is {lease_seconds!r}, expected seconds greater than 0")
        if owner is not None and not (isinstance(owner, str) and owner):
            raise UsageError(f"owner is {owner!r}, expected a name")
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self.lease_seconds = lease_seconds
        self._fair_share = fair_share
        self._table = Table(table, patience=lease_seconds / 2, session=session, client_options=client_options)
        self._lock = threading.Lock()
        self._held: dict[str, DynamoCheckpoint] = {}
        self._sightings = Sightings()
        self._loads: Counter[str] = Counter()
        self._loads_are_of = -math.inf
        self._closed = threading.Event()
        self._renewer: threading.Thread | None = None
        survive_fork(self)

    def create_table(self) -> None:
        """Make the table, billed per request, and wait until it is there. One that exists is left alone."""
        self._table.create()

    def claim(self, stream: str) -> DynamoCheckpoint | None:
        """The stream's checkpoint, or None while another owner has it."""
        for _ in range(CLAIM_ATTEMPTS):
            self._check_open()
            started = time.monotonic()
            lease = self._lease(stream)
            verdict = "take" if lease is None else self._verdict(lease)
            if verdict == "wait":
                return None
            if verdict == "ask":
                assert lease is not None
                self._ask_for(lease)
                return None
            epoch = self._take(stream, lease)
            if epoch is not None:
                return self._hold(DynamoCheckpoint(self, stream, epoch, started))
        return None

    def load(self, stream: str) -> Checkpoint | None:
        """What was saved last for the stream, by whomever; claims nothing."""
        item = self._table.get(stream)
        if item is None or "fragment_number" not in item:
            return None
        return checked(
            f"{self._table.name}: {stream}",
            item["fragment_number"],
            item.get("continuation_token"),
            item.get("server_timestamp_ms"),
            item.get("producer_timestamp_ms"),
        )

    def close(self) -> None:
        """Release every stream and end the thread. Idempotent."""
        self._closed.set()
        with self._lock:
            held, renewer = list(self._held.values()), self._renewer
        for checkpoint in held:
            checkpoint.release()
        if renewer is not None:
            renewer.join(self.lease_seconds)
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DynamoCheckpoints({self._table.name!r}, owner={self.owner!r})"

    def after_fork(self) -> None:
        """A child owns nothing, and is another owner."""
        held = self._held
        self.owner = f"{self.owner}:{os.getpid()}"
        self._lock = threading.Lock()
        self._held = {}
        self._sightings = Sightings()
        self._loads_are_of = -math.inf
        is_closed = self._closed.is_set()
        self._closed = threading.Event()
        if is_closed:
            self._closed.set()
        self._renewer = None
        self._table.after_fork()
        for checkpoint in held.values():
            checkpoint.lose("it belongs to the process that this one was forked from")

    # -- claiming

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise UsageError(f"the checkpoints in {self._table.name} are closed")

    def _lease(self, stream: str) -> Lease | None:
        item = self._table.get(stream)
        return None if item is None else self._seen(item)

    def _seen(self, item: Item) -> Lease:
        lease = Lease(
            str(item["stream"]),
            _optional_text(item.get("owner")),
            int(self._number(item, "epoch")),
            int(self._number(item, "renewals")),
            self._number(item, "lease_seconds"),
            _optional_text(item.get("wanted_by")),
        )
        with self._lock:
            self._sightings.see(lease, time.monotonic())
        return lease

    def _number(self, item: Item, name: str) -> float:
        value = item.get(name)
        if not isinstance(value, int | float):
            stream = item["stream"]
            raise CheckpointError(f"{self._table.name}: {stream}: {name} is {value!r}, expected a number")
        return value

    def _verdict(self, lease: Lease) -> str:
        with self._lock:
            verdict = may_claim(lease, self.owner, self._sightings, time.monotonic())
        if verdict == "wait" and self._fair_share:
            self._look_at_loads()
            with self._lock:
                verdict = may_claim(lease, self.owner, self._sightings, time.monotonic(), self._loads)
        return verdict

    def _look_at_loads(self) -> None:
        """Read all leases, but not more often than they are renewed."""
        if time.monotonic() - self._loads_are_of < renewal_interval(self.lease_seconds):
            return
        leases = [self._seen(item) for item in self._table.scan()]
        with self._lock:
            self._loads_are_of = time.monotonic()
            self._loads = fair_loads(leases, self._sightings, self._loads_are_of)

    def _take(self, stream: str, lease: Lease | None) -> int | None:
        """The new epoch, or None if somebody was faster."""
        ours: Item = {"owner": self.owner, "lease_seconds": self.lease_seconds}
        if lease is None:
            first: Item = {**ours, "epoch": 1, "renewals": 0}
            taken = self._table.change(stream, first, expected={"epoch": None})
        else:
            taken = self._table.change(
                stream,
                {**ours, "wanted_by": None},
                expected={"epoch": lease.epoch, "renewals": lease.count, "owner": lease.owner},
                add={"epoch": 1, "renewals": 1},
            )
        if taken is None:
            return None
        if lease is not None and lease.owner not in (None, self.owner):
            log.info("%s: taken over from %s", stream, lease.owner)
        return int(self._number(taken, "epoch"))

    def _ask_for(self, lease: Lease) -> None:
        assert lease.owner is not None
        asked = self._table.change(
            lease.stream,
            {"wanted_by": self.owner},
            expected={"epoch": lease.epoch, "owner": lease.owner, "wanted_by": None},
        )
        if asked is not None:
            log.info("%s: asked %s to hand it over", lease.stream, lease.owner)
            self._seen(asked)
            with self._lock:
                self._loads[lease.owner] -= 1
                self._loads[self.owner] += 1

    def _hold(self, checkpoint: DynamoCheckpoint) -> DynamoCheckpoint:
        with self._lock:
            former = self._held.get(checkpoint.stream)
            self._held[checkpoint.stream] = checkpoint
            self._sightings.forget(checkpoint.stream)
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="kvsfast-leases", daemon=True)
                self._renewer.start()
        if former is not None:
            former.lose("it was claimed again")
        if self._closed.is_set():  # meanwhile
            checkpoint.release()
            self._check_open()
        return checkpoint

    # -- holding

    def _renew(self) -> None:
        interval = renewal_interval(self.lease_seconds)
        while not self._closed.wait(interval):
            with self._lock:
                held = sorted(self._held.values(), key=lambda each: each.renewed_at)
                if not held:
                    self._renewer = None
                    return
            for checkpoint in held:
                if self._closed.is_set():
                    return
                # One that was just saved is as good as renewed.
                if time.monotonic() - checkpoint.renewed_at >= interval / 2:
                    checkpoint.renew()

    def _let_go(self, checkpoint: DynamoCheckpoint) -> None:
        with self._lock:
            if self._held.get(checkpoint.stream) is checkpoint:
                del self._held[checkpoint.stream]


class DynamoCheckpoint:
    """One stream's checkpoint, leased.

    ``renewed_at``: before the last write that the table took began, by our monotonic clock. Others saw it
    later, so that they wait longer than we count on.
    """

    def __init__(self, store: DynamoCheckpoints, stream: str, epoch: int, renewed_at: float) -> None:
        self.stream = stream
        self.renewed_at = renewed_at
        self._store = store
        self._table = store._table
        self._mine: Item = {"epoch": epoch, "owner": store.owner}
        self._lost: str | None = None
        self._is_wanted = False

    def load(self) -> Checkpoint | None:
        return self._store.load(self.stream)

    def save(self, checkpoint: Checkpoint) -> None:
        self._check()
        self._write(
            {
                "fragment_number": checkpoint.fragment_number,
                "continuation_token": checkpoint.continuation_token,
                "server_timestamp_ms": checkpoint.server_timestamp_ms,
                "producer_timestamp_ms": checkpoint.producer_timestamp_ms,
            }
        )

    def may_continue(self) -> bool:
        self._check()
        return not self._is_wanted

    def renew(self) -> None:
        """Called by the store's thread."""
        with contextlib.suppress(LeaseLost):
            try:
                self._check()
                self._write({})
            except CheckpointError as error:
                if isinstance(error, LeaseLost):
                    raise
                log.warning("%s: the lease could not be renewed: %s", self.stream, error)

    def release(self) -> None:
        is_ours = self._lost is None
        self.lose("it was released")
        if not is_ours:
            return
        try:
            self._give_to(None) or self._hand_over()
        except CheckpointError as error:
            log.warning("%s: not released, the lease will run out: %s", self.stream, error)

    def lose(self, why: str) -> None:
        """From now on this is not ours. Only the first reason is kept."""
        if self._lost is None:
            self._lost = why
        self._store._let_go(self)

    def _hand_over(self) -> bool:
        """To the one who asked for it, so that nobody else takes it on its way there."""
        heir = (self._table.get(self.stream) or {}).get("wanted_by")
        return heir is not None and self._give_to(heir)

    def _give_to(self, heir: str | int | float | None) -> bool:
        """Whether it was ours, and asked for by ``heir`` or by nobody."""
        expected = {**self._mine, "wanted_by": heir}
        values: Item = {"owner": heir, "wanted_by": None}
        return self._table.change(self.stream, values, expected=expected, add={"renewals": 1}) is not None

    def _check(self) -> None:
        store = self._store
        if self._lost is None and time.monotonic() - self.renewed_at >= validity(store.lease_seconds):
            self.lose(
                f"its lease was not renewed for {time.monotonic() - self.renewed_at:.1f} s,"
                f" and is good for {validity(store.lease_seconds):.1f} s"
            )
        if self._lost is not None:
            raise LeaseLost(f"{self.stream} is not owned by {store.owner} any more: {self._lost}")

    def _write(self, values: Item) -> None:
        started = time.monotonic()
        item = self._table.change(self.stream, values, expected=self._mine, add={"renewals": 1})
        if item is None:
            self.lose("another owner has taken it")
            self._check()
            return
        self.renewed_at = max(self.renewed_at, started)
        self._is_wanted = "wanted_by" in item


def _optional_text(value: object) -> str | None:
    return None if value is None else str(value)
