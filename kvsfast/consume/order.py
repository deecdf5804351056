"""Which fragments are new: what keeps a session's fragments in order, each once.

Fragment numbers are decimal strings of up to 128 digits that rise in the order of ingestion (API reference,
Fragment). A jump is normal (each session of a producer begins a block of a thousand) and means nothing.
"""

from __future__ import annotations

import enum

from kvsfast._native.frames import FragmentStart
from kvsfast.consume.policy import Position

__all__ = ["Order", "Verdict", "position_of"]


class Verdict(enum.Enum):
    """What a fragment is, seen from the last one that was dealt with."""

    NEW = enum.auto()
    #: Its number is that of the last one, or lower.
    DUPLICATE = enum.auto()
    #: A lower number that the service received later: the stream was created anew.
    RESET = enum.auto()


def position_of(start: FragmentStart, token: str | None = None) -> Position | None:
    """A fragment as a place to go on from. None: it has no number that could be asked for."""
    number = start.number
    if number and number.isascii() and number.isdigit() and len(number) <= 128:
        return Position(number, token, start.server_timestamp_ms, start.producer_timestamp_ms)
    return None


class Order:
    """The last fragment that was dealt with, and how another one compares."""

    def __init__(self, latest: Position | None = None) -> None:
        self.latest: Position | None = None
        #: The latest producer timestamp of all, in epoch milliseconds.
        self.producer_ms: int | None = None
        if latest is not None:
            self.advance(latest)

    def judge(self, position: Position) -> Verdict:
        """What a fragment is that the service sends."""
        latest = self.latest
        if latest is None or int(position.number) > int(latest.number):
            return Verdict.NEW
        if int(position.number) == int(latest.number) or not _is_later(position, latest):
            return Verdict.DUPLICATE
        return Verdict.RESET

    def has_passed(self, position: Position) -> bool:
        """Whether the fragment was dealt with, in the stream as it is now or as it was before a reset."""
        if self.latest is None:
            return False
        verdict = self.judge(position)
        return verdict is Verdict.DUPLICATE or (verdict is Verdict.NEW and _is_later(self.latest, position))

    def is_rewound(self, position: Position) -> bool:
        """Whether its media, by the producer's clock, does not lie behind what was dealt with."""
        producer_ms = position.producer_timestamp_ms
        return producer_ms is not None and self.producer_ms is not None and producer_ms <= self.producer_ms

    def advance(self, position: Position) -> None:
        """This fragment was dealt with."""
        self.latest = position
        producer_ms = position.producer_timestamp_ms
        if producer_ms is not None and (self.producer_ms is None or producer_ms > self.producer_ms):
            self.producer_ms = producer_ms


def _is_later(one: Position, other: Position) -> bool:
    """By the service's clock."""
    if one.server_timestamp_ms is None or other.server_timestamp_ms is None:
        return False
    return one.server_timestamp_ms > other.server_timestamp_ms
