"""Sessions while the stream's life goes on, over real sockets: produced while read, created anew, trimmed,
poisoned, moved, and under credentials that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config

from kvsfast import (
    Client,
    Consumer,
    Fragment,
    Gap,
    GapReason,
    Idle,
    ResumeFailed,
    Rewound,
    ServiceError,
    StandardResume,
    StartSelector,
    StreamReset,
    Until,
)
from kvsfast.emulator import Cut, Emulator, Stall
from kvsfast.limiter import Limiter
from tests.mkv_writer import Block, service_fragment

EARLIEST = StartSelector.earliest()
BRISK = StandardResume(base=0.001, longest=0.01)

pytestmark = pytest.mark.usefixtures("no_environment")


def media(*names: int) -> bytes:
    """A file of a fragment for each name."""
    return b"".join(
        service_fragment(
            sequence=i, frames=[Block(bytes([name, n]) * 3000, 40 * n, 1, n == 0) for n in range(4)]
        )
        for i, name in enumerate(names)
    )


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A stream of five fragments."""
    monkeypatch.setattr("kvsfast.opening.shared_limiter", Limiter(calls_per_second=1000))
    with Emulator({"door": media(0, 1, 2, 3, 4)}, limits=False) as service:
        yield service


def consume(service: Emulator, **options: Any) -> Consumer:
    client = Client(config=Config(proxies={}), **service.client_options())
    return client.consume("door", EARLIEST, **{"resume": BRISK, **options})


def numbers(service: Emulator) -> list[str]:
    return [fragment.number for fragment in service.stream("door").fragments()]


def name_of(fragment: Fragment) -> int:
    """What the producer wrote into it."""
    return fragment.frames[0].data[0]


