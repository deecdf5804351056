"""The DynamoDB store against moto's server: the contract, leases among real processes, fencing, failures."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import boto3.session
import pytest

from kvsfast.consume.checkpoint import Checkpoint
from kvsfast.consume.dynamodb import DynamoCheckpoint, DynamoCheckpoints
from kvsfast.consume.leases import validity
from kvsfast.errors import CheckpointError, LeaseLost, UsageError
from tests.consume.store_contract import FIRST, LOWER, SECOND, NewStore, StoreContract, claimed
from tests.fault_proxy import FaultProxy, Hangup, Respond
from tests.moto_server import dynamodb_options
from tests.waiting import PATIENCE, wait_for

FORK = multiprocessing.get_context("fork")
#: Short, and long enough that a busy machine renews in time.
LEASE = 5.0
_tables = itertools.count()

MakeStore = Callable[..., DynamoCheckpoints]


@pytest.fixture(scope="module")
def session() -> boto3.session.Session:
    """One for all, since it takes its time to read the service's model."""
    return boto3.session.Session()


@pytest.fixture
def make_store(dynamodb_url: str, session: boto3.session.Session) -> Iterator[MakeStore]:
    """Makes stores on one new table."""
    made: list[DynamoCheckpoints] = []
    table = f"table-{next(_tables)}"

    def make(**options: Any) -> DynamoCheckpoints:
        made.append(
            DynamoCheckpoints(table, session=session, **{**dynamodb_options(dynamodb_url), **options})
        )
        if len(made) == 1:
            made[0].create_table()
        return made[-1]

    yield make
    for store in made:
        store.close()


class TestDynamo(StoreContract):
    @pytest.fixture
    def new_store(self, make_store: MakeStore) -> NewStore:
        return make_store


def taken_in_the_end(store: DynamoCheckpoints, stream: str = "front-door") -> DynamoCheckpoint:
    """Ask for it again and again."""
    while (mine := store.claim(stream)) is None:
        time.sleep(store.lease_seconds / 12)
    return mine


# -- leases


def test_one_owner_at_a_time(make_store: MakeStore) -> None:
    one, other = make_store(), make_store()
    mine = claimed(one)
    assert other.claim("front-door") is None
    assert other.claim("back-door") is not None
    mine.save(FIRST)
    mine.release()
    theirs = claimed(other)
    assert theirs.load() == FIRST
    assert one.claim("front-door") is None


def test_a_lease_that_is_renewed_is_kept(make_store: MakeStore) -> None:
    """Without anything being saved, for longer than a lease is good."""
    owner, other = make_store(lease_seconds=LEASE), make_store(lease_seconds=LEASE)
    mine = claimed(owner)
    until = time.monotonic() + 1.2 * validity(LEASE)
    while time.monotonic() < until:
        assert other.claim("front-door") is None
        time.sleep(0.05)
    assert mine.may_continue()
    mine.save(FIRST)


def test_a_name_of_ones_own_takes_back_at_once(make_store: MakeStore) -> None:
    before = claimed(make_store(owner="camera-host-1"))
    before.save(FIRST)
    again = claimed(make_store(owner="camera-host-1"))
    assert again.load() == FIRST
    with pytest.raises(LeaseLost):
        before.save(SECOND)


class Owner:
    """A store in a process of its own, which does what it is told and answers."""

    def __init__(self, table: str, options: dict[str, Any]) -> None:
        self._connection, theirs = FORK.Pipe()
        self.process = FORK.Process(target=_serve, args=(table, options, theirs))
        self.process.start()
        theirs.close()

    def ask(self, *question: Any) -> Any:
        self._connection.send(question)
        return self.answer()

    def tell(self, *question: Any) -> None:
        self._connection.send(question)

    def answer(self) -> Any:
        assert self._connection.poll(PATIENCE)
        return self._connection.recv()

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self._connection.close()


