"""A stream as it is served: its options, its limits, its open responses, and its poisoned fragments."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kvsfast.emulator.clock import Clock
from kvsfast.emulator.connection import Connection
from kvsfast.emulator.faults import BodyFault, Ending
from kvsfast.emulator.limits import StreamLimits
from kvsfast.emulator.options import NAMES, StreamOptions
from kvsfast.emulator.prepared import Prepared
from kvsfast.emulator.stream import Stream
from kvsfast.errors import UsageError

__all__ = ["Served"]


class Served:
    """One stream of the service and all that belongs to it."""

    def __init__(self, stream: Stream, prepared: Prepared, options: StreamOptions, clock: Clock) -> None:
        self.stream = stream
        self.prepared = prepared
        self.options = options
        self.endpoint_limits = StreamLimits("GetDataEndpoint", stream.name, clock)
        self.media_limits = StreamLimits("GetMedia", stream.name, clock)
        self._clock = clock
        self._responses: set[Connection] = set()
        self._poison: dict[str, tuple[BodyFault, int | None]] = {}
        self._retired: Ending | None = None
        self._lock = threading.Lock()
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Change options; responses that wait look at them at once."""
        if unknown := set(changes) - NAMES:
            raise UsageError(f"no options of a stream: {', '.join(sorted(unknown))}")
        self.options = replace(self.options, **changes)
        retention = self.options.retention_seconds
        self.stream.retention_ms = None if retention is None else int(retention * 1000)
        self.stream.bell.ring()

    def poison(self, number: str, fault: BodyFault | None, times: int | None) -> None:
        """What happens to responses that reach this fragment, so many times (None: always)."""
        with self._lock:
            self._poison.pop(number, None)
            if fault is not None:
                self._poison[number] = fault, times

    def poison_of(self, number: str) -> BodyFault | None:
        """What happens to the response that reaches this fragment now."""
        if number not in self._poison:
            return None
        with self._lock:
            fault, times = self._poison.pop(number, (None, 0))
            if fault is not None and (times is None or times > 1):
                self._poison[number] = fault, None if times is None else times - 1
        return fault

    @contextlib.contextmanager
    def responding(self, connection: Connection) -> Iterator[None]:
        """A response goes on: it hears of whatever happens to the stream or to the time."""
        with self.stream.bell.heard_by(connection.waker), self._clock.bell.heard_by(connection.waker):
            with self._lock:
                self._responses.add(connection)
                retired = self._retired
            if retired is not None:
                connection.order_end(retired)
            try:
                yield
            finally:
                with self._lock:
                    self._responses.discard(connection)

    def retire(self, how: Ending) -> None:
        """The stream was deleted: end all responses, and those that are about to begin."""
        with self._lock:
            self._retired = how
        self.end_responses(how)

    def end_responses(self, how: Ending) -> None:
        """End all that go on, as soon as they write or wait."""
        with self._lock:
            responses = list(self._responses)
        for connection in responses:
            connection.order_end(how)
