"""Who may have a stream among several owners: decided from what a table says, without a clock of others.

An owner counts up its lease again and again. Another one that sees the same count for long enough, by its own
monotonic clock, knows that the owner is gone; clocks of machines are never compared. Each change of hands
raises the lease's epoch, and what a former owner writes under an older epoch is refused by the table. (The
design of the Kinesis Client Library, as its documentation and lease table describe it.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Lease", "Sightings", "fair_loads", "may_claim", "renewal_interval", "validity"]

#: May the one who asks take the lease, ask its owner to hand it over, or only ask again later?
Verdict = Literal["take", "ask", "wait"]


def validity(lease_seconds: float) -> float:
    """How long a lease is good after it was renewed.

    The rest of ``lease_seconds`` is for others to notice: they have taken it over by then if they ask at
    least every sixth of it.
    """
    return lease_seconds * 2 / 3


def renewal_interval(lease_seconds: float) -> float:
    """How often a lease is renewed: four times while it is good."""
    return lease_seconds / 6


@dataclass(frozen=True, slots=True)
class Lease:
    """What the table says of one stream.

    ``owner``: None if it was released. ``epoch``: how often it changed hands. ``count``: of its renewals.
    ``seconds``: the owner's lease_seconds. ``wanted_by``: who asked for it.
    """

    stream: str
    owner: str | None
    epoch: int
    count: int
    seconds: float
    wanted_by: str | None = None

    @property
    def next_owner(self) -> str | None:
        """Whose it is, or will be when the owner has handed it over."""
        return self.wanted_by or self.owner


class Sightings:
    """When leases were last seen to change, by the observer's own clock.

    Not for several threads at once. Times in seconds of any clock that only goes forward.
    """

    def __init__(self) -> None:
        self._renewed: dict[str, tuple[tuple[int, int], float]] = {}
        self._asked: dict[str, tuple[tuple[int, str | None], float]] = {}

    def see(self, lease: Lease, now: float) -> None:
        """What a lease looks like now."""
        renewal, wish = (lease.epoch, lease.count), (lease.epoch, lease.wanted_by)
        if self._renewed.get(lease.stream, (None, 0.0))[0] != renewal:
            self._renewed[lease.stream] = renewal, now
        if self._asked.get(lease.stream, (None, 0.0))[0] != wish:
            self._asked[lease.stream] = wish, now

    def is_expired(self, lease: Lease, now: float) -> bool:
        """Whether it has not been renewed for as long as it is good."""
        return now - self._renewed[lease.stream][1] >= validity(lease.seconds)

    def was_asked_in_vain(self, lease: Lease, now: float) -> bool:
        """Whether the owner has not handed it over in the time that a whole lease takes."""
        return now - self._asked[lease.stream][1] >= lease.seconds

    def forget(self, stream: str) -> None:
        """The stream is ours; nothing has to be observed."""
        self._renewed.pop(stream, None)
        self._asked.pop(stream, None)


def fair_loads(leases: Iterable[Lease], sightings: Sightings, now: float) -> Counter[str]:
    """How many streams each living owner has, or will have when what is asked for was handed over."""
    loads: Counter[str] = Counter()
    for lease in leases:
        if lease.owner is not None and not sightings.is_expired(lease, now):
            loads[lease.next_owner or lease.owner] += 1
    return loads


def may_claim(
    lease: Lease, me: str, sightings: Sightings, now: float, loads: Counter[str] | None = None
) -> Verdict:
    """What ``me`` may do about a lease that was just seen.

    ``loads``: of :func:`fair_loads`, if streams are to be shared fairly: one that has at least two more than
    ``me`` is asked for one, so that in the end no two differ by more than one.
    """
    if lease.owner is None or lease.owner == me or sightings.is_expired(lease, now):
        return "take"
    if lease.wanted_by == me:
        return "take" if sightings.was_asked_in_vain(lease, now) else "wait"
    if loads is not None and lease.wanted_by is None and loads[lease.owner] >= loads[me] + 2:
        return "ask"
    return "wait"
