"""One consumer of a session, from its beginning to its end, its restart or its death; all into the ledger."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3.session

import kvsfast
from kvsfast.consume.checkpoint import CheckpointStore
from kvsfast.consume.dynamodb import DynamoCheckpoints
from kvsfast.consume.sqlite import SqliteCheckpoints
from tests.moto_server import dynamodb_options
from tests.torture import media
from tests.torture.ledger import Ledger
from tests.torture.plan import Plan

TABLE = "torture"
#: The policy's own parameters: everything as always, in milliseconds.
RESUME = kvsfast.StandardResume(base=0.002, longest=0.02)
#: A response without a byte is given up after so long; what owns a lease is waited for by turns of so long.
IDLE = 0.5
CLAIM_EVERY = 0.1
LEASE_SECONDS = 5.0
#: A fragment may be cut that often, since nearly every response is.
MAX_REFETCHES = 1000
#: Of what is given, what is committed, and after what a consumer is closed and made anew.
COMMITS = 0.5
RESTARTS = 0.02

_sessions: list[boto3.session.Session] = []


def new_store(plan: Plan, path: str, dynamodb_url: str) -> CheckpointStore:
    """The session's store, opened by whoever begins or restarts it."""
    if plan.store == "sqlite":
        return SqliteCheckpoints(path)
    if not _sessions:  # one, since it takes its time to read the service's model
        _sessions.append(boto3.session.Session())
    owner = f"owner-of-{plan.name}" if plan.same_owner else None
    return DynamoCheckpoints(
        TABLE,
        owner=owner,
        lease_seconds=LEASE_SECONDS,
        session=_sessions[0],
        **dynamodb_options(dynamodb_url),
    )


class Run:
    """One consumer. ``dice`` decides what is committed, and, with ``restarts``, when it is closed."""

    def __init__(self, plan: Plan, ledger: Ledger, dice: random.Random, *, restarts: bool) -> None:
        self.plan = plan
        self.ledger = ledger
        self.dice = dice
        self.restarts = restarts
        self.events: Counter[str] = Counter()
        self._last: Any = None
        self._consumer: kvsfast.Consumer | None = None

    def stop(self) -> None:
        """End it, from another thread."""
        if self._consumer is not None:
            self._consumer.close()

    def consume(self, client: kvsfast.Client, store: CheckpointStore) -> bool:
        """Whether it came to the end of the stream. Raises what the consumer raises."""
        plan = self.plan
        self.ledger.write("run")
        consumer = self._consumer = client.consume(
            plan.name,
            kvsfast.StartSelector.earliest(),
            checkpoint=store,
            resume=RESUME,
            idle_after=IDLE,
            claim_every=CLAIM_EVERY,
            max_refetches=MAX_REFETCHES,
            auto_commit=plan.auto_commit,
            prefetch_bytes=65536 if plan.prefetch else None,
            on_event=None if plan.granularity == "events" else self._event,
        )
        read: dict[str, Callable[[kvsfast.Consumer], bool]] = {
            "fragments": self._fragments,
            "frames": self._frames,
            "events": self._events,
        }
        try:
            with consumer:
                return read[plan.granularity](consumer)
        finally:
            self._consumer = self._last = None

    # -- three ways of reading; each ends at the first frame of the fragment that marks the end

    def _fragments(self, consumer: kvsfast.Consumer) -> bool:
        for fragment in consumer:
            frames = tuple(bytes(frame.data) for frame in fragment.frames)
            index = media.name(frames[0])[1]
            self._begin(consumer, index)
            if index == self.plan.count:
                return True
            if frames != media.frames(self.plan.stream, index):
                self.ledger.write("wrong", index)
            self._given(consumer, index, fragment)
            if self._restarts():
                return False
        return False

    def _frames(self, consumer: kvsfast.Consumer) -> bool:
        for frame in consumer.frames():
            index, at = self._frame(frame)
            if at == 0:
                self._begin(consumer, index)
                if index == self.plan.count:
                    return True
            self.ledger.write("frame", index, at)
            if at + 1 == len(media.frames(self.plan.stream, index)):
                # That it has ended is known when the next one begins, and only then it can be committed.
                self.ledger.write("given", index)
                self._last = frame, index
                if self.plan.auto_commit:
                    self.ledger.write("commits", index)
            if self._restarts():
                return False
        return False

    def _events(self, consumer: kvsfast.Consumer) -> bool:
        started: list[int | None] = []
        for event in consumer.events():
            if isinstance(event, kvsfast.FragmentStart):
                started.append(None)
            elif isinstance(event, kvsfast.Frame):
                index, at = self._frame(event)
                if at == 0:
                    self._begin(consumer, index)
                    started[-1] = index
                    if index == self.plan.count:
                        return True
                self.ledger.write("frame", index, at)
            elif isinstance(event, kvsfast.FragmentEnd):
                begun = started.pop() if started else None
                if begun is None or started:
                    self.ledger.write("wrong-end", -1 if begun is None else begun)
                else:
                    self._given(consumer, begun, event)
            elif not isinstance(event, kvsfast.LateTags):
                self._event(event)
            if self._restarts():
                return False
        return False

    # -- what they have in common

    def _frame(self, frame: kvsfast.Frame) -> tuple[int, int]:
        data = bytes(frame.data)
        stream, index, at = media.name(data)
        expected = media.frames(self.plan.stream, index)
        if stream != self.plan.stream or at >= len(expected) or data != expected[at]:
            self.ledger.write("wrong", stream, index, at)
        return index, at

    def _begin(self, consumer: kvsfast.Consumer, index: int) -> None:
        """The first of a fragment is here, so that the one before can be committed."""
        last, self._last = self._last, None
        if last is None:
            return
        what, before = last
        if self.plan.auto_commit:
            self.ledger.write("committed", before)
        elif index == self.plan.count or (self.plan.granularity == "frames" and self._commits()):
            self._commit(consumer, before, what)

    def _given(self, consumer: kvsfast.Consumer, index: int, what: Any) -> None:
        """All of a fragment is here."""
        self.ledger.write("given", index)
        self._last = what, index
        if self.plan.auto_commit:
            self.ledger.write("commits", index)
        elif self._commits():
            self._commit(consumer, index, what)

    def _commit(self, consumer: kvsfast.Consumer, index: int, what: Any) -> None:
        self.ledger.write("commits", index)
        consumer.commit(what)
        self.ledger.write("committed", index)

    def _commits(self) -> bool:
        return self.dice.random() < COMMITS

    def _restarts(self) -> bool:
        return self.restarts and self.dice.random() < RESTARTS

    def _event(self, event: Any) -> None:
        self.events[type(event).__name__] += 1
        if isinstance(event, kvsfast.DigestMismatch | kvsfast.StreamReset):
            self.ledger.write("wrong-event")
