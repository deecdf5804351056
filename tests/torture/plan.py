"""What a session is to be, from the seed and its number alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

#: tcp, tls: through a fault proxy, which ends TLS; sealed: through one that passes TLS on; direct: no proxy,
#: and the service, which speaks TLS, is asked for its data endpoint.
Transport = Literal["tcp", "tls", "sealed", "direct"]
Granularity = Literal["fragments", "frames", "events"]
StoreKind = Literal["sqlite", "dynamodb"]
#: How a session is interrupted: by its own close and restart, or by SIGKILL.
Interruption = Literal["restart", "kill"]

TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
STORES: tuple[StoreKind, ...] = get_args(StoreKind)


@dataclass(frozen=True)
class Plan:
    """One session: a stream of ``count`` fragments and a last one that only marks the end.

    ``share``: of connections that meet a fault. ``limits``: whether the service keeps its own. ``stored``:
    how many fragments are there at the beginning; the others are produced while the session goes on.
    ``same_owner``: a session that is killed comes back under its name, else it has to wait for its own lease
    to run out.
    """

    stream: int
    seed: str
    transport: Transport
    granularity: Granularity
    store: StoreKind
    interruption: Interruption
    count: int
    share: float
    auto_commit: bool
    prefetch: bool
    limits: bool
    stored: int
    same_owner: bool
    #: Seconds between two fragments of a live stream.
    pause: float = 0.03
    #: A process is killed at a moment within these seconds of its life, so often.
    kills: int = 15
    killed_within: tuple[float, float] = (0.01, 0.4)

    @property
    def name(self) -> str:
        return f"stream-{self.stream}"


@dataclass(frozen=True)
class Choice:
    """What sessions are drawn from."""

    seed: int
    transports: tuple[Transport, ...] = TRANSPORTS
    granularities: tuple[Granularity, ...] = GRANULARITIES
    stores: tuple[StoreKind, ...] = STORES
    fragments: int = 30

    def plan(self, number: int, interruption: Interruption) -> Plan:
        """The session of this number."""
        seed = f"{self.seed}/{number}"
        dice = random.Random(seed)
        count = dice.randrange(self.fragments // 2, self.fragments + 1)
        return Plan(
            stream=number,
            seed=seed,
            transport=dice.choice(self.transports),
            granularity=dice.choice(self.granularities),
            # DynamoDB here is a server in Python, and slow: one session in four.
            store=dice.choice([each for each in self.stores for _ in range(3 if each == "sqlite" else 1)]),
            interruption=interruption,
            count=count,
            share=dice.uniform(0.5, 0.95),
            auto_commit=dice.random() < 0.2,
            prefetch=dice.random() < 0.2,
            limits=dice.random() < 0.1,
            stored=count // 2 if dice.random() < 0.3 else count + 1,
            same_owner=dice.random() < 0.7,
        )