def of_kind(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_what_is_produced_while_it_is_read(service: Emulator) -> None:
    """With fragments that stay open, responses that end in between, and a producer that begins anew."""
    rounds: list[Callable[[], object]] = []
    with service.producer("door") as first:
        rounds += [
            lambda: first.send(media(5, 6)),
            lambda: first.send(media(7), hold=True),
            lambda: service.end_responses("door", "reset"),
            lambda: first.send(media(8)),
        ]
        with consume(service, until=Until(fragments=9)) as consumer:
            found = []
            for fragment in consumer:
                found.append(name_of(fragment))
                if len(found) >= 5 and rounds:
                    rounds.pop(0)()
                    while rounds and len(rounds) < 4:
                        rounds.pop(0)()
    assert found == list(range(9))


def test_a_stream_that_is_created_anew(service: Emulator) -> None:
    events: list[Any] = []
    old = numbers(service)
    with consume(service, until=Until(fragments=7), on_event=events.append) as consumer:
        found = []
        for fragment in consumer:
            found.append(name_of(fragment))
            if len(found) == 5:
                service.recreate_stream("door")
                with service.producer("door") as producer:
                    producer.send(media(8, 9))
    assert found == [0, 1, 2, 3, 4, 8, 9]
    (reset,) = of_kind(events, StreamReset)
    assert (reset.old_number, reset.new_number) == (old[-1], numbers(service)[0])
    assert int(reset.new_number) < int(reset.old_number)
    assert of_kind(events, Gap) == []


def test_retention_that_passes_the_fragment_to_go_on_from(service: Emulator) -> None:
    events: list[Any] = []
    before = numbers(service)
    with consume(service, until=Until(fragments=3), on_event=events.append) as consumer:
        found = []
        for fragment in consumer:
            found.append(name_of(fragment))
            if len(found) == 1:
                service.end_responses("door", "reset")
                service.expire("door", 3)
                consumer_restarts = service.stream("door")
    assert consumer_restarts.fragments()[0].number == before[3]
    # What had arrived before the connection broke may still have been delivered.
    assert found[0] == 0 and found == sorted(set(found))
    gaps = of_kind(events, Gap)
    assert [gap.reason for gap in gaps] in ([GapReason.NOT_FOUND], [])


def test_a_checkpoint_that_retention_has_passed(service: Emulator) -> None:
    from kvsfast import MemoryCheckpoints

    store = MemoryCheckpoints()
    with consume(service, checkpoint=store, auto_commit=True, until=Until(fragments=1)) as consumer:
        list(consumer)
    before = numbers(service)
    service.expire("door", 3)
    events: list[Any] = []
    with consume(service, checkpoint=store, until=Until(fragments=2), on_event=events.append) as consumer:
        assert [name_of(fragment) for fragment in consumer] == [3, 4]
    (gap,) = of_kind(events, Gap)
    assert (gap.reason, gap.after, gap.before) == (GapReason.NOT_FOUND, before[0], before[3])


@pytest.mark.parametrize("poison", ["raise", "deliver", "skip"])
@pytest.mark.parametrize("how", ["reset", "eof", "close"])
def test_a_fragment_that_is_cut_each_time(service: Emulator, how: Any, poison: Any) -> None:
    service.poison("door", numbers(service)[2], Cut(how, inside="frame"))
    events: list[Any] = []
    options: dict[str, Any] = {"poison": poison, "max_refetches": 3, "on_event": events.append}
    with consume(service, until=Until(number=numbers(service)[-1]), **options) as consumer:
        found: list[tuple[int, bool]] = []
        if poison == "raise":
            with pytest.raises(ResumeFailed, match="was cut or broken 4 times"):
                for fragment in consumer:
                    found.append((name_of(fragment), fragment.is_complete))
        else:
            for fragment in consumer:
                found.append((name_of(fragment) if fragment.frames else 2, fragment.is_complete))
        assert consumer.stats.refetches == 3
    whole = {0: True, 1: True, 2: False, 3: True, 4: True}
    wanted = {"raise": [0, 1], "deliver": [0, 1, 2, 3, 4], "skip": [0, 1, 3, 4]}[poison]
    assert found == [(name, whole[name]) for name in wanted]
    assert len(of_kind(events, Gap)) == (poison == "skip")


def test_a_fragment_that_heals(service: Emulator) -> None:
    service.poison("door", numbers(service)[2], Cut("close", inside="trailer"), times=4)
    with consume(service, until=Until(fragments=5)) as consumer:
        frames = [bytes(frame)[:2] for frame in consumer.frames()]
    assert frames == [bytes([name, n]) for name in range(5) for n in range(4)]


@pytest.mark.parametrize("former", ["invalid", "refused"])
def test_an_endpoint_that_moves(service: Emulator, former: Any) -> None:
    service.faults.plan("door", Stall(fragment=2))
    with consume(service, until=Until(fragments=5)) as consumer:
        found = []
        for fragment in consumer:
            found.append(name_of(fragment))
            if len(found) == 2:
                service.move_media_endpoint(former=former)
                service.end_responses("door", "reset")
    assert found == [0, 1, 2, 3, 4]
    assert consumer.stats.calls >= 3  # the second one at the former endpoint


@pytest.mark.parametrize("refusal", ["ExpiredTokenException", "NotAuthorizedException"])
def test_credentials_that_change(service: Emulator, refusal: str) -> None:
    """The session goes on with the new ones, also where they come a moment late."""

    class Keys:
        def __init__(self, access_key: str, secret_key: str) -> None:
            self.access_key = access_key
            self.secret_key = secret_key
            self.token = None

        def get_frozen_credentials(self) -> Keys:
            return self

    keys = Keys(service.credentials.access_key, service.credentials.secret_key)
    client = Client(
        service.region, endpoint_url=service.endpoint_url, credentials=keys, config=Config(proxies={})
    )
    refused: list[Any] = []

    class RenewedLate(StandardResume):
        def decide(self, outcome: Any) -> Any:
            if isinstance(outcome.error, ServiceError):
                refused.append(outcome.error)
                vars(keys).update(access_key="KVSFASTOTHERACCESS00", secret_key="other")
            return super().decide(outcome)

    service.faults.plan("door", Stall(fragment=2))  # so that not all has come before they change
    with client.consume(
        "door", EARLIEST, resume=RenewedLate(base=0.01), until=Until(fragments=5)
    ) as consumer:
        found = []
        for fragment in consumer:
            found.append(name_of(fragment))
            if len(found) == 2:
                service.rotate_credentials("KVSFASTOTHERACCESS00", "other", refusal=refusal)
                service.end_responses("door", "reset")
    assert found == [0, 1, 2, 3, 4]
    assert [refusal in str(error) for error in refused] == [True]


def test_credentials_that_stay_refused_end_it(service: Emulator) -> None:
    with consume(service) as consumer:
        iterator = iter(consumer)
        next(iterator)
        service.rotate_credentials("KVSFASTOTHERACCESS00", "other")
        service.end_responses("door", "reset")
        with pytest.raises(ServiceError, match="ExpiredTokenException"):
            list(iterator)


@pytest.mark.parametrize(
    ("rewinds", "wanted"), [("deliver", [0, 1, 2, 3, 4, 5, 6, 6, 7]), ("drop", [0, 1, 2, 3, 4, 5, 6, 7])]
)
def test_a_producer_that_rewinds(service: Emulator, rewinds: Any, wanted: list[int]) -> None:
    with service.producer("door") as producer:
        producer.send(media(5, 6))
        producer.rewind(1)
        last = producer.send(media(7))
    events: list[Any] = []
    with consume(
        service, until=Until(number=last[0].number), rewinds=rewinds, on_event=events.append
    ) as consumer:
        assert [name_of(fragment) for fragment in consumer] == wanted
    assert len(of_kind(events, Rewound)) == (rewinds == "drop")


def test_sessions_that_end_cleanly_at_once(service: Emulator) -> None:
    """As after 45 minutes, at each border of fragments."""
    service.faults.plan("door", Cut("eof", inside="end"), times=4)
    with consume(service, until=Until(fragments=5)) as consumer:
        assert [name_of(fragment) for fragment in consumer] == [0, 1, 2, 3, 4]
        assert consumer.stats.refetches == 0


def test_a_pause_of_the_producer_is_not_the_end(service: Emulator) -> None:
    events: list[Any] = []

    def go_on(event: Any) -> None:
        events.append(event)
        if isinstance(event, Idle) and len(of_kind(events, Idle)) == 2:
            with service.producer("door") as producer:
                producer.send(media(5))

    with consume(service, until=Until(fragments=6), idle_after=0.05, on_event=go_on) as consumer:
        assert [name_of(fragment) for fragment in consumer] == [0, 1, 2, 3, 4, 5]