def _serve(table: str, options: dict[str, Any], connection: Connection) -> None:
    store = DynamoCheckpoints(table, **options)
    store.load("front-door")  # makes its client, which on a busy machine takes as long as a lease is good
    held: DynamoCheckpoint | None = None
    while True:
        what, *values = connection.recv()
        try:
            if what == "claim":
                held = store.claim("front-door")
                answer: Any = held is not None
            elif what == "save":
                assert held is not None
                held.save(*values)
                answer = "saved"
            else:
                assert held is not None
                answer = held.may_continue()
        except CheckpointError as error:
            answer = type(error).__name__
        connection.send(answer)


@pytest.fixture
def owner(make_store: MakeStore, dynamodb_url: str) -> Iterator[Owner]:
    """Another process, with leases of LEASE seconds."""
    table = make_store()._table.name
    owner = Owner(table, {**dynamodb_options(dynamodb_url), "lease_seconds": LEASE})
    yield owner
    owner.end()


def test_what_a_dead_process_had_is_taken_over(make_store: MakeStore, owner: Owner) -> None:
    assert owner.ask("claim")
    assert owner.ask("save", FIRST) == "saved"
    store = make_store(lease_seconds=LEASE)
    assert store.claim("front-door") is None
    owner.process.kill()
    mine = taken_in_the_end(store)
    assert mine.load() == FIRST
    mine.save(SECOND)
    assert store.load("front-door") == SECOND


def test_a_stopped_owner_is_fenced(make_store: MakeStore, owner: Owner) -> None:
    """It is stopped, another takes over, it goes on: and writes nothing, though it means to at once."""
    assert owner.ask("claim")
    assert owner.ask("save", FIRST) == "saved"
    assert owner.process.pid is not None
    os.kill(owner.process.pid, signal.SIGSTOP)
    store = make_store(lease_seconds=LEASE)
    mine = taken_in_the_end(store)
    mine.save(SECOND)
    owner.tell("save", LOWER)
    os.kill(owner.process.pid, signal.SIGCONT)
    assert owner.answer() == "LeaseLost"
    assert owner.ask("may_continue") == "LeaseLost"
    assert owner.ask("claim") is False
    assert store.load("front-door") == SECOND
    mine.release()
    wait_for(lambda: owner.ask("claim"))
    assert owner.ask("save", LOWER) == "saved"


def test_the_table_fences_where_a_clock_would_not(make_store: MakeStore, dynamodb_url: str) -> None:
    """An owner that knows of nothing, as if its own clock had stood still."""
    store = make_store(lease_seconds=1000.0)
    mine = claimed(store)
    mine.save(FIRST)
    boto3.client("dynamodb", **dynamodb_options(dynamodb_url)).update_item(
        TableName=store._table.name,
        Key={"stream": {"S": "front-door"}},
        UpdateExpression="SET #owner = :them ADD epoch :one",
        ExpressionAttributeNames={"#owner": "owner"},
        ExpressionAttributeValues={":them": {"S": "them"}, ":one": {"N": "1"}},
    )
    assert mine.may_continue()
    with pytest.raises(LeaseLost, match="another owner has taken it"):
        mine.save(SECOND)
    with pytest.raises(LeaseLost):
        mine.may_continue()
    assert store.load("front-door") == FIRST
    assert store.claim("front-door") is None


def test_the_thread_finds_out_by_itself(make_store: MakeStore) -> None:
    mine = claimed(make_store(owner="us", lease_seconds=LEASE))
    claimed(make_store(owner="us", lease_seconds=LEASE))

    def is_lost() -> bool:
        try:
            return not mine.may_continue()
        except LeaseLost as error:
            assert "taken" in str(error)
            return True

    wait_for(is_lost)


# -- fair shares


