"""Single figures out of a record. None where a step failed, or a rival is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.record.store import Record

__all__ = ["Figures", "Ratio", "ratio"]

Standing = dict[str, Any]


@dataclass(frozen=True)
class Ratio:
    """``median`` over the ratios of each round; ``least``: the least of one against the other's."""

    median: float
    least: float
    rounds: int


def ratio(mine: Sequence[float] | None, other: Sequence[float] | None) -> Ratio | None:
    """Of two that took part in the same rounds; one may have stopped earlier."""
    if not mine or not other:
        return None
    pairs = list(zip(mine, other, strict=False))
    return Ratio(median(a / b for a, b in pairs), min(mine) / min(other), len(pairs))


class Figures:
    def __init__(self, record: Record) -> None:
        self.record = record

    def result(self, step: str) -> dict[str, Any]:
        """What the step's command wrote, {} where it did not come so far."""
        done = self.record.steps.get(step)
        return done.result if done and done.result else {}

    def lanes(self, step: str) -> list[dict[str, Any]]:
        return list(self.result(step).get("lanes", ()))

    def standings(self, step: str, workload: str, transport: str) -> dict[str, Standing]:
        """By contender."""
        for lane in self.lanes(step):
            if (lane["workload"], lane["transport"]) == (workload, transport):
                return {one["contender"]: one for one in lane["standings"]}
        return {}

    def cpu(self, step: str, workload: str, transport: str, contender: str) -> list[float] | None:
        """Seconds per GB by round."""
        standing = self.standings(step, workload, transport).get(contender)
        return standing["cpu"] if standing else None

    def race(
        self, mine: str, other: str, transport: str, *, step: str = "race-1080p", workload: str = "1080p"
    ) -> Ratio | None:
        """CPU of one contender against another's."""
        return ratio(self.cpu(step, workload, transport, mine), self.cpu(step, workload, transport, other))

    def timing(self, part: str, title: str, step: str = "micro") -> dict[str, Any] | None:
        """Of a shape or body of ``micro``: the first whose title has ``title`` in it."""
        return next((one for one in self.result(step).get(part, ()) if title in one["title"]), None)

    def timed(self, part: str, mine: str, other: str, step: str = "micro") -> Ratio | None:
        """One title against another."""
        a, b = self.timing(part, mine, step), self.timing(part, other, step)
        return ratio(a["rounds"], b["rounds"]) if a and b else None

    def delay(self, reader: str, transport: str) -> dict[str, Any] | None:
        """Of ``latency``."""
        delays = self.result("latency").get("delays", ())
        return next((one for one in delays if (one["reader"], one["transport"]) == (reader, transport)), None)

    def sessions(self) -> list[dict[str, Any]]:
        """Over TCP, then over TLS."""
        return [
            one for step in ("session-tcp", "session-tls") for one in self.result(step).get("sessions", ())
        ]

    def fleets(self) -> list[dict[str, Any]]:
        return list(self.result("fleet").get("fleets", ()))

    def fleet(self, streams: int, reader: str) -> dict[str, Any] | None:
        """By the number of streams, and what the reader's name begins with."""
        return next(
            (
                one
                for one in self.fleets()
                if one["fleet"]["streams"] == streams and one["reader"].startswith(reader)
            ),
            None,
        )
