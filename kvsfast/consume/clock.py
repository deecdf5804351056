"""What time it is: by a clock that only goes forward and can be exchanged, and by the service's own.

45 minutes and hour-long waits are tested in milliseconds; the local time of day decides nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "date_of"]


class Clock(Protocol):
    """Seconds since some moment, as ``time.monotonic`` tells them."""

    def monotonic(self) -> float:
        """Now."""


class SystemClock:
    """The machine's."""

    def monotonic(self) -> float:
        return time.monotonic()


def date_of(headers: object) -> datetime | None:
    """The ``Date`` of a response, None if it has none that can be read."""
    if not isinstance(headers, Mapping):
        return None
    value = next((str(value) for name, value in headers.items() if str(name).lower() == "date"), "")
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