def settle(stores: list[DynamoCheckpoints], streams: list[str]) -> Counter[str]:
    """Owners that ask for every stream in turn and listen, until nothing has changed for a while."""
    held: dict[tuple[str, str], DynamoCheckpoint] = {}
    changed = time.monotonic()
    while time.monotonic() - changed < 2 * max(store.lease_seconds for store in stores):
        for store in stores:
            for stream in streams:
                mine = held.get((store.owner, stream))
                if mine is None:
                    mine = store.claim(stream)
                    if mine is not None:
                        held[store.owner, stream] = mine
                        changed = time.monotonic()
                elif not keeps(mine):
                    mine.release()
                    del held[store.owner, stream]
        time.sleep(0.02)
    assert len({stream for _, stream in held}) == len(held), "two have the same stream"
    return Counter(owner for owner, _ in held)


def keeps(mine: DynamoCheckpoint) -> bool:
    try:
        return mine.may_continue()
    except LeaseLost:  # it did not listen in time, on a busy machine
        return False


@pytest.mark.parametrize(("owners", "shares"), [(2, [2, 2]), (3, [2, 1, 1])])
def test_who_comes_later_gets_a_fair_share(make_store: MakeStore, owners: int, shares: list[int]) -> None:
    stores = [make_store(fair_share=True, lease_seconds=LEASE / 2) for _ in range(owners)]
    streams = [f"stream-{index}" for index in range(4)]
    counts = settle(stores, streams)
    assert sorted(counts.values(), reverse=True) == shares


def test_without_fair_share_nobody_is_asked(make_store: MakeStore) -> None:
    one, other = make_store(), make_store()
    held = [claimed(one, f"stream-{index}") for index in range(4)]
    assert [other.claim(f"stream-{index}") for index in range(4)] == [None] * 4
    for each in held:
        each.save(FIRST)
        assert each.may_continue()


def test_what_is_released_goes_to_the_one_who_asked(make_store: MakeStore) -> None:
    owner = make_store()
    asking, third = make_store(fair_share=True), make_store()
    mine, _ = claimed(owner, "stream-0"), claimed(owner, "stream-1")
    assert asking.claim("stream-0") is None
    mine.save(FIRST)
    assert not mine.may_continue()
    mine.save(SECOND)
    mine.release()
    assert third.claim("stream-0") is None
    theirs = claimed(asking, "stream-0")
    assert theirs.load() == SECOND
    assert theirs.may_continue()


def test_who_does_not_listen_is_robbed(make_store: MakeStore) -> None:
    owner = make_store(lease_seconds=LEASE)
    held = [claimed(owner, f"stream-{index}") for index in range(2)]
    mine = taken_in_the_end(make_store(fair_share=True, lease_seconds=LEASE), "stream-0")
    mine.save(SECOND)
    with pytest.raises(LeaseLost):
        held[0].save(FIRST)
    held[1].save(FIRST)


# -- failures


def test_a_table_that_is_not_there(dynamodb_url: str) -> None:
    store = DynamoCheckpoints("nowhere", **dynamodb_options(dynamodb_url))
    with pytest.raises(CheckpointError, match=r"DynamoDB table nowhere: .*create_table\(\) makes it"):
        store.claim("front-door")
    store.create_table()
    store.create_table()
    assert claimed(store).load() is None
    store.close()


@pytest.fixture
def proxy(dynamodb_url: str) -> Iterator[FaultProxy]:
    with FaultProxy(dynamodb_url) as proxy:
        yield proxy


THROTTLED = b'{"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}'


def test_throttling_and_lost_connections_are_ridden_out(make_store: MakeStore, proxy: FaultProxy) -> None:
    make_store()
    store = make_store(endpoint_url=proxy.url, lease_seconds=60.0)
    proxy.plan(Respond(400, body=THROTTLED), Hangup(after_request=True))
    mine = claimed(store)
    store._table._disconnect()  # so that there are new connections
    proxy.plan(Respond(500, body=b"{}"), Hangup())
    mine.save(FIRST)
    assert mine.load() == FIRST
    assert proxy.struck == {"Respond": 2, "Hangup": 2}


