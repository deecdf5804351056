"""When a session is to end by itself, so that batch jobs do."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kvsfast._native.frames import FragmentStart
from kvsfast.consume.order import position_of
from kvsfast.errors import UsageError

__all__ = ["Until"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """The first of these that is reached ends the session, always at the border of two fragments.

    ``server_time``, ``producer_time``: before the first fragment at or after this time (with a time zone). A
    stream that has nothing more before ``server_time`` ends the session as well, as soon as the service's
    clock is past it. ``number``: after this fragment. ``fragments``: after so many; ``frames``, ``size``:
    after the fragment with which there were so many frames or bytes; ``seconds``: after so long, wherever it
    is then.
    """

    server_time: datetime | None = None
    producer_time: datetime | None = None
    number: str | None = None
    fragments: int | None = None
    frames: int | None = None
    size: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("server_time", "producer_time"):
            when = getattr(self, name)
            if when is not None and (not isinstance(when, datetime) or when.utcoffset() is None):
                raise UsageError(f"until {name} is {when!r}, expected a datetime with a time zone")
        if self.number is not None and not (isinstance(self.number, str) and self.number.isdecimal()):
            raise UsageError(f"until number is {self.number!r}, expected a fragment number as str")
        for name in ("fragments", "frames", "size"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(f"until {name} is {value!r}, expected a whole number of at least 1")
        if self.seconds is not None and not (
            isinstance(self.seconds, int | float) and 0 < self.seconds < math.inf
        ):
            raise UsageError(f"until seconds is {self.seconds!r}, expected more than 0")

    @classmethod
    def of(cls, until: Until | datetime | timedelta | None) -> Until:
        """A limit as it is; a datetime is a ``server_time``, a timedelta a duration, None no limit."""
        if isinstance(until, Until):
            return until
        if isinstance(until, datetime):
            return cls(server_time=until)
        if isinstance(until, timedelta):
            return cls(seconds=until.total_seconds())
        if until is None:
            return cls()
        raise UsageError(f"until is {until!r}, expected kvsfast.Until, a datetime or a timedelta")

    def stops_before(self, start: FragmentStart) -> bool:
        """Whether this fragment is not wanted any more."""
        position = position_of(start)
        return (
            _has_reached(start.server_timestamp_ms, self.server_time)
            or _has_reached(start.producer_timestamp_ms, self.producer_time)
            or (self.number is not None and position is not None and int(position.number) > int(self.number))
        )

    def stops_after(self, number: str | None, fragments: int, frames: int, size: int) -> bool:
        """Whether the fragment ``number`` was the last one, so many having been delivered with it."""
        return (
            (self.number is not None and number is not None and int(number) >= int(self.number))
            or (self.fragments is not None and fragments >= self.fragments)
            or (self.frames is not None and frames >= self.frames)
            or (self.size is not None and size >= self.size)
        )

    def is_past(self, answered: datetime | None) -> bool:
        """Whether the service's clock, as a response told it, is past ``server_time``."""
        return self.server_time is not None and answered is not None and answered >= self.server_time

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in dataclasses.fields(self))


def _has_reached(milliseconds: int | None, when: datetime | None) -> bool:
    if milliseconds is None or when is None:
        return False
    # In whole microseconds, since a float of epoch seconds would not be exact.
    return milliseconds * 1000 >= (when - _EPOCH) // timedelta(microseconds=1)
