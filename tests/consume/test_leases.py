"""Who may have a stream, with times that are only numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from kvsfast.consume.leases import Lease, Sightings, fair_loads, may_claim, renewal_interval, validity

THEIRS = Lease("front-door", "them", epoch=3, count=10, seconds=30.0)


def seen(*leases: tuple[Lease, float]) -> Sightings:
    sightings = Sightings()
    for lease, now in leases:
        sightings.see(lease, now)
    return sightings


def test_a_lease_is_renewed_four_times_while_it_is_good() -> None:
    assert validity(30.0) == 20.0 == 4 * renewal_interval(30.0)


def test_what_nobody_has_may_be_taken() -> None:
    free = replace(THEIRS, owner=None)
    assert may_claim(free, "me", seen((free, 0.0)), 0.0) == "take"


def test_what_is_ours_already_may_be_taken() -> None:
    mine = replace(THEIRS, owner="me")
    assert may_claim(mine, "me", seen((mine, 0.0)), 0.0) == "take"


@pytest.mark.parametrize(("now", "verdict"), [(0.0, "wait"), (19.9, "wait"), (20.0, "take"), (999.0, "take")])
def test_a_lease_runs_out_when_its_count_stands_still(now: float, verdict: str) -> None:
    assert may_claim(THEIRS, "me", seen((THEIRS, 0.0)), now) == verdict


def test_it_is_the_owners_promise_that_counts() -> None:
    longer = replace(THEIRS, seconds=60.0)
    assert may_claim(longer, "me", seen((longer, 0.0)), 39.0) == "wait"
    assert may_claim(longer, "me", seen((longer, 0.0)), 40.0) == "take"


@pytest.mark.parametrize("change", [{"count": 11}, {"epoch": 4, "count": 10}, {"count": 9}])
def test_each_change_counts_from_when_it_was_seen(change: dict[str, int]) -> None:
    renewed = replace(THEIRS, **change)  # type: ignore[arg-type]
    sightings = seen((THEIRS, 0.0), (renewed, 19.0), (renewed, 38.0))
    assert may_claim(renewed, "me", sightings, 38.9) == "wait"
    assert may_claim(renewed, "me", sightings, 39.0) == "take"


def test_a_lease_that_was_ours_is_observed_anew() -> None:
    sightings = seen((THEIRS, 0.0))
    sightings.forget("front-door")
    sightings.see(THEIRS, 100.0)
    assert may_claim(THEIRS, "me", sightings, 100.0) == "wait"


def test_fair_loads_count_what_was_asked_for_and_not_the_dead() -> None:
    leases = [
        Lease("a", "them", 1, 1, 30.0),
        Lease("b", "them", 1, 1, 30.0, wanted_by="me"),
        Lease("c", "me", 1, 1, 30.0),
        Lease("d", None, 1, 1, 30.0),
        Lease("e", "dead", 1, 1, 30.0),
    ]
    sightings = seen(*((lease, 0.0 if lease.owner == "dead" else 15.0) for lease in leases))
    assert fair_loads(leases, sightings, 20.0) == {"them": 1, "me": 2}


@pytest.mark.parametrize(
    ("theirs", "mine", "verdict"),
    [(1, 0, "wait"), (2, 0, "ask"), (2, 1, "wait"), (3, 1, "ask"), (1, 3, "wait")],
)
def test_who_has_two_more_is_asked(theirs: int, mine: int, verdict: str) -> None:
    loads = Counter(them=theirs, me=mine)
    assert may_claim(THEIRS, "me", seen((THEIRS, 0.0)), 0.0, loads) == verdict
    assert may_claim(THEIRS, "me", seen((THEIRS, 0.0)), 0.0) == "wait"


def test_nobody_is_asked_twice() -> None:
    loads = Counter(them=9)
    asked = replace(THEIRS, wanted_by="another")
    assert may_claim(asked, "me", seen((asked, 0.0)), 0.0, loads) == "wait"


def test_what_was_asked_for_in_vain_is_taken() -> None:
    """Though the owner goes on renewing: it does not listen."""
    asked = replace(THEIRS, wanted_by="me")
    sightings = seen((asked, 0.0))
    for now in range(1, 30):
        asked = replace(asked, count=asked.count + 1)
        sightings.see(asked, float(now))
        assert may_claim(asked, "me", sightings, float(now)) == "wait"
    assert may_claim(asked, "me", sightings, 30.0) == "take"


def test_all_get_the_same_in_the_end() -> None:
    """Owners that ask in turn, whoever came first, come to within one of each other and rest there."""
    for owners, streams in ((2, 4), (3, 4), (5, 17), (4, 2)):
        names = [f"owner-{index}" for index in range(owners)]
        table = {f"s{index}": Lease(f"s{index}", "owner-0", 1, 1, 30.0) for index in range(streams)}
        for _ in range(streams + 1):
            before = dict(table)
            for me in names:
                for stream, lease in table.items():
                    sightings = seen(*((each, 0.0) for each in table.values()))
                    loads = fair_loads(table.values(), sightings, 0.0)
                    if may_claim(lease, me, sightings, 0.0, loads) == "ask":
                        table[stream] = replace(lease, owner=me)  # the owner hands it over
        counts = Counter(lease.owner for lease in table.values())
        assert max(counts.values()) - min(counts[name] for name in names) <= 1
        assert table == before