def test_a_lease_that_cannot_be_renewed_is_lost(make_store: MakeStore, dynamodb_url: str) -> None:
    other = make_store(lease_seconds=LEASE)
    with FaultProxy(dynamodb_url) as proxy:
        store = make_store(endpoint_url=proxy.url, lease_seconds=LEASE)
        mine = claimed(store)
        mine.save(FIRST)
    # Nobody is there any more. Nothing is lost yet, but for what cannot be written.
    assert mine.may_continue()
    with pytest.raises(CheckpointError, match="DynamoDB table"):
        mine.save(SECOND)
    theirs = taken_in_the_end(other)
    with pytest.raises(LeaseLost, match="not renewed for"):
        mine.may_continue()
    with pytest.raises(LeaseLost):
        mine.save(SECOND)
    assert theirs.load() == FIRST


def test_a_store_that_cannot_be_reached() -> None:
    store = DynamoCheckpoints("t", **dynamodb_options("http://127.0.0.1:9"), lease_seconds=1.0)
    with pytest.raises(CheckpointError, match="Could not connect"):
        store.claim("front-door")
    store.close()


def test_an_item_of_another_program(make_store: MakeStore, dynamodb_url: str) -> None:
    store = make_store()
    boto3.client("dynamodb", **dynamodb_options(dynamodb_url)).put_item(
        TableName=store._table.name, Item={"stream": {"S": "front-door"}, "epoch": {"S": "Jurassic"}}
    )
    with pytest.raises(CheckpointError, match="front-door: epoch is 'Jurassic', expected a number"):
        store.claim("front-door")


# -- life


@pytest.mark.parametrize(
    ("options", "said"), [({"lease_seconds": 0}, "lease_seconds is 0"), ({"owner": ""}, "owner is ''")]
)
def test_arguments_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        DynamoCheckpoints("table", **options)


def renewers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kvsfast-leases"]


def test_one_thread_while_there_are_leases(make_store: MakeStore) -> None:
    store = make_store(lease_seconds=1.0)
    assert not renewers()
    held = [claimed(store, f"stream-{index}") for index in range(5)]
    assert len(renewers()) == 1
    for each in held:
        each.release()
    wait_for(lambda: not renewers())
    claimed(store)
    assert len(renewers()) == 1
    store.close()
    assert not renewers()


def test_a_child_owns_nothing(make_store: MakeStore) -> None:
    store = make_store()
    mine = claimed(store)
    mine.save(FIRST)
    reader, writer = FORK.Pipe(duplex=False)

    def child() -> None:
        answers: list[Any] = [store.owner, store.claim("front-door") is None]
        try:
            mine.save(LOWER)
        except LeaseLost as error:
            answers.append(str(error))
        claimed(store, "back-door").save(SECOND)
        writer.send(answers)
        store.close()

    process = FORK.Process(target=child)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    owner, is_refused, error = reader.recv()
    assert owner == f"{store.owner}:{process.pid}"
    assert is_refused and "forked" in error
    assert claimed(store, "back-door").load() == SECOND
    mine.save(SECOND)
    reader.close()
    writer.close()


def test_boto3_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    with pytest.raises(UsageError, match=r"pip install 'kvsfast\[dynamodb\]'"):
        DynamoCheckpoints("front-doors")


def test_no_secret_is_shown(make_store: MakeStore) -> None:
    store = make_store(aws_secret_access_key="s3cret")
    assert "s3cret" not in repr(store)
    assert repr(store).startswith("DynamoCheckpoints('table-")


def test_any_text_is_a_streams_name(make_store: MakeStore) -> None:
    store = make_store()
    for index, stream in enumerate(("Ä door", "a" * 256, "x.y_z-1")):
        claimed(store, stream).save(Checkpoint(str(index)))
    assert store.load("Ä door") == Checkpoint("0")
